"""Samples of the target that do not come from the proposals: reference data, or exact samples."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lit_bg.module import BoltzmannGenerator
from lit_bg.rng import stream

EXACT_SAMPLES = 100_000
Series = Callable[[Tensor], Tensor]  # values (n,) -> (T, W) in order of time


def target_samples(module: BoltzmannGenerator) -> tuple[Tensor, Series] | None:
    """Return configurations of the target on the module's device, and a function that arranges one value of each as (T, W).

    The reference data where there are any, else exact samples of the system (without counting energies), else None.
    """
    data = module.data.dataset
    if data is not None:
        return data.x.to(module.device), data.series
    if module.energy.has_exact_samples:
        return module.energy.exact_samples(EXACT_SAMPLES, stream(0, "target", device=module.device)), _independent
    return None


def _independent(values: Tensor) -> Tensor:
    """Return (n,) independent values as (1, n)."""
    return values[None]
