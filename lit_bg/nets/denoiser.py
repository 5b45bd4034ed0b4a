"""A network that removes noise, and the velocity that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from torch import Tensor

from lit_bg.interpolants.base import Interpolant
from lit_bg.nets.field import VectorField, centre

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class Level(NamedTuple):
    """Holds noise and signal of a diffusion at times (B,), shaped to multiply (B, *event_shape)."""

    noise: Tensor  # sigma
    signal: Tensor  # alpha
    width: Tensor  # V = sqrt(alpha^2 + sigma^2), that of noised data of width one
    noise_rate: Tensor  # by t
    signal_rate: Tensor


class Denoiser(VectorField):
    r"""Gives the velocity of a diffusion's probability flow, by a network F that knows what normal data would need.

    With $x = \alpha x_1 + \sigma \epsilon$, $V^2 = \alpha^2 + \sigma^2$ and data of width one,

    $$E[x_1 | x] = \frac{\alpha x}{V^2} + \frac{\sigma}{V} F, \quad
      E[\epsilon | x] = \frac{\sigma x}{V^2} - \frac{\alpha}{V} F,$$

    $$s = -\frac{E[\epsilon | x]}{\sigma}, \quad v = \frac{\dot V}{V} x + \frac{\dot\alpha \sigma - \dot\sigma \alpha}{V} F.$$

    F = F(x / V, t) is asked for a target of mean zero and width one at every level, $(\sigma x_1 - \alpha \epsilon) / V$; F = 0
    is exact for a standard normal. In terms of $\sigma / \alpha$ this is the preconditioning of Karras et al.; for $V = 1$ it
    is the prediction of v. The divergence follows from that of the network in closed form.

    It has the symmetries of the network. A `GradientField` as network makes the score the gradient of a scalar.

    Args:
        network: F.
        schedule: a diffusion: an interpolant without latent noise.

    Raises:
        ValueError: a schedule with latent noise.

    References:
        Song et al., ICLR 2021, arXiv:2011.13456, for the probability flow.
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv:2206.00364; Salimans, Ho, ICLR 2022, arXiv:2202.00512.
    """

    def __init__(self, network: VectorField, schedule: Interpolant) -> None:
        super().__init__()
        if schedule.latent:
            raise ValueError(
                f"a diffusion has one source of noise, its base, and {type(schedule).__name__} has latent noise: leave it out."
            )
        self.network, self.schedule = network, schedule

    def build(self, energy: Target) -> Self:
        self.network.build(energy)
        self.event_shape, self.dof = energy.space.shape, energy.space.dof
        self.context = self.network.context
        self.symmetries, self.exchangeable = self.network.symmetries, self.network.exchangeable
        return self

    def at_once(self, x: Tensor) -> int:
        return self.network.at_once(x)

    @property
    def compiles(self) -> bool:
        return self.network.compiles

    def level(self, t: Tensor) -> Level:
        """Return noise and signal at times (B,)."""
        sigma, alpha, _ = self.schedule.coefficients(t)
        dsigma, dalpha, _ = self.schedule.rates(t)
        shape = (-1, *(1 for _ in self.event_shape))
        values = (sigma, alpha, (sigma**2 + alpha**2).sqrt(), dsigma, dalpha)
        return Level(*(a.reshape(shape) for a in values))

    def target(self, at: Level, data: Tensor, noise: Tensor) -> Tensor:
        r"""Return what F should be on average: $(\sigma x_1 - \alpha \epsilon) / V$."""
        return (at.noise * data - at.signal * noise) / at.width

    def correction(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return F, (B, *event_shape)."""
        return self._correction(self.level(t), t, x, context)

    def _correction(self, at: Level, t: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        return self.network(self.schedule.clock(t), x / at.width, context)

    def denoise(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return E[x_1 | x], (B, *event_shape)."""
        at = self.level(t)
        return at.signal / at.width**2 * self._own(x) + at.noise / at.width * self._correction(at, t, x, context)

    def score(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the gradient of the log density of noised data, (B, *event_shape); infinite where there is no noise."""
        at = self.level(t)
        return at.signal / (at.width * at.noise) * self._correction(at, t, x, context) - self._own(x) / at.width**2

    def _own(self, x: Tensor) -> Tensor:
        return centre(x) if "translation" in self.symmetries else x

    def _factors(self, at: Level) -> tuple[Tensor, Tensor]:
        """Return the factors of x and of F in the velocity."""
        own = (at.signal * at.signal_rate + at.noise * at.noise_rate) / at.width**2
        return own, (at.signal_rate * at.noise - at.noise_rate * at.signal) / at.width

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        at = self.level(t)
        own, corrected = self._factors(at)
        return own * self._own(x) + corrected * self._correction(at, t, x, context)

    def with_divergence(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        at = self.level(t)
        own, corrected = self._factors(at)
        f, divergence = self.network.with_divergence(self.schedule.clock(t), x / at.width, context)
        trace = own.flatten() * self.dof + (corrected / at.width).flatten() * divergence
        return own * self._own(x) + corrected * f, trace

    def with_forms(self, t: Tensor, x: Tensor, e: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        at = self.level(t)
        own, corrected = self._factors(at)
        f, forms = self.network.with_forms(self.schedule.clock(t), x / at.width, e, context)
        rows = e.flatten(0, 1)
        squares = (self._own(rows) * rows).flatten(1).sum(-1).reshape(e.shape[:2])
        return own * self._own(x) + corrected * f, own.flatten() * squares + (corrected / at.width).flatten() * forms
