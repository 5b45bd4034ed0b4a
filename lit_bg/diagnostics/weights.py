"""Diagnosis of the weights of proposals, and of log Z by them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.estimators import Tail, ess_is_known, ess_with_error, forward_ess_with_error, forward_log_z, log_z, tail
from lit_bg.estimators import unproposed_share as share_unproposed


@dataclass(frozen=True)
class Weights:
    """Summarises the reverse direction: weights of samples of q.

    Attributes:
        ess, ess_error: Kish, as a fraction of the draws; blind to what q misses.
        ess_known: whether the value is one; else it is an upper limit, since an ESS estimated from few samples is too large.
        tail: of w.
        max_weight: largest share of one sample.
        log_Z, log_Z_error: the error is infinite where no honest one exists.
    """

    ess: float
    ess_error: float
    ess_known: bool
    tail: Tail
    max_weight: float
    log_Z: float
    log_Z_error: float


def weigh(log_w: Tensor, inefficiency: float = 1.0) -> Weights:
    """Summarise log weights, (n,)."""
    value, error = ess_with_error(log_w)
    z, z_error = log_z(log_w)
    finite = torch.isfinite(log_w)
    largest = torch.softmax(log_w.double(), 0).max().item() if finite.any() else math.nan
    wider = math.sqrt(inefficiency)
    known = ess_is_known(value, int(len(log_w) / inefficiency))
    return Weights(value, wider * error, known, tail(log_w), largest, z, wider * z_error)


@dataclass(frozen=True)
class Forward:
    """Summarises the forward direction: weights of frames of the target.

    Attributes:
        n: frames.
        ess, ess_error, ess_known: as of `Weights`, seen from the target: it sees what q misses as far as the frames hold it.
        log_Z, log_Z_error: -log of the mean of 1/w. Beside the reverse one it tests consistency and never the norm of q: a
            constant missing from both `sample` and `log_prob` shifts both alike.
        unproposed: share of the frames that n proposals practically never reach, w / Z > n.
    """

    n: int
    ess: float
    ess_error: float
    ess_known: bool
    log_Z: float
    log_Z_error: float
    unproposed: float


def look_back(log_w: Tensor, log_Z: float, n: int) -> Forward:
    """Summarise log weights of reference frames.

    Args:
        log_w: frames in order of time, (T,) or (T, W) of W walkers.
        log_Z: of the proposals.
        n: number of the proposals.
    """
    value, error = forward_ess_with_error(log_w)
    z, z_error = forward_log_z(log_w)
    unproposed = share_unproposed(log_w.flatten(), log_Z, n)
    return Forward(log_w.numel(), value, error, ess_is_known(value, log_w.numel()), z, z_error, unproposed)
