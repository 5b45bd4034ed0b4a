"""Observables of a molecule: torsions, size and handedness."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Observable
from lit_bg.molecules.geometry import dihedral, distance
from lit_bg.molecules.rotatable import rotatable_bonds
from lit_bg.molecules.structure import Structure


def observables_of(structure: Structure) -> dict[str, Observable]:
    """Return torsions of rotatable bonds, radius of gyration, end-to-end distance, and the fraction of L amino acids."""
    found = {
        name: Observable(partial(_torsion, atoms=atoms), unit="rad", range=(-torch.pi, torch.pi), periodic=True)
        for name, atoms in torsions_of(structure).items()
    }
    found["Rg"] = Observable(partial(_radius_of_gyration, masses=structure.masses), unit="nm")
    if structure.end_to_end is not None:
        found["end-to-end"] = Observable(partial(_distance, atoms=structure.end_to_end), unit="nm")
    if structure.chiral_centres:
        found["P(L)"] = Observable(partial(_fraction_l, centres=structure.chiral_centres))
    return found


def torsions_of(structure: Structure) -> dict[str, tuple[int, ...]]:
    """Return the atoms of torsions: phi, psi, chi of peptides, then "C1-C2-O3-C4" of every other rotatable bond."""
    torsions = structure.backbone_torsions | structure.chi_torsions
    known = {frozenset(atoms[1:3]) for atoms in torsions.values()}
    for j, k in rotatable_bonds(structure).axis.tolist():
        if frozenset((j, k)) in known:
            continue
        i, l = (_heaviest(structure, a, b) for a, b in ((j, k), (k, j)))  # noqa: E741
        name = "-".join(structure.names[a] for a in (i, j, k, l))
        if name in torsions:
            name = f"{name} {structure.residue_labels[structure.residue_of[j]]}"
        torsions[name if name not in torsions else f"{name} {j}"] = (i, j, k, l)
    return torsions


def _heaviest(structure: Structure, j: int, k: int) -> int:
    """Return the neighbour of j, other than k, of the largest mass; the first of equal ones."""
    return max((i for i in structure.neighbours[j] if i != k), key=lambda i: structure.masses[i])


# Module functions with bound data, not lambdas: they can be pickled with what holds them.


def _torsion(x: Tensor, atoms: tuple[int, ...]) -> Tensor:
    return dihedral(x, torch.tensor([atoms], device=x.device))[:, 0]


def _distance(x: Tensor, atoms: tuple[int, int]) -> Tensor:
    return distance(x, torch.tensor([atoms], device=x.device))[:, 0]


def _radius_of_gyration(x: Tensor, masses: tuple[float, ...]) -> Tensor:
    m = torch.tensor(masses, dtype=x.dtype, device=x.device)
    m = m / m.sum()
    centred = x - (m[:, None] * x).sum(1, keepdim=True)
    return (m * centred.square().sum(-1)).sum(-1).sqrt()


def _fraction_l(x: Tensor, centres: tuple[tuple[int, ...], ...]) -> Tensor:
    """Return the fraction of amino acids that are L: seen along H-CA, the order is CO, R, N clockwise."""
    ca, n, c, cb = x[:, torch.tensor(centres, device=x.device).T].unbind(1)
    volume = (torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1)
    return (volume > 0).to(x.dtype).mean(-1)
