"""Energies with forces of molecules: lit_bg against OpenMM's Reference and CPU platforms, taking turns in one process.

    pytest tests/benchmarks/test_energy_speed.py -o addopts= -s

One thread each, so that nothing else on the machine is asked for a second core. OpenMM evaluates one configuration after the
other, set and read as arrays; which of its platforms is faster depends on the force field, so the better one of every turn
counts. Printed: configurations per second, medians of seven turns, and the median of the ratios.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import time
from collections.abc import Callable

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from lit_bg.forces import ForceField, translate

pytest.importorskip("pytest_benchmark")

ROOT = pathlib.Path(__file__).parents[2]
PDB = {
    22: "experiments/alanine_dipeptide",
    42: "experiments/tri_alanine",
    62: "experiments/penta_alanine",
    892: "tests/data/bpti",
}
FORCE_FIELDS = {
    "gbsa": ["amber99sbildn.xml", "amber99_obc.xml"],  # OpenMM's native GBSA-OBC
    "obc1": ["amber96.xml", "implicit/obc1.xml"],  # OpenMM interprets expressions
    "gbn2": ["amber99sbildn.xml", "implicit/gbn2.xml"],
    "charmm": ["charmm36.xml", "implicit/gbn2.xml"],  # the kernel, and torch for CMAP and custom forces; BPTI only
}
WAYS = {  # how lit_bg evaluates: its code, through torch.compile or not, the precision
    "kernel": ("kernel", False, torch.float32),
    "kernel float64": ("kernel", False, torch.float64),
    "kernel, torch compiled": ("kernel", True, torch.float32),  # the same where the kernel does it all
    "torch compiled": ("torch", True, torch.float32),
    "torch eager": ("torch", False, torch.float32),
}
TURNS = 7


def molecule(n: int, solvent: str) -> tuple[openmm.System, np.ndarray]:
    """The System of a peptide or of BPTI, and its positions [nm]."""
    read = app.PDBFile(str(ROOT / f"{PDB[n]}.pdb"))
    system = app.ForceField(*FORCE_FIELDS[solvent]).createSystem(read.topology, constraints=None, rigidWater=False)
    return system, np.asarray(read.positions.value_in_unit(unit.nanometer))


def thermal(x0: np.ndarray, batch: int) -> torch.Tensor:
    return torch.from_numpy(x0) + 0.003 * torch.randn(batch, *x0.shape, dtype=torch.float64)


def by_openmm(system: openmm.System, x: np.ndarray) -> dict[str, Callable[[], None]]:
    """What evaluates x once on each platform."""

    def evaluate(context: openmm.Context) -> None:
        for positions in x:
            context.setPositions(positions)
            state = context.getState(getEnergy=True, getForces=True)
            state.getPotentialEnergy()
            state.getForces(asNumpy=True)

    made = {}
    for name, properties in {"Reference": {}, "CPU": {"Threads": "1"}}.items():
        platform = openmm.Platform.getPlatformByName(name)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)
        made[name] = lambda context=context: evaluate(context)
    return made


def per_second(evaluate: Callable[[], object], n: int) -> float:
    began = time.perf_counter()
    evaluate()
    return n / (time.perf_counter() - began)


def compare(
    field: ForceField, system: openmm.System, x: torch.Tensor, compiled: bool = False, turns: int = TURNS
) -> tuple[list[float], dict[str, list[float]]]:
    """Configurations per second of lit_bg, and of OpenMM by platform, turn by turn; on one thread."""
    few = x[: 64 if x.shape[1] < 200 else 2].double().numpy()
    peers = by_openmm(system, few)
    field.energy_and_forces(x, compiled)  # the first call compiles
    for evaluate in peers.values():
        evaluate()
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(turns):
        ours.append(per_second(lambda: field.energy_and_forces(x, compiled), len(x)))
        for name, evaluate in peers.items():
            theirs[name].append(per_second(evaluate, len(few)))
    return ours, theirs


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", PDB)
@pytest.mark.parametrize("solvent", FORCE_FIELDS)
@pytest.mark.parametrize("way", WAYS)
def test_against_openmm(benchmark, n, solvent, way):
    if solvent == "charmm" and n < 892:
        pytest.skip("charmm36.xml has no residues for caps")
    system, x0 = molecule(n, solvent)
    code, compiled, dtype = WAYS[way]
    field = translate(system)
    field.code = code
    x = thermal(x0, 1024 if n < 200 else 64).to(dtype)
    began = time.perf_counter()
    field.energy_and_forces(x, compiled)
    first = time.perf_counter() - began
    torch.testing.assert_close(field.energy(x[:2]), field.energy(x[:2].double()), rtol=2e-6, atol=1e-4 * n)
    ours, theirs = compare(field, system, x, compiled)
    best = [max(turn) for turn in zip(*theirs.values(), strict=True)]
    ratio, of_cpu = (statistics.median(a / b for a, b in zip(ours, other, strict=True)) for other in (best, theirs["CPU"]))
    platforms = ", ".join(f"{name} {statistics.median(rates):.3g}" for name, rates in theirs.items())
    print(
        f"\n{n} atoms, {solvent}, {way}: {statistics.median(ours):.3g} per second (first call {first:.1f} s); OpenMM "
        f"{platforms}; ratio to the better {ratio:.1f}, to CPU {of_cpu:.1f}; load {os.getloadavg()[0]:.1f}"
    )
    benchmark.extra_info |= {"ratio": ratio, "to CPU": of_cpu, "first call": first, "load": os.getloadavg()}
    benchmark.pedantic(field.energy_and_forces, (x, compiled), rounds=3)
