"""Where walkers start."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import Molecule
from lit_bg.molecules.rotatable import side_of_bond, turned
from lit_bg.rng import stream


def starting_points(energy: Energy, walkers: int, start: str, seed: int = 0) -> Tensor:
    """(walkers, *event_shape) configurations from `energy.initial`.

    Args:
        energy: the system.
        walkers: how many.
        start: "modes" goes round all initial configurations, one walker each; "initial" takes the first for all; the name of
            a mode keeps to those that lie in it; "torsions" draws the backbone torsions of a molecule uniformly.
        seed: of the torsions.

    Raises:
        ValueError: an energy without initial configurations, or no such mode, or no backbone.

    >>> from lit_bg.energies import DoubleWell
    >>> starting_points(DoubleWell(), 3, "modes")[:, 0].sign()
    tensor([-1.,  1., -1.])
    >>> starting_points(DoubleWell(), 3, "right")[:, 0].sign()
    tensor([1., 1., 1.])
    """
    if start == "torsions":
        if not isinstance(energy, Molecule) or not energy.structure.backbone_torsions:
            name = energy.name if isinstance(energy, Molecule) else type(energy).__name__
            raise ValueError(f"{name} has no peptide backbone to turn: use start: initial.")
        return torsion_starts(energy, walkers, seed)
    initial = energy.initial
    if initial is None:
        raise ValueError(f"{type(energy).__name__} says nothing of where to start: define its `initial` configurations.")
    if start == "initial":
        initial = initial[:1]
    elif start != "modes":
        modes = energy.modes
        names = () if modes is None else modes.names
        if modes is None or start not in names:
            raise ValueError(f"start={start!r} is no mode of {type(energy).__name__}: use 'modes' or one of {list(names)}.")
        initial = initial[modes.label(initial) == names.index(start)]
        if len(initial) == 0:
            raise ValueError(f"{type(energy).__name__} has no initial configuration in its mode {start!r}: use 'modes'.")
    return initial[torch.arange(walkers) % len(initial)].clone()


def torsion_starts(energy: Molecule, walkers: int, seed: int) -> Tensor:
    """(walkers, N, 3) float64 [nm]: the topology file's configuration with its backbone torsions drawn uniformly.

    A torsion turns what lies on one side of its bond; bonds in rings (proline) are left as they are.
    """
    structure, rng = energy.structure, stream(seed, "start")
    x = torch.from_numpy(structure.positions).repeat(walkers, 1, 1)
    for _, j, k, _ in structure.backbone_torsions.values():
        angle = 2 * torch.pi * torch.rand(walkers, generator=rng, dtype=x.dtype)
        atoms = side_of_bond(structure, j, k)
        if j in atoms:
            continue
        side = torch.zeros(structure.n_atoms, dtype=torch.bool)
        side[atoms] = True
        x = turned(x, torch.tensor([j, k]).expand(walkers, 2), side.expand(walkers, -1), angle)
    return x
