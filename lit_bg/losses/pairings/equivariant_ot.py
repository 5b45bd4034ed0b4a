"""Optimal transport within a batch, up to the symmetries of the system."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.estimators.alignment import Moves, align
from lit_bg.losses.pairings.base import Pairing
from lit_bg.nets.field import VectorField


class EquivariantOT(Pairing):
    r"""Finds the assignment of least $\sum_b \min_{R, s} |x_0^b - R\, s\, x_1^{\sigma(b)}|^2$ over a batch, with x1 so moved.

    Exchanges s are within types of particles; rotations R are those that the energy does not see, with reflections where it
    does not see them either. The minimum is approximated: the best exchange as the particles lie (Hungarian), then the best
    rotation (Kabsch), `sweeps` times; nothing is random. Base and field must have these symmetries as well: others would
    learn the law of the moved data.

    Every pair of a block is aligned, so the cost per sample grows with the block, and with the third power of the particles: it
    is easily more than that of the training step, so take a smaller block where particles are many.

    Args:
        block: samples per assignment.
        sweeps: exchanges and rotations in turn, at most.

    Raises:
        ValueError: a block of one, or no sweep; from `build`, a system without particles that exchange or rotate; from `check`,
            a base or a field that lacks a symmetry by which data are moved.

    References:
        Klein, Kraemer, Noe, NeurIPS 2023, arXiv:2306.15030; Song et al., NeurIPS 2023, arXiv:2312.07168.
    """

    def __init__(self, block: int = 64, sweeps: int = 1) -> None:
        if block < 2 or sweeps < 1:
            raise ValueError(f"EquivariantOT needs block of 2 or more and sweeps of 1 or more, got {block=}, {sweeps=}.")
        self.block, self.sweeps = block, sweeps
        self.moves: Moves | None = None

    def build(self, energy: Energy) -> Self:
        moves = None if energy.space.types is None else Moves.of(energy)
        if moves is None or (moves.types is None and not moves.rotations):
            raise ValueError(
                f"EquivariantOT exchanges and rotates particles, and {type(energy).__name__}, {energy.space}, "
                "allows neither: use MinibatchOT."
            )
        self.moves = moves
        return self

    def check(self, base: BaseDensity, field: VectorField) -> None:
        assert self.moves is not None  # of build
        for part in (base, field):
            lacks = []
            if self.moves.types is not None and not part.exchangeable:
                lacks.append("exchanges of particles")
            if self.moves.rotations and "rotation" not in part.symmetries:
                lacks.append("rotations")
            if self.moves.reflections and "reflection" not in part.symmetries:
                lacks.append("reflections")
            if lacks:
                raise ValueError(
                    f"EquivariantOT moves data by {' and '.join(lacks)}, and {type(part).__name__} does not follow them: use "
                    "MinibatchOT, or Normal with an EGNN."
                )

    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        if self.moves is None:
            raise ValueError("EquivariantOT does not know the symmetries yet: call build(energy) first.")
        parts = zip(x0.split(self.block), x1.split(self.block), strict=True)
        return x0, torch.cat([self._partners(a, b, self.moves) for a, b in parts])

    def _partners(self, x0: Tensor, x1: Tensor, moves: Moves) -> Tensor:
        """Return the partner x1 of every x0, aligned, (B, N, d)."""
        from scipy.optimize import linear_sum_assignment

        n = len(x0)
        each = x0.repeat_interleave(n, 0)
        moved = align(each, x1.repeat(n, 1, 1), moves, self.sweeps)
        cost = (each - moved).square().flatten(1).sum(-1).reshape(n, n)
        _, columns = linear_sum_assignment(cost.cpu().numpy())
        return moved.reshape(n, n, *x1.shape[1:])[torch.arange(n), torch.as_tensor(columns)]
