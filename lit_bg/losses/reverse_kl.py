"""Training from the energy alone."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.trial import loses_gradient
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.schedule import Points, Schedule


class ReverseKL(Loss):
    r"""Minimises $J_{KL} = \langle u(x) + \log q(x) \rangle_q$ [nats], an upper bound of $-\log Z$, tight for q = exp(-u)/Z.

    It needs no data and is blind to modes that q does not visit: look at the verdict.

    Proposals without a finite energy are left out of the mean, forces included, and counted as `dropped`. Under conditions it
    is the mean over conditions, each proposal under its own.

    Args:
        cut: energy [kT] above which u is replaced by $u_h + \log(1 + u - u_h)$, to tame the clashes of an
            untrained flow; a number or a schedule. None: no cut. It changes what is trained, never what is
            reported.

    Raises:
        ValueError: a cut that is not finite; from `build`, an energy without a gradient.
        FloatingPointError: no proposal has a finite energy (NothingFinite), or one of -inf, which is a bug in the energy.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147.
    """

    def __init__(self, cut: Points | None = None) -> None:
        super().__init__()
        self.cut_at = None if cut is None else Schedule(cut, "ReverseKL.cut")
        self.at_step(0)
        self.dropped = torch.zeros(())

    def build(self, generator: Generator, energy: Energy) -> Self:
        if loses_gradient(energy):
            raise ValueError(
                f"ReverseKL follows the gradient of the energy and {type(energy).__name__}.potential loses it (numpy, "
                ".detach(), .item()): compute it with torch alone, or train with ReweightedKL, which needs energies alone."
            )
        return super().build(generator, energy)

    def at_step(self, step: int) -> None:
        self.cut = None if self.cut_at is None else self.cut_at(step)

    def forward(self, batch: Batch) -> Tensor:
        x, log_q = batch.proposals.x, batch.proposals.log_q
        self.dropped = torch.full((), float(batch.size), device=x.device)
        u, kept = batch.proposals.u, batch.proposals.finite
        self.dropped = (~kept).sum().to(torch.get_default_dtype())
        if x.requires_grad:  # a zero gradient into a singular energy comes back as NaN
            x.register_hook(lambda grad: torch.where(_per_sample(kept, grad), grad, 0.0))
        u, log_q = torch.where(kept, u, 0.0), torch.where(kept, log_q, 0.0)
        if self.cut is not None:
            excess = (u - self.cut).clamp_min(0.0)  # masked before the logarithm: no 0 * inf in the gradient
            u = u.clamp_max(self.cut) + torch.log1p(excess)
        return (u + log_q).sum() / kept.sum()

    def parts(self) -> dict[str, Tensor]:
        return {"dropped": self.dropped}


def _per_sample(kept: Tensor, x: Tensor) -> Tensor:
    return kept.reshape(-1, *[1] * (x.ndim - 1))
