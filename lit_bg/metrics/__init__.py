"""Numbers over batches and ranks, collected so that pure functions see what one process would have seen."""

from lit_bg.metrics.gathered import Gathered

__all__ = ["Gathered"]
