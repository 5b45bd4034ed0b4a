"""Importance sampling."""

from __future__ import annotations

from lit_bg.samplers.base import BATCH, Proposer, Result, Sampler
from lit_bg.samples import Samples
from lit_bg.simulators.base import ReportProgress
from lit_bg.simulators.recorder import Recorder


class Importance(Sampler):
    r"""Draws n independent proposals with weights $w = e^{-u} / q$ (importance sampling).

    It needs no more than proposals whose log q is proper, so it works with every generator. Where the effective sample size is
    small, `SMC` and `MarkovChains` spend energies better.

    Args:
        n: proposals.

    Raises:
        ValueError: fewer than two.
    """

    def __init__(self, n: int = 10_000) -> None:
        if n < 2:
            raise ValueError(f"Importance needs n >= 2 proposals for an error bar, got {n}.")
        self.n = n

    def run(self, proposer: Proposer, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Result:
        parts = []
        for i, start in enumerate(range(0, self.n, BATCH)):
            parts.append(proposer.draw(min(BATCH, self.n - start), seed, "sample", i))
            progress(min(start + BATCH, self.n), self.n, "")
        return Result(Samples.cat(parts))
