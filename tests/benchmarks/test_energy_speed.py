"""Energies with forces of molecules: torch at batch 1024 against OpenMM's CPU platform, in one process.

    pytest tests/benchmarks/test_energy_speed.py -o addopts= --benchmark-columns=median,min,ops

`ops` is calls per second: times 1024 it is configurations per second of torch, times 64 of OpenMM. Threads: OMP_NUM_THREADS for
torch, and OpenMM's CPU platform with one and with all of them. Compiling takes a minute or more, outside the timing.
"""

import os
import pathlib

import pytest
import torch

from lit_bg.energies import Molecule

pytest.importorskip("pytest_benchmark")

HERE = pathlib.Path(__file__).parent
PDB = {
    22: HERE.parents[1] / "experiments" / "alanine_dipeptide.pdb",
    42: HERE.parent / "data" / "AAA.pdb",
    62: HERE.parent / "data" / "AAAAA.pdb",
}
FORCE_FIELDS = {"obc1": ["amber96.xml", "implicit/obc1.xml"], "gbsa": ["amber99sbildn.xml", "amber99_obc.xml"]}

atoms = pytest.mark.parametrize("n", PDB)
solvents = pytest.mark.parametrize("solvent", FORCE_FIELDS)


def thermal(energy, batch, dtype=torch.float32):
    x = energy.initial.to(dtype)
    return x + 0.003 * torch.randn(batch, *x.shape[1:], dtype=dtype)


@atoms
@solvents
@pytest.mark.parametrize("mode", ["eager", "compiled", "compiled float64"])
def test_torch(benchmark, n, solvent, mode):
    energy = Molecule(str(PDB[n]), FORCE_FIELDS[solvent])
    x = thermal(energy, 1024, torch.float64 if "64" in mode else torch.float32)
    benchmark.extra_info["load"] = os.getloadavg()
    benchmark.pedantic(energy.field.energy_and_forces, (x, mode != "eager"), rounds=5, warmup_rounds=1)


@atoms
@solvents
@pytest.mark.parametrize("threads", ["1", str(os.cpu_count())])
def test_openmm(benchmark, n, solvent, threads):
    energy = Molecule(str(PDB[n]), FORCE_FIELDS[solvent], backend="openmm", platform="CPU")
    energy.evaluator.properties = {"Threads": threads}
    x = thermal(energy, 64)
    benchmark.pedantic(energy.evaluator.energy_and_forces, (x,), rounds=5, warmup_rounds=1)
