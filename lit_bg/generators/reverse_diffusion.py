"""Diffusions run backwards as a stochastic process, with the weight of the whole path."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.generators.diffusion import start_of
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.variance_preserving import VariancePreserving
from lit_bg.nets.denoiser import Denoiser
from lit_bg.nets.field import VectorField


class ReverseDiffusion(FieldGenerator):
    r"""Samples ancestrally: from noise to data in random steps, each a normal density about what the denoiser expects.

    The log q of a sample is that of its path, against the noising process that would have led back,

    $$\log q = \log p(y_0) + \sum_k \log \frac{G(y_{k+1} | y_k)}{N(y_k | y_{k+1})},$$

    with N exact. Then $E[e^{-u - \log q}] = Z$ for any network and any number of steps, and every estimator
    may be used; log q of a given configuration alone is not known. Steps G have the mean of the posterior of the
    noising process at $x_1 = E[x_1 | y]$, and the variance that makes them exact for normal data at F = 0.

    Corrections are steps of Langevin dynamics at a level of noise, $y' = y + h s(y) + \sqrt{2 h}\, \xi$; the way back in their
    ratio is the same step from y', so they are weighed too. They mend the density and widen the weights.

    Args:
        network: F of the denoiser, as of `Diffusion`, whose parameters fit.
        schedule: noise and signal over time; by default VariancePreserving().
        steps: from noise to data, even in t.
        corrections: steps of Langevin dynamics after each but the last.
        correction_size: h in units of the variance of the noise.
        scale: width of the data, where no data will say.

    Raises:
        ValueError: no steps, a size that is not positive; from `build`, coordinates on circles or intervals, or a network that
            moves the centre of mass.

    References:
        Ho, Jain, Abbeel, NeurIPS 2020, arXiv:2006.11239; Song et al., ICLR 2021, arXiv:2011.13456, for corrections.
        Wu, Koehler, Noe, NeurIPS 2020, arXiv:2002.06707, for the weights of paths.
    """

    field: Denoiser

    def __init__(
        self,
        network: VectorField,
        schedule: Interpolant | None = None,
        steps: int = 100,
        corrections: int = 0,
        correction_size: float = 0.1,
        scale: float = 1.0,
    ) -> None:
        if steps < 1 or corrections < 0 or not correction_size > 0:
            raise ValueError(
                f"ReverseDiffusion needs steps >= 1, corrections >= 0 and correction_size > 0, got {steps=}, {corrections=}, "
                f"{correction_size=}."
            )
        schedule = VariancePreserving() if schedule is None else schedule
        super().__init__(Denoiser(network, schedule), start_of(schedule), scale)
        self.steps, self.corrections, self.correction_size = steps, corrections, correction_size

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_q = self.prior.sample(n, rng)
        conditions = self.scale_context(context, y)
        times = torch.linspace(0, 1, self.steps + 1, device=y.device, dtype=y.dtype)
        for k in range(self.steps):
            y, gained = self._step(y, times[k].expand(n), times[k + 1].expand(n), conditions, rng)
            log_q = log_q + gained
            for _ in range(self.corrections if k + 1 < self.steps else 0):
                y, gained = self._correct(y, times[k + 1].expand(n), conditions, rng)
                log_q = log_q + gained
        self.evaluations = self.steps + 2 * self.corrections * (self.steps - 1)
        return self.units.outward(y), log_q - self.units.log_scale

    def _log_normal(self, residual: Tensor, variance: Tensor) -> Tensor:
        """Return the log normal density in the degrees of freedom, (B,)."""
        squares = (residual.square() / variance).flatten(1).sum(-1)
        return -0.5 * (squares + self.units.space.dof * torch.log(2 * math.pi * variance.flatten()))

    def _step(
        self, y: Tensor, start: Tensor, end: Tensor, context: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return a step to less noise, and log G(y'|y) - log N(y|y')."""
        a, b = self.field.level(start), self.field.level(end)
        ratio = a.signal / b.signal
        added = a.noise**2 - (ratio * b.noise) ** 2  # variance of y given y'
        kept, drawn = ratio * b.noise**2 / a.noise**2, b.signal * added / a.noise**2
        mean = kept * y + drawn * self.field.denoise(start, y, context)
        variance = added * (b.noise / a.noise) ** 2 + (drawn * a.noise / a.width) ** 2
        xi = self.units.noise(y, rng)
        new = mean + variance.sqrt() * xi
        return new, self._log_normal(new - mean, variance) - self._log_normal(y - ratio * new, added)

    def _correct(self, y: Tensor, t: Tensor, context: Tensor | None, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a step of Langevin dynamics, and log K(y'|y) - log K(y|y')."""
        h = self.correction_size * self.field.level(t).noise ** 2
        mean = y + h * self.field.score(t, y, context)
        new = mean + (2 * h).sqrt() * self.units.noise(y, rng)
        back = new + h * self.field.score(t, new, context)
        return new, self._log_normal(new - mean, 2 * h) - self._log_normal(y - back, 2 * h)
