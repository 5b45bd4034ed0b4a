"""Contract of losses: how the proposal learns."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses.drought import NothingFinite


class Batch:
    """What one training step works on: data, where there is any, and proposals drawn once for all losses.

    Args:
        data: training configurations, (B, *event_shape), or None.
        size: how many proposals to draw when a loss asks for them.
        differentiable: whether a loss follows gradients through the proposals; without, no graph is kept.
        context: conditions that the data were drawn under, (C,) or (B, C), or None.
    """

    def __init__(self, data: Tensor | None, size: int, differentiable: bool = True, context: Tensor | None = None) -> None:
        self.data = data
        self.context = context
        self.size = size
        self.differentiable = differentiable
        self._proposals: tuple[Tensor, Tensor] | None = None
        self._u: Tensor | None = None
        self.finite: int | None = None  # proposals with a finite energy and density; None: no energy was asked for

    def required(self, loss: Loss) -> Tensor:
        """Return the data.

        Raises:
            ValueError: there are none.
        """
        if self.data is None:
            raise ValueError(f"{type(loss).__name__} got no data: set data.path, or train from the energy (ReverseKL).")
        return self.data

    def proposals(self, generator: Generator, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """x and log_q of `size` proposals; every loss of a sum gets the same."""
        if self._proposals is None:
            with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
                self._proposals = generator.sample(self.size, rng)
        return self._proposals

    def u(self, generator: Generator, energy: Energy, rng: torch.Generator) -> Tensor:
        """Reduced energy of the proposals, (size,); evaluated once.

        Raises:
            FloatingPointError: an energy of -inf, which is a bug in the energy.
            NothingFinite: no proposal has a finite energy and density.
        """
        if self._u is None:
            x, log_q = self.proposals(generator, rng)
            self._u = energy(x)
            if torch.isneginf(self._u).any():
                raise FloatingPointError(
                    f"{type(energy).__name__} gave u = -inf for {int(torch.isneginf(self._u).sum())} of {self.size} proposals: "
                    "an energy must be bounded from below, so mend the energy."
                )
            self.finite = int((torch.isfinite(self._u) & torch.isfinite(log_q)).sum())
        if self.finite == 0:
            raise NothingFinite(self._what_is_not_finite(generator, energy))
        return self._u

    def _what_is_not_finite(self, generator: Generator, energy: Energy) -> str:
        assert self._proposals is not None
        assert self._u is not None
        for name, value in zip(("configuration", "density"), self._proposals, strict=True):
            if not torch.isfinite(value).reshape(len(value), -1).all(1).any():
                return (
                    f"none of {self.size} proposals has a finite {name}: {type(generator).__name__} has diverged, so lower the "
                    "learning rate, or clip gradients (trainer.gradient_clip_val)."
                )
        nan = int(torch.isnan(self._u).sum())
        return (
            f"none of {self.size} proposals has a finite energy under {type(energy).__name__} ({nan} NaN, "
            f"{self.size - nan} +inf), so there is nothing to learn from: mend the energy or its units, draw more at a time "
            "(data.batch_size), or train on data with ForwardKL first."
        )


class Loss(nn.Module, ABC):
    """A scalar to minimise, mean over the local batch (DDP averages over ranks)."""

    needs_data: bool = False
    needs_log_prob: bool = False  # the density of configurations that the generator did not just draw
    follows_proposals: bool = True  # whether gradients go through the proposals, as in the reparametrisation trick

    def check(self, generator: Generator, energy: Energy) -> None:
        """Refuse what cannot work, before training starts.

        Raises:
            ValueError: generator, energy and loss do not fit, with the way out.
        """
        if self.needs_log_prob and not generator.has_log_prob:
            raise ValueError(
                f"{type(self).__name__} needs the density of given configurations and {type(generator).__name__} has no "
                "log_prob: train it from the energy (ReverseKL), or use a flow."
            )

    def at_step(self, step: int) -> None:
        """Told the global step before each training step; a schedule uses it."""

    @abstractmethod
    def forward(self, generator: Generator, energy: Energy, batch: Batch, rng: torch.Generator) -> Tensor:
        """The loss, a scalar."""

    def parts(self) -> dict[str, Tensor]:
        """Named terms of the last call, for the log; by default none."""
        return {}
