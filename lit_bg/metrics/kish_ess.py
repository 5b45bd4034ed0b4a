"""Effective sample size and log Z over batches and ranks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


def sum_of_logs(parts: Tensor) -> Tensor:
    """log sum exp over ranks, (world,) -> (): how logarithms of sums are reduced."""
    return torch.logsumexp(parts, 0)


class ImportanceSummary(NamedTuple):
    """What three sums over the weights tell."""

    n: int  # samples, those of weight zero included
    n_zero: int  # samples of weight zero: their energy or density is not finite
    ess: float  # Kish, as a fraction of n
    log_Z: float
    log_Z_err: float
    max_weight: float  # largest share of one sample in the total weight


class KishESS(Metric):
    r"""Kish effective sample size $(\sum w)^2 / (N \sum w^2)$, $\log Z$ and its error, over all ranks.

    The states are $\log \sum w$, $\log \sum w^2$, $\log \max w$ and counts, in float64, reduced over ranks as
    sums: the result is that of the gathered samples. The mean of the ranks' own ESS would be another
    number, blind to a rank that holds all the weight.

    >>> metric = KishESS()
    >>> metric.update(torch.tensor([0.0, 0.0]))
    >>> metric.update(torch.tensor([-torch.inf, -torch.inf]))
    >>> metric.compute().ess, metric.compute().n_zero
    (0.5, 2)
    """

    full_state_update = False
    log_sum: Tensor
    log_sum_squares: Tensor
    log_max: Tensor
    n: Tensor
    n_zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        nothing = torch.tensor(-math.inf, dtype=torch.float64)
        self.add_state("log_sum", nothing, dist_reduce_fx=sum_of_logs)
        self.add_state("log_sum_squares", nothing, dist_reduce_fx=sum_of_logs)
        self.add_state("log_max", nothing, dist_reduce_fx="max")
        self.add_state("n", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("n_zero", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, log_w: Tensor) -> None:
        """Add log weights, (B,); -inf is a weight of zero and counts as a sample.

        Raises:
            ValueError: a weight is NaN or +inf.
        """
        log_w = log_w.detach().to(torch.float64)
        if not (log_w < torch.inf).all():
            raise ValueError(
                f"{int((~(log_w < torch.inf)).sum())} of {len(log_w)} log weights are NaN or +inf: a sample without a "
                "finite energy has weight zero (-inf), as `Samples.log_w` gives it."
            )
        if len(log_w) == 0:
            return
        self.log_sum = torch.logaddexp(self.log_sum, torch.logsumexp(log_w, 0))
        self.log_sum_squares = torch.logaddexp(self.log_sum_squares, torch.logsumexp(2 * log_w, 0))
        self.log_max = torch.maximum(self.log_max, log_w.max())
        self.n += len(log_w)
        self.n_zero += torch.isneginf(log_w).sum()

    def compute(self) -> ImportanceSummary:
        """All that the states tell, over all ranks."""
        n, n_zero = int(self.n), int(self.n_zero)
        if n == n_zero:
            return ImportanceSummary(n, n_zero, 0.0, -math.inf, math.inf, math.nan)
        log_sum = self.log_sum.item()
        ess = math.exp(2 * log_sum - self.log_sum_squares.item()) / n
        return ImportanceSummary(
            n=n,
            n_zero=n_zero,
            ess=ess,
            log_Z=log_sum - math.log(n),
            log_Z_err=math.sqrt(max(1 / ess - 1, 0.0) / n),
            max_weight=math.exp(self.log_max.item() - log_sum),
        )
