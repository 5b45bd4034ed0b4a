"""Metrics collected over batches and ranks, so that pure functions see what one process would have seen."""

from lit_bg.metrics.gathered import Gathered
from lit_bg.metrics.pool import Pool

__all__ = ["Gathered", "Pool"]
