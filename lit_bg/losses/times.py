"""Times at which a regression over a path is taken."""

from __future__ import annotations

import torch
from torch import Tensor


def even_times(x: Tensor, rng: torch.Generator) -> Tensor:
    """Draw (B,) uniform times for the rows of x, one in every interval of 1/B, so that they cover [0, 1], in no order."""
    n = len(x)
    t = (torch.arange(n, device=x.device) + torch.rand(n, generator=rng, device=x.device, dtype=x.dtype)) / n
    return t[torch.randperm(n, generator=rng, device=x.device)]
