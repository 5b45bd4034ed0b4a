"""Contracts of generators: how to propose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy


class Generator(nn.Module, ABC):
    """A model that proposes configurations, each with its exact log density.

    The reference measure of `log_q` is that of the energy it is built for: Lebesgue on `(D,)` systems;
    for translation-invariant `(N, d)` systems Lebesgue on the centre-of-mass-free subspace, (N-1)d
    dimensions, in an orthonormal basis. `log_q` is proper: E[exp(-u - log_q)] = Z.

    A generator is described by its constructor and gets its shapes from `build(energy)`; anything it
    takes from data (`adapt`) is kept in buffers, so a checkpoint is complete without the data.
    """

    event_shape: tuple[int, ...]
    evaluations: int | None = None  # of its vector field per sample in the last pass, for generators that have one

    @abstractmethod
    def build(self, energy: Energy) -> Self:
        """Create the parameters for this system.

        Raises:
            ValueError: generator and energy do not fit, with the way out.
        """

    def adapt(self, x: Tensor) -> None:
        """Take location and scale from training data, (B, *event_shape), before training. By default nothing."""

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` configurations `(n, *event_shape)` and their log q `(n,)` in one pass, differentiable in the parameters."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), (B,) [nats].

        Raises:
            NotImplementedError: the density of a given configuration is not tractable.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no tractable log_prob: train it from the energy (ReverseKL) or use a flow."
        )

    @property
    def exact_density(self) -> bool:
        """Whether log q is exact (to the accuracy of its arithmetic) and not a random estimate."""
        return True

    def log_prob_variance(self, x: Tensor, rng: torch.Generator) -> Tensor | None:
        """Where log q is a random estimate, its variance at x, (B,), itself estimated from two; None where it is exact."""
        return None

    @property
    def context(self) -> int:
        """Number of conditions (temperature, say) that `sample` and `log_prob` need as `context`."""
        return 0

    @property
    def has_log_prob(self) -> bool:
        """Whether `log_prob` is implemented."""
        return type(self).log_prob is not Generator.log_prob
