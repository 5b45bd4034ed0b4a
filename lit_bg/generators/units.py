"""Coordinates in units of the width of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy


class Units(nn.Module):
    r"""Maps $x = a + b y$ between configurations x and the coordinates y that a field moves.

    The space says how far coordinates have units of their own (`Space.measure_units`): vectors have a mean and a width each,
    particles one width and no shift, so that no symmetry is lost. What is no degree of freedom is taken out of y.

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
        self.space = energy.space
        self.register_buffer("loc", torch.zeros(self.space.units_shape))
        self.register_buffer("scale", torch.full(self.space.units_shape, scale))

    def adapt(self, x: Tensor) -> None:
        """Take a and b from data, (B, *shape)."""
        loc, width = self.space.measure_units(x.to(torch.float64))
        if not (width > 1e-10).all():
            raise ValueError(f"the {len(x)} frames of data do not vary: two different values of each coordinate are needed.")
        self.loc.copy_(loc)
        self.scale.copy_(width)

    def inward(self, x: Tensor) -> Tensor:
        """Return y of x."""
        return self.space.project((x - self.loc) / self.scale)

    def outward(self, y: Tensor) -> Tensor:
        """Return x of y."""
        return self.loc + self.scale * y

    def noise(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Draw standard normal displacements, as many as there are rows in `like`, in its dtype."""
        return self.space.noise(len(like), rng, like.dtype).to(like.device)

    @property
    def log_scale(self) -> Tensor:
        """Return log|det dx/dy| in the reference measure."""
        repeat = self.space.dof / self.scale.numel()
        return repeat * self.scale.log().sum()
