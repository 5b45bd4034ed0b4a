"""What a molecule's energy does not see, found by moving and turning it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lit_bg.molecules.geometry import random_rotations

SHAKE = 0.01  # [nm] by which atoms leave the topology file's positions, where a restraint may be zero by construction
FAR = (0.1, 1.0, 100.0)  # [nm]; a wall is flat as far as its box
TURNS = 3
TOLERANCE = 1e-6  # [kJ/mol] and relative: float64 at 100 nm from the origin rounds to less


def refuse_fields(evaluate: Callable[[Tensor], dict[str, Tensor]], positions: Tensor, box: bool, name: str) -> None:
    """Refuse forces whose energy changes when the whole molecule is moved, or (without a box) turned about its centre.

    Args:
        evaluate: energies [kJ/mol] of every force by name, each (B,), of configurations (B, N, 3) float64 [nm].
        positions: of the topology file, (N, 3) [nm].
        box: whether the System is periodic, so that only translations are a symmetry.
        name: of the molecule, for the message.

    Raises:
        ValueError: a force that holds atoms at points in space, or that depends on the orientation.
    """
    rng = torch.Generator().manual_seed(0)
    x = positions.double() + SHAKE * torch.randn(positions.shape, generator=rng, dtype=torch.float64)
    direction = torch.nn.functional.normalize(torch.randn(len(FAR), 3, generator=rng, dtype=torch.float64), dim=1)
    moved = x + (torch.tensor(FAR, dtype=torch.float64)[:, None] * direction)[:, None]
    centre = x.mean(0)
    turned = (x - centre) @ random_rotations(0 if box else TURNS, rng, torch.float64).mT + centre
    for force, energy in evaluate(torch.cat([x[None], moved, turned])).items():
        if not torch.isfinite(energy[0]):
            continue  # atoms coincide in the file: whoever evaluates it will say so
        change = (energy[1:] - energy[0]).abs().nan_to_num(math.inf)
        seen = change > TOLERANCE * (1 + energy[0].abs())
        if seen[: len(FAR)].any():
            k = int(torch.nonzero(seen)[0])
            raise ValueError(
                f"{force} of {name} holds atoms at points in space (its energy changes by {float(change[k]):.3g} kJ/mol when "
                f"the molecule is moved by {FAR[k]:g} nm), and Molecule is measured without its centre of mass: take it out of "
                "the System, or restrain distances, angles and torsions within the molecule."
            )
        if seen.any():
            raise ValueError(
                f"{force} of {name} depends on the orientation (its energy changes by {float(change.max()):.3g} kJ/mol when "
                "the molecule is turned), and Molecule takes all orientations to be alike: take it out of the System, or "
                "restrain distances, angles and torsions within the molecule."
            )
