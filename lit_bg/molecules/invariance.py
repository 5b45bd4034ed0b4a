"""Symmetries of a molecule's energy, found by moving and turning it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.molecules.geometry import random_rotations
from lit_bg.spaces import Symmetry

SHAKE = 0.01  # [nm] by which atoms leave the topology file's positions, where a restraint may be zero by construction
FAR = (0.1, 1.0, 10.0, 100.0)  # [nm]; a wall is flat as far as its box
TURNS = 12
INFINITY = 1e3  # [nm]: a field that holds a molecule does so here
DIRECTIONS = 200
TOLERANCE = 1e-6  # [kJ/mol] and relative: float64 at 100 nm from the origin rounds to less


class Term(NamedTuple):
    """Holds the energy of one force over several configurations."""

    force: str  # its name
    energy: Tensor  # (B,) [kJ/mol]
    tolerance: float = TOLERANCE  # relative; a lattice sum on a mesh is invariant only up to its own error


def find_symmetries(
    evaluate: Callable[[Tensor], Iterable[Term]], positions: Tensor, box: bool, name: str, kT: float
) -> frozenset[Symmetry]:
    """Return which of translation and rotation every force leaves alone; a molecule that is held in a place has neither.

    It is moved to both sides along three perpendicular axes, since a wall may stand on one side only, by lengths from those
    of bonds to beyond any box; the axes are random, and so are the rotations, so that no symmetry of the axes hides a force.

    Args:
        evaluate: the energy of every force, each (B,), of configurations (B, N, 3) float64 [nm].
        positions: of the topology file, (N, 3) [nm].
        box: whether the System is periodic, so that only translations are a symmetry.
        name: of the molecule, for the message.
        kT: [kJ/mol], against which a field must hold the molecule.

    Raises:
        ValueError: a force that sees where the molecule is and does not hold it there, so that log Z is infinite; or one in a
            periodic box.
    """
    rng = torch.Generator().manual_seed(0)
    x = positions.double() + SHAKE * torch.randn(positions.shape, generator=rng, dtype=torch.float64)
    axes = random_rotations(1, rng, torch.float64)[0]
    lengths = torch.tensor(FAR, dtype=torch.float64).repeat_interleave(6)
    moves = lengths[:, None] * torch.cat([axes, -axes]).repeat(len(FAR), 1)
    centre = x.mean(0)
    turned = (x - centre) @ random_rotations(0 if box else TURNS, rng, torch.float64).mT + centre
    held, symmetries = "", {"translation", "rotation"}
    for force, energy, tolerance in evaluate(torch.cat([x[None], x + moves[:, None], turned])):
        if not torch.isfinite(energy[0]):
            continue  # atoms coincide in the file: whoever evaluates it will say so
        change = (energy[1:] - energy[0]).abs().nan_to_num(math.inf)
        seen = change > TOLERANCE + tolerance * energy[0].abs()
        if seen[: len(moves)].any():
            k = int(torch.nonzero(seen)[0])
            held = (
                f"{force} of {name} holds atoms at points in space (its energy changes by {float(change[k]):.3g} kJ/mol when "
                f"the molecule is moved by {float(lengths[k]):g} nm)"
            )
            symmetries -= {"translation", "rotation"}
        elif seen.any():
            symmetries -= {"rotation"}
    way_out = "take it out of the System, or restrain distances, angles and torsions within the molecule."
    if held and box:
        raise ValueError(f"{held}, and a periodic box is measured without its centre of mass: {way_out}")
    if held and (direction := _way_out_of(evaluate, x, rng, kT)) is not None:
        raise ValueError(
            f"{held} and lets it go to infinity along ({', '.join(f'{c:.2g}' for c in direction.tolist())}), where its energy "
            f"does not grow, so log Z does not exist: hold it on all sides, {way_out}"
        )
    return frozenset[Symmetry]({"translation"} & symmetries if box else symmetries)  # type: ignore[arg-type]


def _way_out_of(evaluate: Callable[[Tensor], Iterable[Term]], x: Tensor, rng: torch.Generator, kT: float) -> Tensor | None:
    r"""Return a direction along which nothing holds the molecule at infinity, (3,), or None.

    $e^{-u}$ has an integral over space where u grows faster than $3 \ln r$, by $3 \ln 2$ where r doubles. Looked at are the
    axes of the laboratory, those along which the energy bends most and least at that distance, and many others.
    """
    eye = torch.eye(3, dtype=torch.float64)

    def energies(moves: Tensor) -> Tensor:
        total = torch.zeros(len(moves), dtype=torch.float64)
        for term in evaluate(x + moves[:, None]):
            total += term.energy.nan_to_num(math.inf, math.inf)
        return total

    pairs = torch.stack([eye[i] + sign * eye[j] for i in range(3) for j in range(3) for sign in (1, -1)])
    values = energies(INFINITY * torch.cat([pairs, -pairs])).reshape(2, 3, 3, 2).sum(0)
    bend = (values[..., 0] - values[..., 1]) / 8  # mixed differences; on the diagonal second ones
    random = torch.nn.functional.normalize(torch.randn(DIRECTIONS, 3, generator=rng, dtype=torch.float64), dim=1)
    found = [eye, random]
    if torch.isfinite(bend).all():
        found.append(torch.linalg.eigh(0.5 * (bend + bend.T))[1].T)
    directions = torch.cat(found)
    directions = torch.cat([directions, -directions])
    growth = energies(2 * INFINITY * directions) - energies(INFINITY * directions)
    free = ~(growth > 3 * math.log(2) * kT)
    return directions[free.nonzero()[0, 0]] if free.any() else None
