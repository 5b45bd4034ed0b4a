"""The proposals of one training step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses.drought import NothingFinite
from lit_bg.samples import Samples

Address = Callable[[], tuple[torch.Generator, Tensor | None]]


class Proposals:
    """Draws samples of the generator when x or log q is asked for, and evaluates energies when u is; both once.

    It has the columns of `Samples`, with gradients in the parameters of the generator if `differentiable`.

    Args:
        generator: it is asked.
        energy: the system.
        size: how many.
        address: returns the random numbers and the conditions, (size, C) or None, when they are drawn.
        differentiable: whether to keep a graph.
    """

    def __init__(self, generator: Generator, energy: Energy, size: int, address: Address, differentiable: bool) -> None:
        self._generator, self._energy, self._size, self._address = generator, energy, size, address
        self._differentiable = differentiable
        self._drawn: tuple[Tensor, Tensor] | None = None
        self._u: Tensor | None = None
        self._context: Tensor | None = None
        self.n_finite: int | None = None  # proposals with a finite energy and density; None: no energy was asked for

    def __len__(self) -> int:
        return self._size

    def _draw(self) -> tuple[Tensor, Tensor]:
        if self._drawn is None:
            rng, self._context = self._address()
            with torch.set_grad_enabled(self._differentiable and torch.is_grad_enabled()):
                self._drawn = self._generator.sample(self._size, rng, self._context)
        return self._drawn

    @property
    def x(self) -> Float[Tensor, "B *shape"]:
        """Return the configurations, (size, *event_shape)."""
        return self._draw()[0]

    @property
    def log_q(self) -> Float[Tensor, "B"]:
        """Return log q of each under its conditions, (size,) [nats]."""
        return self._draw()[1]

    @property
    def u(self) -> Float[Tensor, "B"]:
        """Return the reduced energies under the conditions of each, (size,) [kT].

        Raises:
            FloatingPointError: an energy of -inf, which is a bug in the energy.
            NothingFinite: no proposal has a finite energy and density.
        """
        if self._u is None:
            self._u = self._energy.conditioned(self.x, self._context)
            # The one host read of a step that asks for energies: whether to go on depends on it.
            bottomless, finite = torch.stack([torch.isneginf(self._u).sum(), self.finite.sum()]).tolist()
            if bottomless:
                raise FloatingPointError(
                    f"{type(self._energy).__name__} gave u = -inf for {bottomless} of {self._size} proposals: an energy must "
                    "be bounded from below, so mend the energy."
                )
            self.n_finite = finite
        if self.n_finite == 0:
            raise NothingFinite(self._what_is_not_finite())
        return self._u

    @property
    def finite(self) -> Bool[Tensor, "B"]:
        """Say which have a finite energy and density, (size,) bool."""
        return torch.isfinite(self._u if self._u is not None else self.u) & torch.isfinite(self.log_q)

    @property
    def log_w(self) -> Tensor:
        """Return unnormalised log weights -u - log q, (size,) [nats]; -inf where energy or density are not finite."""
        return torch.where(self.finite, -self.u - self.log_q, -torch.inf)

    def detach(self) -> Samples:
        """Return them as samples without a graph, energies included."""
        return Samples(self.x, self.log_q, self.u).detach()

    def _what_is_not_finite(self) -> str:
        assert self._u is not None
        for name, value in zip(("configuration", "density"), self._draw(), strict=True):
            if not torch.isfinite(value).reshape(len(value), -1).all(1).any():
                return (
                    f"none of {self._size} proposals has a finite {name}: {type(self._generator).__name__} has diverged, so "
                    "lower the learning rate, or clip gradients (trainer.gradient_clip_val)."
                )
        nan = int(torch.isnan(self._u).sum())
        return (
            f"none of {self._size} proposals has a finite energy under {type(self._energy).__name__} ({nan} NaN, "
            f"{self._size - nan} +inf), so there is nothing to learn from: mend the energy or its units, draw more at a time "
            "(data.batch_size), or train on data with ForwardKL first."
        )
