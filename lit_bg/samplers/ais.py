"""Annealed importance sampling."""

from __future__ import annotations

import torch

from lit_bg.kernels.base import Kernel
from lit_bg.samplers.annealing import Annealing
from lit_bg.samplers.base import Proposer, Result
from lit_bg.samples import Samples
from lit_bg.simulators.base import Numbers, ReportProgress
from lit_bg.simulators.recorder import Recorder


class AIS(Annealing):
    r"""Anneals independent paths from proposals to target, each with the weight of its path (annealed importance sampling).

    $\log W = \sum_k u_{s_{k-1}}(x_{k-1}) - u_{s_k}(x_{k-1})$, and for steps without a test the logarithm of their ratio of path
    probabilities. E[W] = Z, and averages over the ends of paths, weighted by W, are those of the target. Paths never meet, so
    they are judged like independent proposals with $\log q = -u - \log W$; where their weights are too unequal, `SMC` resamples
    them.

    Args:
        kernel, moves, keep, through, pilot, tuning, last_moves: as for `Annealing`.
        n: paths.

    Raises:
        ValueError: as for `Annealing`, or fewer than two paths.

    References:
        Neal, Stat. Comput. 11, 125 (2001), arXiv:physics/9803008.
    """

    def __init__(
        self,
        kernel: Kernel,
        n: int = 10_000,
        moves: int = 1,
        keep: float = 0.95,
        through: float | None = None,
        pilot: int = 500,
        tuning: int = 25,
        last_moves: int | None = None,
    ) -> None:
        super().__init__(kernel, pilot, moves, keep, through, tuning, last_moves)
        if n < 2:
            raise ValueError(f"AIS needs n >= 2 paths for an error bar, got {n}.")
        self.n = n

    def run(self, proposer: Proposer, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Result:
        stage, path = self.anneal(proposer, (1, self.n), False, seed, progress, recorder)
        x, u, log_w = (part.flatten(0, 1) for part in (stage.now.x, stage.now.u, stage.now.log_w))
        log_q = torch.where(torch.isfinite(log_w), -u - log_w, torch.inf)
        info: Numbers = {"levels": len(stage.s), "acceptance": stage.acceptance, "densities": path.meter.values}
        return Result(Samples(x, log_q, u), info, of_paths=True)
