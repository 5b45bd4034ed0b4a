"""Training frames that a test gives by hand, and the value of a loss on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.data.sources import Source, WeightedFrames
from lit_bg.energies import Energy
from lit_bg.generators import Generator
from lit_bg.losses import Batch, Loss
from lit_bg.rng import Place


class Given(Source):
    """Hands out the same frames, whatever is asked for."""

    def __init__(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> None:
        even = weight is None
        self.frames = WeightedFrames(x, torch.ones(len(x), dtype=x.dtype) if even else weight, context, even)

    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        return self.frames


def value_of(
    loss: Loss, generator: Generator, energy: Energy, size: int, data: Tensor | Source | None = None, seed: int = 0, **more: Any
) -> Tensor:
    """Build a loss and evaluate it on one batch."""
    loss.build(generator, energy)
    source = Given(data) if isinstance(data, Tensor) else data
    arguments = {"differentiable": loss.follows_proposals, "per_condition": loss.per_condition, **more}
    return loss(Batch(generator, energy, size, source, at=Place(seed), **arguments))
