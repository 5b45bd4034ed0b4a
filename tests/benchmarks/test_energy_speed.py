"""Energies with forces of molecules: torch at batch 1024 against OpenMM's CPU platform, taking turns in one process.

    pytest tests/benchmarks/test_energy_speed.py -o addopts= -s

One thread each, so that nothing else on the machine is asked for a second core. Printed: configurations per second, median and
best of ten turns, and the median of the ratios. Compiling takes a minute or more, outside the timing.
"""

import os
import pathlib
import statistics
import time

import pytest
import torch

from lit_bg.energies import Molecule

pytest.importorskip("pytest_benchmark")

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
PDB = {n: EXPERIMENTS / f"{name}.pdb" for n, name in {22: "alanine_dipeptide", 42: "tri_alanine", 62: "penta_alanine"}.items()}
FORCE_FIELDS = {"obc1": ["amber96.xml", "implicit/obc1.xml"], "gbsa": ["amber99sbildn.xml", "amber99_obc.xml"]}

atoms = pytest.mark.parametrize("n", PDB)
solvents = pytest.mark.parametrize("solvent", FORCE_FIELDS)


def thermal(energy, batch, dtype=torch.float32):
    x = energy.initial.to(dtype)
    return x + 0.003 * torch.randn(batch, *x.shape[1:], dtype=dtype)


def per_second(evaluate, n):
    began = time.perf_counter()
    evaluate()
    return n / (time.perf_counter() - began)


@atoms
@solvents
@pytest.mark.parametrize("mode", ["eager", "compiled", "compiled float64"])
def test_against_openmm(benchmark, n, solvent, mode):
    energy = Molecule(str(PDB[n]), FORCE_FIELDS[solvent])
    openmm = Molecule(str(PDB[n]), FORCE_FIELDS[solvent], backend="openmm", platform="CPU").evaluator
    x = thermal(energy, 1024, torch.float64 if "64" in mode else torch.float32)
    compiled = mode != "eager"
    for _ in range(2):  # the first call compiles
        energy.field.energy_and_forces(x, compiled)
        openmm.energy_and_forces(x[:64])
    ours, theirs = [], []
    for _ in range(10):
        ours.append(per_second(lambda: energy.field.energy_and_forces(x, compiled), 1024))
        theirs.append(per_second(lambda: openmm.energy_and_forces(x[:64]), 64))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    benchmark.extra_info |= {"ratio": ratio, "load": os.getloadavg()}
    print(
        f"\n{n} atoms, {solvent}, {mode}: torch {statistics.median(ours):.0f} ({max(ours):.0f} at best), "
        f"OpenMM {statistics.median(theirs):.0f} ({max(theirs):.0f}) per second, ratio {ratio:.1f}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    benchmark.pedantic(energy.field.energy_and_forces, (x, compiled), rounds=3)
