"""Contract of generators: how they propose configurations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.energies.condition import Condition, check_context


class Generator(nn.Module, ABC):
    """Proposes configurations, each with its exact log density.

    The reference measure of `log_q` is that of the energy it is built for: Lebesgue on `(D,)` systems;
    for translation-invariant `(N, d)` systems Lebesgue on the centre-of-mass-free subspace, (N-1)d
    dimensions, in an orthonormal basis. `log_q` is proper: E[exp(-u - log_q)] = Z.

    A generator is described by its constructor and gets its shapes from `build(energy)`; anything it
    takes from data (`adapt`) is kept in buffers, so a checkpoint is complete without the data.

    Where the energy has conditions (a temperature, say), every density is one given them: `context`, (C,) for all samples or
    (B, C). A generator that can follow them sets `conditions` in `build`, from the energy.
    """

    event_shape: tuple[int, ...]
    conditions: tuple[Condition, ...] = ()  # that it follows, taken from the energy
    evaluations: int | None = None  # of its vector field per sample in the last pass, for generators that have one

    @abstractmethod
    def build(self, energy: Energy) -> Self:
        """Create the parameters for this system.

        Raises:
            ValueError: generator and energy do not fit, with the way out.
        """

    def adapt(self, x: Float[Tensor, "B *shape"]) -> None:
        """Take location and scale from training data, (B, *event_shape), before training; by default take nothing."""

    @abstractmethod
    def sample(
        self, n: int, rng: torch.Generator, context: Float[Tensor, "... C"] | None = None
    ) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n"]]:
        """Draw `n` configurations `(n, *event_shape)` and their log q `(n,)` in one pass, differentiable in the parameters."""

    def log_prob(self, x: Float[Tensor, "B *shape"], context: Float[Tensor, "... C"] | None = None) -> Float[Tensor, "B"]:
        """Return log q(x), (B,) [nats].

        Raises:
            NotImplementedError: the density of a given configuration is not tractable.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no tractable log_prob: train it from the energy (ReverseKL) or use a flow."
        )

    @property
    def exact_density(self) -> bool:
        """Return whether log q is exact (to the accuracy of its arithmetic) and not a random estimate."""
        return True

    def log_prob_variance(
        self, x: Float[Tensor, "B *shape"], rng: torch.Generator, context: Float[Tensor, "... C"] | None = None
    ) -> Float[Tensor, "B"] | None:
        """Return the variance of a random log q at x, (B,), itself estimated from two; None where log q is exact."""
        return None

    @property
    def context(self) -> int:
        """Return the number of conditions (temperature, say) that `sample` and `log_prob` need as `context`."""
        return len(self.conditions)

    def scale_context(
        self, context: Float[Tensor, "... C"] | None, like: Shaped[Tensor, "B ..."]
    ) -> Float[Tensor, "B C"] | None:
        """Return conditions as networks see them, (B, C) in [-1, 1], for samples (B, ...); None where there are none.

        Whether they are in range is looked at where that costs no host read: on a CPU, and of one set for all samples. A row
        of its own elsewhere that is out of range gives NaN, a proposal without weight.

        Raises:
            ValueError: another number of conditions than the energy has, or one out of its range.
        """
        far = context is not None and context.ndim == 2 and context.device.type != "cpu"
        if not far:
            check_context(self.conditions, context, type(self).__name__)
        if context is None:
            return None
        if context.ndim == 2 and len(context) != len(like):
            raise ValueError(f"{len(like)} samples need as many rows of conditions, got {len(context)}.")
        columns = []
        for k, condition in enumerate(self.conditions):
            value = context[..., k]
            column = condition.scale(value)
            columns.append(torch.where(condition.contains(value), column, torch.nan) if far else column)
        return torch.stack(columns, -1).to(like).expand(len(like), len(columns))

    @property
    def has_log_prob(self) -> bool:
        """Return whether `log_prob` is implemented."""
        return type(self).log_prob is not Generator.log_prob
