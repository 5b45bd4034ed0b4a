"""Chain-steps per second of replica exchange, and what a step costs beside its forces.

    pytest tests/benchmarks/test_replica_exchange_speed.py -o addopts= -s

The ladders of experiments/alanine_dipeptide.yaml and tri_alanine.yaml (1024 and 640 replicas), one thread. Printed, medians of
nine turns: chain-steps per second of all that a simulation does (BAOAB, torsion moves, exchanges); and, in microseconds per
replica and step, the whole, the forces alone, random numbers alone, torsion moves and exchanges alone, and what is left,
which is the overhead of the dynamics.
"""

import os
import pathlib
import statistics
import time

import pytest
import torch
from lit_bg.samplers import HMC, ReplicaExchange

from lit_bg.energies import Molecule
from lit_bg.rng import stream

pytest.importorskip("pytest_benchmark")

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
STEPS = 40  # between exchanges
LADDERS = {
    "alanine_dipeptide": (["amber96.xml", "implicit/obc1.xml"], {"walkers": 256, "max_temperature": 800.0, "rungs": 4}),
    "tri_alanine": (["amber99sbildn.xml", "amber99_obc.xml"], {"walkers": 128, "max_temperature": 700.0, "rungs": 5}),
}


def seconds(function, *arguments):
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


@pytest.mark.parametrize("name", LADDERS)
def test_replica_exchange(benchmark, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    files, ladder = LADDERS[name]
    energy = Molecule(str(EXPERIMENTS / f"{name}.pdb"), files)
    sampler = ReplicaExchange(
        time_step=0.0025, hydrogen_mass=3.0, burn_in=0.1, pilot=0, torsion_moves=8, start="initial", **ladder
    )
    state = sampler.init(energy, 0, lambda text: None)
    replicas = len(state["x"])
    energy.field.work = [10**9, 10**9]  # what compiles when it pays does so now
    for k in range(3):
        sampler.advance(energy, state, STEPS, stream(0, "warm up", step=k))

    def everything(k):
        sampler.advance(energy, state, STEPS, stream(0, "benchmark", step=k))

    def forces():
        for _ in range(STEPS):
            energy.field.energy_and_forces(state["x"])

    def noise(k):
        rng = stream(0, "benchmark", step=k)
        for _ in range(STEPS):
            torch.randn(state["x"].shape, generator=rng)

    def moves(k):
        sampler.turn_torsions(energy, state, stream(0, "moves", step=k))
        sampler.exchange(energy, state, k, stream(0, "exchange", step=k))

    parts = {"all": everything, "forces": lambda k: forces(), "random numbers": noise, "torsions and exchange": moves}
    times = {part: [] for part in parts}
    for k in range(9):
        for part, function in parts.items():
            times[part].append(seconds(function, k))
    median = {part: 1e6 * statistics.median(found) / STEPS / replicas for part, found in times.items()}
    rest = median["all"] - sum(value for part, value in median.items() if part != "all")
    print(
        f"\n{name}, {replicas} replicas: {1e6 / median['all']:.0f} chain-steps per second; us per replica and step: "
        + ", ".join(f"{part} {value:.3f}" for part, value in median.items())
        + f", rest {rest:.3f}, {100 * rest / median['forces']:.0f} % of the forces; load {os.getloadavg()[0]:.1f}"
    )
    benchmark.extra_info |= {**median, "rest": rest, "load": os.getloadavg()}
    benchmark.pedantic(everything, (100,), rounds=3)
    assert torch.isfinite(energy(state["x"])).all()
    torch.set_num_threads(threads)


def test_hmc(benchmark):
    """Moves of 20 steps in double precision, 1024 walkers: steps per second and what a step costs beside its forces."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    files, _ = LADDERS["alanine_dipeptide"]
    energy = Molecule(str(EXPERIMENTS / "alanine_dipeptide.pdb"), files)
    sampler = HMC(walkers=1024, step_size=0.001, steps=20, target_acceptance=None, start="initial")
    state = sampler.init(energy, 0, lambda text: None)
    whole, forces = [], []
    for k in range(-2, 9):
        began, calls = time.perf_counter(), energy.n_gradients
        sampler.move(energy, state, stream(0, "benchmark", step=k % 9))
        steps = (energy.n_gradients - calls) / 1024
        seconds_of_move = (time.perf_counter() - began) / steps
        seconds_of_forces = seconds(energy.field.energy_and_forces, state["x"])
        if k >= 0:
            whole.append(1e6 * seconds_of_move / 1024)
            forces.append(1e6 * seconds_of_forces / 1024)
    a, b = statistics.median(whole), statistics.median(forces)
    print(
        f"\nHMC of alanine dipeptide: {1e6 / a:.0f} steps per second; us per walker and step: all {a:.3f}, forces {b:.3f}, "
        f"{100 * (a - b) / b:.0f} % beside the forces; load {os.getloadavg()[0]:.1f}"
    )
    benchmark.pedantic(sampler.move, (energy, state, stream(0, "rounds")), rounds=3)
    torch.set_num_threads(threads)
