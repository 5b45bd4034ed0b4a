"""A weighted sum of losses."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.drought import NothingFinite
from lit_bg.losses.schedule import Points, Schedule


class WeightedSum(Loss):
    r"""Sums losses, $J = \sum_i w_i J_i$, such as Noe's $w_{ML} J_{ML} + w_{KL} J_{KL} + w_{RC} J_{RC}$.

    All terms see the same proposals and frames and share one evaluation of the energy; other random numbers are each term's
    own. A term whose weight is zero at this step is not evaluated. A batch without one finite energy is left to the terms that
    learn from data.

    Args:
        losses: the terms.
        weights: one per term, each a number or a schedule [[step, value], ...], linear in between.

    Raises:
        ValueError: not one weight per loss, a negative weight, or all weights always zero.
        FloatingPointError: from the call, no proposal has a finite energy (NothingFinite) and no term learns from data.
    """

    def __init__(self, losses: list[Loss], weights: list[Points]) -> None:
        super().__init__()
        if len(losses) != len(weights) or not losses:
            raise ValueError(f"WeightedSum needs one weight per loss, got {len(losses)} losses and {len(weights)} weights.")
        self.terms = nn.ModuleList(losses)
        self.weights = [Schedule(w, f"WeightedSum.weights[{i}]") for i, w in enumerate(weights)]
        for i, weight in enumerate(self.weights):
            if min(weight.values) < 0:
                raise ValueError(f"WeightedSum.weights[{i}] must not be negative, got {min(weight.values)}.")
        if not any(max(w.values) > 0 for w in self.weights):
            raise ValueError("every weight of WeightedSum is zero: there is nothing to train on.")
        self.names = _distinct([type(loss).__name__ for loss in losses])
        self.last: dict[str, Tensor] = {}
        self.at_step(0)

    @property
    def losses(self) -> list[Loss]:
        """Return the terms."""
        return [term for term in self.terms if isinstance(term, Loss)]

    @property
    def needs_data(self) -> bool:  # type: ignore[override]
        """Return whether a term that ever has weight needs data."""
        return any(loss.needs_data and max(w.values) > 0 for loss, w in zip(self.losses, self.weights, strict=True))

    @property
    def follows_proposals(self) -> bool:  # type: ignore[override]
        """Return whether a term with weight at this step depends on the proposals' gradient."""
        return any(loss.follows_proposals for loss, weight in zip(self.losses, self.now, strict=True) if weight > 0)

    @property
    def per_condition(self) -> int:  # type: ignore[override]
        """Return the most samples per condition that a term needs, whatever its weight: draws must not depend on weights."""
        return max(loss.per_condition for loss in self.losses)

    def build(self, generator: Generator, energy: Energy) -> Self:
        for loss in self.losses:
            loss.build(generator, energy)
        return super().build(generator, energy)

    def at_step(self, step: int) -> None:
        self.now = [weight(step) for weight in self.weights]
        for loss in self.losses:
            loss.at_step(step)

    def forward(self, batch: Batch) -> Tensor:
        self.last = {}
        terms: list[Tensor] = []
        nothing, taught = None, False
        for name, loss, weight in zip(self.names, self.losses, self.now, strict=True):
            if weight == 0:
                continue
            try:
                value = loss(batch.of(name))
            except NothingFinite as error:  # at the start, data teach where no proposal has a finite energy
                nothing, self.last[name] = error, torch.full((), torch.nan, device=batch.device)
                self.last |= {f"{name}_{part}": number for part, number in loss.parts().items()}
                continue
            taught |= loss.needs_data
            terms.append(weight * value)
            self.last[name] = value.detach()
            self.last |= {f"{name}_{part}": number for part, number in loss.parts().items()}
        if nothing is not None and not taught:
            raise nothing
        if not terms:
            raise ValueError("every weight of WeightedSum is zero at this step: let the schedules overlap.")
        return torch.stack(terms).sum()

    def parts(self) -> dict[str, Tensor]:
        """Return the unweighted terms by class name, and their own parts."""
        return self.last


def _distinct(names: list[str]) -> list[str]:
    """Append numbers to names that are repeated.

    >>> _distinct(["ReverseKL", "ForwardKL", "ReverseKL"])
    ['ReverseKL', 'ForwardKL', 'ReverseKL2']
    """
    seen = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [name if k == 1 else f"{name}{k}" for name, k in zip(names, seen, strict=True)]
