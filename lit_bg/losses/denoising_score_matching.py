"""Regression of a denoiser on noised data."""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.times import even_times
from lit_bg.nets.denoiser import Denoiser, Level


class DenoisingScoreMatching(Loss):
    r"""Minimises $E\, \lambda(t)\, |F(x_t, t) - (\sigma x_1 - \alpha \epsilon) / V|^2 / f$.

    The average is over times, data $x_1$ and noise $\epsilon$.

    Errors of F, of the denoiser, of the noise and of the score are one error in other units, so one regression trains
    all of them, and a weight says in whose units it counts:

    * "network": $\lambda = 1$, every level as it comes (Karras et al.);
    * "denoiser": $\sigma^2 / V^2$, the error of $E[x_1 | x]$;
    * "noise": $\alpha^2 / V^2$, the error of $E[\epsilon | x]$ (Ho et al.);
    * "likelihood": $\alpha (\dot\alpha \sigma - \dot\sigma \alpha) / (\sigma V^2)$, which is
      $\frac{g^2}{2}$ times the error of the score and bounds the log likelihood of the reverse process (Song et al.).

    Times are uniform in t, one in every interval of 1/B. Frames count by their weights.

    Args:
        weighting: as above.

    Raises:
        ValueError: from `build`, a generator that is no diffusion.

    References:
        Vincent, Neural Comput. 23, 1661 (2011), doi:10.1162/NECO_a_00142.
        Ho, Jain, Abbeel, NeurIPS 2020, arXiv:2006.11239; Karras et al., NeurIPS 2022, arXiv:2206.00364.
        Song, Durkan, Murray, Ermon, NeurIPS 2021, arXiv:2101.09258.
    """

    needs_data = True
    follows_proposals = False

    def __init__(self, weighting: Literal["network", "denoiser", "noise", "likelihood"] = "network") -> None:
        super().__init__()
        self.weighting = weighting

    def build(self, generator: Generator, energy: Energy) -> Self:
        if not (isinstance(generator, FieldGenerator) and isinstance(generator.field, Denoiser)):
            raise ValueError(
                f"DenoisingScoreMatching trains the denoiser of a Diffusion, and {type(generator).__name__} has none: use "
                "ForwardKL or FlowMatching."
            )
        return super().build(generator, energy)

    def weight(self, at: Level) -> Tensor:
        """Return lambda, in the shape of the level."""
        if self.weighting == "denoiser":
            return (at.noise / at.width) ** 2
        if self.weighting == "noise":
            return (at.signal / at.width) ** 2
        if self.weighting == "likelihood":
            turn = at.signal_rate * at.noise - at.noise_rate * at.signal
            return at.signal * turn / (at.noise * at.width**2)
        return torch.ones_like(at.noise)

    def forward(self, batch: Batch) -> Tensor:
        generator, frames = self.generator, batch.frames
        assert isinstance(generator, FieldGenerator)
        field = generator.field
        assert isinstance(field, Denoiser)  # build has refused
        x1 = generator.units.inward(frames.x)
        with torch.no_grad():
            noise = generator.units.noise(x1, batch.rng("noise"))
            t = even_times(x1, batch.rng("times"))
            at = field.level(t)
            x, target = at.signal * x1 + at.noise * noise, field.target(at, x1, noise)
        error = field.correction(t, x, generator.scale_context(frames.context, x)) - target
        each = (self.weight(at) * error.square()).flatten(1).sum(-1)
        return (frames.weight * each).mean() / generator.units.space.dof
