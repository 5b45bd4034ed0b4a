"""Forward effective sample size over batches and ranks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_bg.metrics.kish_ess import sum_of_logs


class ForwardESS(Metric):
    r"""Forward ESS $1 / (\langle w \rangle_\pi \langle 1/w \rangle_\pi)$ from samples of the target, over all ranks.

    It sees modes that the generator misses, as far as the reference data hold them. NaN without data.

    >>> metric = ForwardESS()
    >>> metric.update(torch.tensor([1.0, 1.0]))
    >>> round(metric.compute().item(), 12)
    1.0
    """

    full_state_update = False
    log_sum: Tensor
    log_sum_inverse: Tensor
    n: Tensor

    def __init__(self) -> None:
        super().__init__()
        nothing = torch.tensor(-math.inf, dtype=torch.float64)
        self.add_state("log_sum", nothing, dist_reduce_fx=sum_of_logs)
        self.add_state("log_sum_inverse", nothing, dist_reduce_fx=sum_of_logs)
        self.add_state("n", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, log_w: Tensor) -> None:
        """Add log weights of configurations drawn from the target, (B,)."""
        log_w = log_w.detach().to(torch.float64)
        if len(log_w) == 0:
            return
        self.log_sum = torch.logaddexp(self.log_sum, torch.logsumexp(log_w, 0))
        self.log_sum_inverse = torch.logaddexp(self.log_sum_inverse, torch.logsumexp(-log_w, 0))
        self.n += len(log_w)

    def compute(self) -> Tensor:
        """Forward ESS as a fraction, scalar; 0 where the model gives a reference configuration no density."""
        if self.n == 0:
            return torch.tensor(math.nan, dtype=torch.float64, device=self.log_sum.device)
        if torch.isposinf(self.log_sum_inverse):
            return torch.zeros((), dtype=torch.float64, device=self.log_sum.device)
        return (2 * self.n.to(torch.float64).log() - self.log_sum - self.log_sum_inverse).exp()
