"""Maximum likelihood on the generator's own proposals, reweighted to the target."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.estimators.mode_balance import balance, check_least_share
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch


class ReweightedKL(Loss):
    r"""Minimises $J = -\sum_i \bar w_i \log q(x_i)$ [nats] over its own proposals, held fixed.

    They are $x_i \sim q$, weighted by $\bar w \propto e^{-u(x_i)} / q(x_i)$.

    Its gradient estimates that of the forward KL, $-\nabla \langle \log q \rangle_{e^{-u}/Z}$, from energies alone: the
    data are the proposals of this very step, corrected, so they never run out and nothing can be learned by heart. Forces
    are not needed. Bias and noise are those of a self-normalised average, of order one over the effective number of
    samples, `ess` times the batch; so begin with data (`ForwardKL`) or `ReverseKL`, and give this a weight when the ESS
    has left the ground. What q never proposes it cannot learn: keep data of rare states in the sum. On several devices every
    rank weighs its own proposals.

    Weights are truncated so that none has more than $1 / \sqrt{n}$ of their sum, which bounds the noise that a single
    proposal makes. Proposals without a finite energy have weight zero.

    Weights of different conditions hold different partition functions and are never compared: 64 proposals or more are drawn
    under each set of conditions, weighed among themselves, and J is the mean over sets. So n is 64 there.

    With `least_share` the weights of every mode that is proposed are raised to that share of their sum (see
    `estimators.balance`), so q learns $\sum_m s_m\, \pi(x | m)$ instead of the target: a state of probability 0.002 gets as
    many proposals as its free energy needs, and the weights of what is drawn put the populations right. A mode that no proposal
    of a batch lies in adds nothing, and one held by k proposals has at most $k / \sqrt n$ of the sum, so it grows by and by.

    Args:
        least_share: least share of every mode of the energy; 0: the modes keep the shares of the target.

    Raises:
        ValueError: the generator has no log_prob, or a share that not every mode can have.
        FloatingPointError: no proposal has a finite energy (NothingFinite), or one of -inf.

    References:
        Rubinstein, Methodol. Comput. Appl. Probab. 1, 127 (1999), doi:10.1023/A:1010091220143, cross-entropy method.
        Mueller, McWilliams, Rousselle, Gross, Novak, ACM Trans. Graph. 38, 145 (2019), arXiv:1808.03856, for flows.
        Ionides, J. Comput. Graph. Stat. 17, 295 (2008), doi:10.1198/106186008X320456, for truncation at this order in n.
    """

    needs_log_prob = True
    follows_proposals = False
    per_condition = 64

    def __init__(self, least_share: float = 0.0) -> None:
        super().__init__()
        self.least_share = least_share
        self.ess = torch.zeros(())

    def build(self, generator: Generator, energy: Energy) -> Self:
        if self.least_share != 0 and not energy.finds_modes:  # what is found in data is not known yet
            names = None if energy.modes is None else energy.modes.names
            check_least_share(self.least_share, names, type(self).__name__, energy.name)
        return super().build(generator, energy)

    def forward(self, batch: Batch) -> Tensor:
        proposals, tiny = batch.proposals, torch.finfo(torch.float64).tiny
        x, log_q = proposals.x.detach(), proposals.log_q.detach()
        self.ess = torch.zeros((), device=x.device)
        log_w = (-proposals.u.detach() - log_q).double()
        log_w = torch.where(torch.isfinite(log_w), log_w, -torch.inf).reshape(batch.groups, -1)
        best = log_w.amax(1, keepdim=True)
        taught = torch.isfinite(best)  # groups with a proposal of finite energy
        w = (log_w - torch.where(taught, best, 0.0)).exp()
        kish = w.sum(1).square() / (w.shape[1] * w.square().sum(1)).clamp_min(tiny)
        self.ess = kish.mean().to(torch.get_default_dtype())
        if self.least_share and (modes := self.energy.modes) is not None:
            w = balance(w, modes.label(x).reshape(w.shape), len(modes.names), self.least_share)
        w = truncate(w).flatten()
        # The best of all stands in for what has no weight: the batch keeps its size, and compiled code its shape.
        stand_in = x.index_select(0, log_w.flatten().argmax().reshape(1))
        x = torch.where((w > 0).reshape(-1, *[1] * (x.ndim - 1)), x, stand_in)
        return -(w.to(log_q) * self.generator.log_prob(x, batch.context)).sum() / taught.sum()

    def parts(self) -> dict[str, Tensor]:
        return {"ess": self.ess}


def truncate(w: Tensor) -> Tensor:
    r"""Cut the largest of weights (..., n) to a common value, so that none has more than $1 / \sqrt n$ of their sum, one.

    With the k largest at c and R_k the sum of the others, $c = R_k / (\sqrt n - k)$; k is the smallest for which the next
    weight is below c. Weights that are all zero stay so.

    >>> truncate(torch.tensor([1.0, 1.0, 1.0, 97.0]))
    tensor([0.1667, 0.1667, 0.1667, 0.5000])
    """
    n = w.shape[-1]
    k = torch.arange(math.ceil(math.sqrt(n)), dtype=w.dtype, device=w.device)
    descending = w.sort(-1, descending=True).values
    rest = descending.flip(-1).cumsum(-1).flip(-1)[..., : len(k)]  # R_k
    most = rest / (math.sqrt(n) - k)
    first = (descending[..., : len(k)] <= most).long().argmax(-1, keepdim=True)
    w = torch.minimum(w, most.gather(-1, first))
    return w / w.sum(-1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
