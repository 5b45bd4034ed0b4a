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

from lit_bg.energies import Molecule
from lit_bg.kernels import HMC, Langevin
from lit_bg.rng import stream
from lit_bg.simulators import ReplicaExchange, Temperatures

pytest.importorskip("pytest_benchmark")

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
STEPS = 40  # between exchanges
LADDERS = {
    "alanine_dipeptide": (["amber96.xml", "implicit/obc1.xml"], (256, Temperatures(800.0, 4, pilot=0))),
    "tri_alanine": (["amber99sbildn.xml", "amber99_obc.xml"], (128, Temperatures(700.0, 5, pilot=0))),
}


def seconds(function, *arguments):
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


@pytest.mark.parametrize("name", LADDERS)
def test_replica_exchange(benchmark, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    files, (walkers, ladder) = LADDERS[name]
    energy = Molecule(str(EXPERIMENTS / f"{name}.pdb"), forcefield=files)
    simulation = ReplicaExchange(
        Langevin(time_step=0.0025, steps=STEPS, hydrogen_mass=3.0), ladder, torsion_moves=8, walkers=walkers, start="initial"
    )
    kernel, state = simulation.begin(energy, 0, lambda text: None)
    replicas = len(state.rows.x)
    stack, torsions = kernel.stack(energy, walkers), kernel.kernel.kernels[0]
    energy.field.work = [10**9, 10**9]  # what compiles when it pays does so now
    now = [state]
    for k in range(3):
        now[0], _ = kernel.step(energy, now[0], stream(0, "warm up", step=k))
    x = now[0].rows.x

    def everything(k):
        now[0], _ = kernel.step(energy, now[0], stream(0, "benchmark", step=k))

    def forces():
        for _ in range(STEPS):
            energy.field.energy_and_forces(x)

    def noise(k):
        rng = stream(0, "benchmark", step=k)
        for _ in range(STEPS):
            torch.randn(x.shape, generator=rng)

    def moves(k):
        rows, _ = torsions.step(stack, now[0].rows, stream(0, "moves", step=k))
        kernel.swap(energy, now[0]._replace(rows=rows), stream(0, "exchange", step=k))

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
    assert torch.isfinite(energy(now[0].rows.x)).all()
    torch.set_num_threads(threads)


def test_hmc(benchmark):
    """Moves of 20 steps in double precision, 1024 walkers: steps per second and what a step costs beside its forces."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    files, _ = LADDERS["alanine_dipeptide"]
    energy = Molecule(str(EXPERIMENTS / "alanine_dipeptide.pdb"), forcefield=files)
    kernel = HMC(step_size=0.001, steps=20, target_acceptance=None)
    state = kernel.init(energy, energy.initial.double().repeat(1024, 1, 1), stream(0, "init"))
    whole, forces = [], []
    for k in range(-2, 9):
        began, calls = time.perf_counter(), energy.n_gradients
        state, _ = kernel.step(energy, state, stream(0, "benchmark", step=k % 9))
        steps = (energy.n_gradients - calls) / 1024
        seconds_of_move = (time.perf_counter() - began) / steps
        seconds_of_forces = seconds(energy.field.energy_and_forces, state.x)
        if k >= 0:
            whole.append(1e6 * seconds_of_move / 1024)
            forces.append(1e6 * seconds_of_forces / 1024)
    a, b = statistics.median(whole), statistics.median(forces)
    print(
        f"\nHMC of alanine dipeptide: {1e6 / a:.0f} steps per second; us per walker and step: all {a:.3f}, forces {b:.3f}, "
        f"{100 * (a - b) / b:.0f} % beside the forces; load {os.getloadavg()[0]:.1f}"
    )
    benchmark.pedantic(kernel.step, (energy, state, stream(0, "rounds")), rounds=3)
    torch.set_num_threads(threads)
