"""Generators that are an invertible map of a prior."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.generators.base import Generator


class Transport(Generator):
    r"""Maps a prior p by an invertible F, so that $\log q(F(z)) = \log p(z) - \log|\det \partial F / \partial z|$.

    A subclass sets `prior` in `build` and defines `forward` and `inverse`; sampling and density follow.
    """

    prior: BaseDensity

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "B *latent"], context: Float[Tensor, "... C"] | None = None
    ) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B"]]:
        """Map z of the prior -> x (B, *event_shape) with log|det dx/dz|, (B,), in the system's reference measure."""

    @abstractmethod
    def inverse(
        self, x: Float[Tensor, "B *shape"], context: Float[Tensor, "... C"] | None = None
    ) -> tuple[Float[Tensor, "B *latent"], Float[Tensor, "B"]]:
        """Map x (B, *event_shape) -> z with log|det dz/dx|, (B,)."""

    def complete(self, x: Float[Tensor, "B *shape"], rng: torch.Generator) -> Float[Tensor, "B *shape"]:
        """Draw what the coordinates leave open (an orientation, say); its density is part of ladj already."""
        return x

    def sample(
        self, n: int, rng: torch.Generator, context: Float[Tensor, "... C"] | None = None
    ) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n"]]:
        z, log_p = self.prior.sample(n, rng)
        self.scale_context(context, z)  # refuses conditions that this system does not have, whatever `forward` makes of them
        x, ladj = self(z, context)
        return self.complete(x, rng), log_p - ladj

    def log_prob(self, x: Float[Tensor, "B *shape"], context: Float[Tensor, "... C"] | None = None) -> Float[Tensor, "B"]:
        self.scale_context(context, x)
        z, ladj = self.inverse(x, context)
        return self.prior.log_prob(z) + ladj
