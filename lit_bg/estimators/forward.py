"""Estimates from frames of the target, in the direction from the target to the proposals."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.estimators.time_series import mean_with_error


def forward_log_z(log_w: Float[Tensor, "T *W"]) -> tuple[float, float]:
    r"""Return log Z from frames of the target, $-\log \langle 1/w \rangle_\pi$, and its standard error.

    Beside the reverse estimate $\log \langle w \rangle_q$ it tests consistency (a lost region, noise in log q), and never the
    norm of q: a constant missing from both `sample` and `log_prob` shifts both alike. A frame that q gives no density has
    w = +inf and 1/w = 0, which is a value like any other.

    Args:
        log_w: $-u - \log q$ of frames drawn from the target, in order of time, (T,) or (T, W) of W walkers.

    >>> forward_log_z(torch.full((10, 2), 3.0))
    (3.0, 0.0)
    """
    log_w = _checked(log_w)
    largest = (-log_w).max().item()
    if math.isinf(largest):
        return math.inf, math.inf  # q reaches none of the frames
    scaled = 0.5 * (-log_w - largest).exp()  # not 0 and 1 alone, which would be taken for an event
    mean, error = mean_with_error(scaled)
    return -largest - math.log(2 * mean), error / mean


def forward_ess_with_error(log_w: Float[Tensor, "T *W"]) -> tuple[float, float]:
    r"""Return the forward ESS $1 / (\langle w \rangle_\pi \langle 1/w \rangle_\pi)$, a fraction, and its standard error.

    The relative error is that of the mean of $w / \langle w \rangle + (1/w) / \langle 1/w \rangle$ over the correlated frames.
    A frame that q gives no density makes it 0.

    Args:
        log_w: as for `forward_log_z`.
    """
    log_w = _checked(log_w)
    if torch.isposinf(log_w).any():
        return 0.0, 0.0
    n = log_w.numel()
    up = (log_w - torch.logsumexp(log_w.flatten(), 0)).exp() * n
    down = (-log_w - torch.logsumexp(-log_w.flatten(), 0)).exp() * n
    flat = log_w.flatten()
    value = math.exp(2 * math.log(n) - torch.logsumexp(flat, 0).item() - torch.logsumexp(-flat, 0).item())
    return value, value * mean_with_error(up + down)[1]


def unproposed_share(log_w: Float[Tensor, "T *W"], log_Z: float, n: float) -> float:
    r"""Return the share of frames that n proposals hardly ever reach, $w / Z > n$.

    A generator of ESS e gives the target at most a share 1 / (e n) of such frames (Markov's inequality), so more than a few are
    a region that it has lost.

    Args:
        log_w: as for `forward_log_z`.
        log_Z: of the proposals.
        n: how many they are.
    """
    return (_checked(log_w) - log_Z > math.log(max(n, 1.0))).double().mean().item()


def _checked(log_w: Tensor) -> Tensor:
    log_w = torch.as_tensor(log_w).detach().double().cpu()
    if log_w.numel() == 0 or torch.isnan(log_w).any() or torch.isneginf(log_w).any():
        raise ValueError(
            "log weights of frames are numbers or +inf (no density), "
            f"and {int((~(log_w > -torch.inf)).sum())} of {log_w.numel()} are not: frames of a target have finite energies."
        )
    return log_w
