"""Coordinates in units of the width of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.nets.field import centred


class Units(nn.Module):
    r"""$x = a + b y$ between configurations x and the coordinates y that a field moves.

    For systems of shape (D,) a and b are mean and width of every coordinate. Particles have one width and no shift, so that no
    symmetry is lost; where the centre of mass is no degree of freedom, y is without it.

    Args:
        energy: the system.
        scale: b before any data.

    Raises:
        ValueError: a scale that is not positive; from `adapt`, data that do not vary.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, energy: Energy, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"units need scale > 0, got {scale}.")
        self.event_shape, self.degrees_of_freedom = energy.event_shape, energy.degrees_of_freedom
        self.mean_free = energy.translation_invariant
        widths = energy.event_shape if len(energy.event_shape) == 1 else (1,)
        self.register_buffer("loc", torch.zeros(widths))
        self.register_buffer("scale", torch.full(widths, scale))

    def adapt(self, x: Tensor) -> None:
        """Take a and b from data, (B, *event_shape)."""
        x = x.to(torch.float64)
        if len(self.event_shape) == 1:
            self.loc.copy_(x.mean(0))
            width = x.std(0, correction=0)
        else:
            width = (self.free(x).square().flatten(1).sum(-1).mean() / self.degrees_of_freedom).sqrt()
        if not (width > 1e-10).all():
            raise ValueError(f"the {len(x)} frames of data do not vary: two different values of each coordinate are needed.")
        self.scale.copy_(width)

    def free(self, y: Tensor) -> Tensor:
        """Without the centre of mass, where it is no degree of freedom."""
        return centred(y) if self.mean_free else y

    def inward(self, x: Tensor) -> Tensor:
        """x -> y."""
        return self.free((x - self.loc) / self.scale)

    def outward(self, y: Tensor) -> Tensor:
        """y -> x."""
        return self.loc + self.scale * y

    def noise(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Standard normal in the degrees of freedom."""
        return self.free(torch.randn(like.shape, generator=rng, device=like.device, dtype=like.dtype))

    @property
    def log_scale(self) -> Tensor:
        """log|det dx/dy| in the reference measure."""
        repeat = self.degrees_of_freedom / self.scale.numel()
        return repeat * self.scale.log().sum()
