"""Metastable states of a molecule: boxes in its torsions, known beforehand, given, or found in equilibrium frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import TypedDict

import torch
from torch import Tensor

from lit_bg.energies.base import Modes
from lit_bg.energies.molecular_observables import torsions_of
from lit_bg.estimators.basins import circular_basins
from lit_bg.estimators.time_series import statistical_inefficiency
from lit_bg.molecules.geometry import dihedral
from lit_bg.molecules.structure import Structure

PHI_BARRIER = 2.15  # [rad] upper end of the basin phi > 0 of alanine
MOST_STATES = 32  # a longer list is not read; the most populated are kept
FEWEST = 20  # independent frames in a state that is found

Borders = Mapping[str, list[float]]  # [rad] of the basins of every torsion, ascending


class FoundModes(TypedDict):
    """Holds basins that were found in frames, as data cards and the configurations of runs hold them; see `torsion_modes`."""

    borders: dict[str, list[float]]
    states: list[list[int]]


def phi_modes(structure: Structure) -> Modes | None:
    """Return the slow states of a peptide: which of its phi torsions are positive, in the basin 0 to 2.15 rad (alpha-L).

    For a single phi its two sides; for several "phi<0" (all of them), one state for each that alone is positive, and
    "several phi>0". Crossing between them takes the longest in a peptide of L amino acids without proline and glycine.
    None without a backbone.
    """
    named = {name: atoms for name, atoms in structure.backbone_torsions.items() if name.startswith("phi")}
    phis = list(named.values())
    if not phis:
        return None
    names: tuple[str, ...] = ("phi<0", "phi>0")
    if len(phis) > 1:
        names = ("phi<0", *(f"{name}>0" for name in named), "several phi>0")
    return Modes(names=names, label=partial(_positive_phi, phis=tuple(phis)))


def torsion_modes(structure: Structure, borders: Borders, states: list[list[int]] | None = None) -> Modes:
    """Return boxes in torsions as modes: a state for every combination of their basins.

    Args:
        structure: the molecule.
        borders: by torsion; basin i reaches from border i to the next, the last one around the circle to the first.
        states: the combinations that count, basins in the order of `borders`; None: all. Others are in no mode.

    Raises:
        ValueError: an unknown torsion, borders that do not ascend within 2 pi, or too many combinations.
    """
    known = torsions_of(structure)
    for name, edges in borders.items():
        if name not in known:
            raise ValueError(f"modes name the torsion {name!r}, and this molecule has {', '.join(known)}.")
        if len(edges) < 2 or sorted(set(edges)) != list(edges) or edges[-1] - edges[0] >= 2 * math.pi:
            raise ValueError(f"modes need two or more ascending borders [rad] within 2 pi for {name}, got {edges}.")
    if states is None:
        number = math.prod(len(edges) for edges in borders.values())
        if not 2 <= number <= MOST_STATES:
            raise ValueError(f"these borders make {number} modes, and they must be 2 to {MOST_STATES}: name fewer torsions.")
        states = [list(s) for s in itertools.product(*(range(len(edges)) for edges in borders.values()))]
    names = tuple(_name(borders, state) for state in states)
    atoms = tuple(known[name] for name in borders)
    all_borders = tuple(tuple(edges) for edges in borders.values())
    return Modes(names=names, label=partial(_box, atoms=atoms, borders=all_borders, states=tuple(map(tuple, states))))


def find_modes(structure: Structure, x: Tensor) -> FoundModes | None:
    """Find basins of the free energy along every torsion, and the combinations of them in which frames are.

    Args:
        structure: the molecule.
        x: (T, W, N, 3) equilibrium frames of independent walkers.

    Returns:
        arguments of `torsion_modes`, as JSON holds them, the most populated state first; None where all is one basin.
    """
    frames, walkers = x.shape[:2]
    borders: dict[str, list[float]] = {}
    basins, slowest = [], 1.0
    for name, atoms in torsions_of(structure).items():
        a = dihedral(x.reshape(-1, *x.shape[2:]), torch.tensor([atoms]))[:, 0].double()
        series = a.reshape(frames, walkers)
        g = max(statistical_inefficiency(series.cos()), statistical_inefficiency(series.sin()))
        edges = circular_basins(a, a.numel() / g)
        if edges:
            borders[name], slowest = edges, max(slowest, g)
            basins.append(_basin(a, tuple(edges)))
    if not borders:
        return None
    combinations, count = torch.stack(basins, 1).unique(dim=0, return_counts=True)
    order = [i for i in count.argsort(descending=True, stable=True).tolist() if count[i] >= FEWEST * slowest][:MOST_STATES]
    return {"borders": borders, "states": combinations[order].tolist()} if len(order) > 1 else None


def _name(borders: Borders, state: list[int]) -> str:
    """Return a name such as "phi 0..123, psi -120..50", in degrees."""
    parts = []
    for (name, edges), i in zip(borders.items(), state, strict=True):
        low, high = (round(math.degrees(edges[k % len(edges)])) for k in (i, i + 1))
        parts.append(f"{name} {low}..{high}")
    return ", ".join(parts)


# Module functions with bound data, not lambdas: they can be pickled with what holds them.


def _positive_phi(x: Tensor, phis: tuple[tuple[int, ...], ...]) -> Tensor:
    phi = dihedral(x, torch.tensor(phis, device=x.device))
    positive = (phi > 0) & (phi < PHI_BARRIER)
    number, which = positive.sum(-1), positive.long().argmax(-1)
    return torch.where(number > 1, len(phis) + 1, torch.where(number == 1, which + 1, 0))


def _basin(a: Tensor, borders: tuple[float, ...]) -> Tensor:
    """Return the index of the basin of an angle; the last one goes around the circle."""
    above = torch.remainder(a - borders[0], 2 * torch.pi) + borders[0]
    return torch.bucketize(above, torch.tensor(borders, dtype=a.dtype, device=a.device), right=True) - 1


def _box(
    x: Tensor, atoms: tuple[tuple[int, ...], ...], borders: tuple[tuple[float, ...], ...], states: tuple[tuple[int, ...], ...]
) -> Tensor:
    angles = dihedral(x, torch.tensor(atoms, device=x.device)).unbind(-1)
    basins = torch.stack([_basin(a, edges) for a, edges in zip(angles, borders, strict=True)], -1)
    same = (basins[:, None] == torch.tensor(states, device=x.device)).all(-1)  # (B, S)
    return torch.where(same.any(-1), same.long().argmax(-1), -1)
