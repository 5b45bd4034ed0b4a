"""The three numbers per configuration on which everything a user trusts rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lit_bg.energies.base import Energy
    from lit_bg.generators.base import Generator


class Samples(NamedTuple):
    """Configurations with everything reweighting needs.

    `log_q` is proper with respect to the reference measure of the system (see `Generator`), so that
    E_q[exp(log_w)] = Z.

    >>> s = Samples(torch.zeros(2, 1), log_q=torch.tensor([-1.0, -1.0]), u=torch.tensor([0.5, float("nan")]))
    >>> s.log_w  # a configuration without a finite energy has weight zero
    tensor([0.5000,   -inf])
    """

    x: Tensor  # (B, *event_shape)
    log_q: Tensor  # (B,) [nats]
    u: Tensor  # (B,) [kT]

    @property
    def finite(self) -> Tensor:
        """(B,) bool: energy and density are finite."""
        return torch.isfinite(self.u) & torch.isfinite(self.log_q)

    @property
    def log_w(self) -> Tensor:
        """Unnormalised log weights -u - log_q, (B,) [nats]; -inf where the energy is NaN or +inf."""
        return torch.where(self.finite, -self.u - self.log_q, -torch.inf)

    def detach(self) -> Samples:
        return Samples(self.x.detach(), self.log_q.detach(), self.u.detach())

    @classmethod
    def cat(cls, parts: list[Samples]) -> Samples:
        """One set from several."""
        return cls(*(torch.cat(p) for p in zip(*parts, strict=True)))


def draw(generator: Generator, energy: Energy, n: int, rng: torch.Generator) -> Samples:
    """`n` proposals with their log density and reduced energy: one generation, one energy evaluation.

    Raises:
        FloatingPointError: an energy is -inf. A bounded system has none, so it is a bug in the energy.
    """
    x, log_q = generator.sample(n, rng)
    samples = Samples(x, log_q, energy(x))
    if torch.isneginf(samples.u).any():
        raise FloatingPointError(
            f"{type(energy).__name__} gave u = -inf for {int(torch.isneginf(samples.u).sum())} of {n} proposals: "
            "an energy must be bounded from below, so mend the energy (weights cannot repair it)."
        )
    return samples


class Evaluation(NamedTuple):
    """What one validation or test step hands to the observers: nothing is generated twice."""

    proposals: Samples  # drawn from the (averaged) generator
    reference: Samples | None  # held-out reference data under the same generator; None without data
    field_evaluations: int | None = None  # per proposal, for generators that integrate a vector field
