"""What a molecule's energy does not see, found by moving and turning it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.molecules.geometry import random_rotations

SHAKE = 0.01  # [nm] by which atoms leave the topology file's positions, where a restraint may be zero by construction
FAR = (0.1, 1.0, 10.0, 100.0)  # [nm]; a wall is flat as far as its box
TURNS = 12
TOLERANCE = 1e-6  # [kJ/mol] and relative: float64 at 100 nm from the origin rounds to less


class Term(NamedTuple):
    """The energy of one force over several configurations."""

    force: str  # its name
    energy: Tensor  # (B,) [kJ/mol]
    tolerance: float = TOLERANCE  # relative; a lattice sum on a mesh is invariant only up to its own error


def refuse_fields(evaluate: Callable[[Tensor], Iterable[Term]], positions: Tensor, box: bool, name: str) -> None:
    """Refuse forces whose energy changes when the whole molecule is moved, or (without a box) turned about its centre.

    It is moved to both sides along three perpendicular axes, since a wall may stand on one side only, by lengths from those
    of bonds to beyond any box; the axes are random, and so are the rotations, so that no symmetry of the axes hides a force.

    Args:
        evaluate: the energy of every force, each (B,), of configurations (B, N, 3) float64 [nm].
        positions: of the topology file, (N, 3) [nm].
        box: whether the System is periodic, so that only translations are a symmetry.
        name: of the molecule, for the message.

    Raises:
        ValueError: a force that holds atoms at points in space, or that depends on the orientation.
    """
    rng = torch.Generator().manual_seed(0)
    x = positions.double() + SHAKE * torch.randn(positions.shape, generator=rng, dtype=torch.float64)
    axes = random_rotations(1, rng, torch.float64)[0]
    lengths = torch.tensor(FAR, dtype=torch.float64).repeat_interleave(6)
    moves = lengths[:, None] * torch.cat([axes, -axes]).repeat(len(FAR), 1)
    centre = x.mean(0)
    turned = (x - centre) @ random_rotations(0 if box else TURNS, rng, torch.float64).mT + centre
    for force, energy, tolerance in evaluate(torch.cat([x[None], x + moves[:, None], turned])):
        if not torch.isfinite(energy[0]):
            continue  # atoms coincide in the file: whoever evaluates it will say so
        change = (energy[1:] - energy[0]).abs().nan_to_num(math.inf)
        seen = change > TOLERANCE + tolerance * energy[0].abs()
        if seen[: len(moves)].any():
            k = int(torch.nonzero(seen)[0])
            raise ValueError(
                f"{force} of {name} holds atoms at points in space (its energy changes by {float(change[k]):.3g} kJ/mol when "
                f"the molecule is moved by {float(lengths[k]):g} nm), and Molecule is measured without its centre of mass: "
                "take it out of the System, or restrain distances, angles and torsions within the molecule."
            )
        if seen.any():
            raise ValueError(
                f"{force} of {name} depends on the orientation (its energy changes by {float(change[seen].max()):.3g} kJ/mol "
                "when the molecule is turned), and Molecule takes all orientations to be alike: take it out of the System, or "
                "restrain distances, angles and torsions within the molecule."
            )
