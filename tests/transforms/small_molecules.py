"""Molecules for the tests of charts: files, bare graphs, and configurations of them."""

import functools

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies import Energy, Molecule
from lit_bg.molecules import Structure
from lit_bg.rng import stream
from lit_bg.spaces import Particles

DIPEPTIDE = "experiments/alanine_dipeptide.pdb"
# pentaalanine, proline twice, tyrosine and phenylalanine, two chains with a disulfide bridge
PEPTIDES = [DIPEPTIDE, "experiments/penta_alanine.pdb", *(f"tests/data/{name}.pdb" for name in ("PP", "YF", "CC"))]
BPTI = "tests/data/bpti.pdb"


@functools.cache
def molecule(path: str) -> Molecule:
    return Molecule(path, forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def toy(positions, bonds, elements=None) -> Structure:
    """A bare structure; elements default to carbon."""
    n = len(positions)
    x = np.asarray(positions, dtype=np.float64)
    return Structure(
        positions=x - x.mean(0), names=tuple(f"A{i}" for i in range(n)), elements=tuple(elements or "C" * n),
        masses=(12.0,) * n, bonds=tuple(bonds), residues=("TOY",), residue_of=(0,) * n,
    )  # fmt: skip


class Bare(Energy):
    """An energy that is nothing but a structure."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        self.structure, self.space = structure, Particles(structure.n_atoms, 3)

    def potential(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=x.dtype)


def from_base(chart, n, seed=0) -> Tensor:
    """z of the base: thermal bonds and angles by the force field, any torsion."""
    circular = chart.domain.kinds == 2
    rng = stream(seed, "base")
    z = torch.randn(n, len(circular), generator=rng, dtype=torch.float64)
    return torch.where(circular, 2 * torch.rand(z.shape, generator=rng, dtype=z.dtype) - 1, z)


def jittered(energy, n, dtype=torch.float64, width=0.01) -> Tensor:
    """Configurations around the file, centred."""
    noise = torch.randn(n, *energy.event_shape, generator=stream(0, "jitter"), dtype=torch.float64)
    x = torch.from_numpy(energy.structure.positions) + width * noise
    return (x - x.mean(1, keepdim=True)).to(dtype)


def superposed(x: Tensor, y: Tensor) -> Tensor:
    """x moved onto y by proper rotations and translations, float64."""
    x, y = x.double(), y.double()
    centre = y.mean(1, keepdim=True)
    x, y = x - x.mean(1, keepdim=True), y - centre
    u, _, vh = torch.linalg.svd(x.mT @ y)
    u = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ vh).sign()[:, None, None]], -1)
    return x @ (u @ vh) + centre
