"""Regression of a denoiser on noised data."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.losses.base import Batch, Loss
from lit_bg.losses.times import even_times
from lit_bg.nets.denoiser import Denoiser, Level


class DenoisingScoreMatching(Loss):
    r"""$E\, \lambda(t)\, |F(x_t, t) - (\sigma x_1 - \alpha \epsilon) / V|^2 / f$ over times, data $x_1$ and noise $\epsilon$.

    Errors of F, of the denoiser, of the noise and of the score are one error in other units, so one regression trains
    all of them, and a weight says in whose units it counts:

    * "network": $\lambda = 1$, every level as it comes (Karras et al.);
    * "denoiser": $\sigma^2 / V^2$, the error of $E[x_1 | x]$;
    * "noise": $\alpha^2 / V^2$, the error of $E[\epsilon | x]$ (Ho et al.);
    * "likelihood": $\alpha (\dot\alpha \sigma - \dot\sigma \alpha) / (\sigma V^2)$, which is
      $\frac{g^2}{2}$ times the error of the score and bounds the log likelihood of the reverse process (Song et al.).

    Times are uniform in t, one in every interval of 1/B.

    Args:
        weighting: as above.

    Raises:
        ValueError: from `check`, a generator that is no diffusion.

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

    def check(self, generator: Generator, energy: Energy) -> None:
        super().check(generator, energy)
        if not (isinstance(generator, FieldGenerator) and isinstance(generator.field, Denoiser)):
            raise ValueError(
                f"DenoisingScoreMatching trains the denoiser of a Diffusion, and {type(generator).__name__} has none: use "
                "ForwardKL or FlowMatching."
            )

    def weight(self, at: Level) -> Tensor:
        """lambda, in the shape of the level."""
        if self.weighting == "denoiser":
            return (at.noise / at.width) ** 2
        if self.weighting == "noise":
            return (at.signal / at.width) ** 2
        if self.weighting == "likelihood":
            turn = at.signal_rate * at.noise - at.noise_rate * at.signal
            return at.signal * turn / (at.noise * at.width**2)
        return torch.ones_like(at.noise)

    def forward(self, generator: Generator, energy: Energy, batch: Batch, rng: torch.Generator) -> Tensor:
        assert isinstance(generator, FieldGenerator)
        field = generator.field
        assert isinstance(field, Denoiser)  # check has refused
        x1 = generator.units.inward(batch.required(self))
        with torch.no_grad():
            noise = generator.units.noise(x1, rng)
            t = even_times(x1, rng)
            at = field.level(t)
            x, target = at.signal * x1 + at.noise * noise, field.target(at, x1, noise)
        context = field.conditions_of(x, batch.context)
        error = field.correction(t, x, context) - target
        return (self.weight(at) * error.square()).sum() / (len(x) * generator.units.space.dof)
