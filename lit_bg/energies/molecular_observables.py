"""What is measured of a molecule: torsions, size, handedness, and the sides of its phi torsions as metastable states."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Modes, Observable
from lit_bg.molecules.geometry import dihedral, distance
from lit_bg.molecules.structure import Structure

PHI_BARRIER = 2.15  # [rad] upper end of the basin phi > 0 of alanine


def observables_of(structure: Structure) -> dict[str, Observable]:
    """Backbone and side-chain torsions, radius of gyration, end-to-end distance, and the fraction of L amino acids."""
    torsions = structure.backbone_torsions | structure.chi_torsions
    found = {
        name: Observable(partial(_torsion, atoms=atoms), unit="rad", range=(-torch.pi, torch.pi), periodic=True)
        for name, atoms in torsions.items()
    }
    found["Rg"] = Observable(partial(_radius_of_gyration, masses=structure.masses), unit="nm")
    if structure.end_to_end is not None:
        found["end-to-end"] = Observable(partial(_distance, atoms=structure.end_to_end), unit="nm")
    if structure.chiral_centres:
        found["P(L)"] = Observable(partial(_fraction_l, centres=structure.chiral_centres))
    return found


def modes_of(structure: Structure) -> Modes | None:
    """The slow states of a peptide: which of its phi torsions are positive, in the basin 0 to 2.15 rad (alpha-L).

    For a single phi its two sides; for several "phi<0" (all of them), one state for each that alone is positive, and
    "several phi>0". Crossing between them takes the longest in a peptide of L amino acids without proline and glycine.
    None without a backbone.
    """
    phis = [atoms for name, atoms in structure.backbone_torsions.items() if name.startswith("phi")]
    if not phis:
        return None
    names: tuple[str, ...] = ("phi<0", "phi>0")
    if len(phis) > 1:
        names = ("phi<0", *(f"phi {k}>0" for k in range(1, len(phis) + 1)), "several phi>0")
    return Modes(names=names, label=partial(_positive_phi, phis=tuple(phis)))


# Module functions with bound data, not lambdas: they can be pickled with what holds them.


def _torsion(x: Tensor, atoms: tuple[int, ...]) -> Tensor:
    return dihedral(x, torch.tensor([atoms], device=x.device))[:, 0]


def _distance(x: Tensor, atoms: tuple[int, int]) -> Tensor:
    return distance(x, torch.tensor([atoms], device=x.device))[:, 0]


def _positive_phi(x: Tensor, phis: tuple[tuple[int, ...], ...]) -> Tensor:
    phi = dihedral(x, torch.tensor(phis, device=x.device))
    positive = (phi > 0) & (phi < PHI_BARRIER)
    number, which = positive.sum(-1), positive.long().argmax(-1)
    return torch.where(number > 1, len(phis) + 1, torch.where(number == 1, which + 1, 0))


def _radius_of_gyration(x: Tensor, masses: tuple[float, ...]) -> Tensor:
    m = torch.tensor(masses, dtype=x.dtype, device=x.device)
    m = m / m.sum()
    centred = x - (m[:, None] * x).sum(1, keepdim=True)
    return (m * centred.square().sum(-1)).sum(-1).sqrt()


def _fraction_l(x: Tensor, centres: tuple[tuple[int, ...], ...]) -> Tensor:
    """Fraction of amino acids that are L: seen along H-CA, the order is CO, R, N clockwise."""
    ca, n, c, cb = x[:, torch.tensor(centres, device=x.device).T].unbind(1)
    volume = (torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1)
    return (volume > 0).to(x.dtype).mean(-1)
