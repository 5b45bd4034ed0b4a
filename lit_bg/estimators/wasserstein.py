"""Wasserstein distances: how far probability has to be carried from one sample to another."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from lit_bg.estimators.alignment import Moves, align, match_particles, reorder, rotate_onto, surroundings
from lit_bg.estimators.log_weights import check_log_weights

PAIRS = 4096  # of configurations, aligned at a time

Array = NDArray[np.float64]


def wasserstein(
    a: Shaped[Tensor, "n ..."],
    b: Shaped[Tensor, "m ..."],
    log_w: Float[Tensor, "n"] | None = None,
    log_v: Float[Tensor, "m"] | None = None,
    order: int = 1,
) -> float:
    r"""Return $W_p = [\int_0^1 |F_a^{-1}(t) - F_b^{-1}(t)|^p\, dt]^{1/p}$ between weighted samples of a number, exactly.

    Args:
        a: values, (n,), or (n, K) where each weight belongs to K values (such as the distances in one configuration); values
            of weight zero may be anything, NaN included.
        b: likewise, (m,) or (m, L).
        log_w: log weights of a, (n,); None: all equal.
        log_v: likewise of b.
        order: p.

    Returns:
        W_p in the unit of the values.

    Raises:
        ValueError: p below 1; values that are not finite; weights all zero, or of another number than the values.

    >>> a = torch.tensor([0.0, 1.0, 3.0])
    >>> round(wasserstein(a, a + 2), 6), round(wasserstein(a, a[:2], torch.tensor([0.0, 0.0, -torch.inf])), 6)
    (2.0, 0.0)
    """
    if order < 1:
        raise ValueError(f"a Wasserstein distance has an order of 1 or more, got {order}.")
    (x, p), (y, q) = _quantiles(a, log_w), _quantiles(b, log_v)
    levels = np.sort(np.concatenate([p, q]), kind="stable")  # two runs in order: merged
    i = np.searchsorted(p, levels).clip(max=len(x) - 1)
    j = np.searchsorted(q, levels).clip(max=len(y) - 1)
    return float((np.abs(x[i] - y[j]) ** order @ np.diff(levels, prepend=0.0)) ** (1 / order))


def _quantiles(a: Tensor, log_w: Tensor | None) -> tuple[Array, Array]:
    """Return values in ascending order and the probability up to and including each."""
    values = torch.as_tensor(a).detach().cpu().to(torch.float64)
    values = values.reshape(len(values), -1)
    if log_w is None:
        x = np.sort(_finite(values.flatten().numpy()))
        return x, np.arange(1, len(x) + 1) / len(x)
    log_w = check_log_weights(log_w).cpu()
    if len(log_w) != len(values):
        raise ValueError(f"one weight per row of values, got {len(values)} rows and {len(log_w)} weights.")
    if torch.isneginf(log_w).all():
        raise ValueError("all weights are zero: no sample has a finite energy, so there is no distribution.")
    w = torch.softmax(log_w, 0)
    seen = w > 0
    x = _finite(values[seen].flatten().numpy())
    rank = np.argsort(x)
    cumulative = np.cumsum(w[seen].repeat_interleave(values.shape[1]).numpy()[rank])
    return x[rank], cumulative / cumulative[-1]


def _finite(x: Array) -> Array:
    bad = int((~np.isfinite(x)).sum())
    if bad or len(x) == 0:
        raise ValueError(f"{bad} of {len(x)} values are not finite: give at least one, or give those a weight of zero.")
    return x


def geometric_w2(x: Float[Tensor, "n *shape"], y: Float[Tensor, "m *shape"], moves: Moves | None = None) -> float:
    r"""Return $W_2 = \min_\gamma [\sum_{kl} \gamma_{kl}\, c(x_k, y_l)]^{1/2}$ of sets of configurations, by exact transport.

    $c(x, y) = \min_{R, s} \sum_i |x_i - R\, y_{s(i)}|^2$ over the moves: without any, W2 of plain vectors. The minimum over
    rotations alone or exchanges alone is exact; over both it is bounded from above by the better of two exchanges (the best as
    y is oriented, and that which matches every particle's distances to the others), each with its best rotation. In many
    dimensions W2 of finite samples is far from zero even where the distributions are equal: hold it against that of two
    samples of the target.

    Args:
        x: configurations, (n, *event_shape).
        y: likewise, (m, *event_shape); the cost grows with n m, and with the third power of particles that change places.
        moves: of systems of particles.

    Returns:
        W2 in the unit of the coordinates.

    Raises:
        ValueError: no configuration, or one that is not finite.

    References:
        Klein, Kraemer, Noe, NeurIPS 2023, arXiv:2306.15030, for the equivariant cost.
        Flamary et al., POT, J. Mach. Learn. Res. 22, 78 (2021), for the solver.

    >>> x = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]]])
    >>> round(geometric_w2(x, x.flip(0)), 6)
    0.0
    """
    import ot

    if len(x) == 0 or len(y) == 0 or not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError(f"transport needs finite configurations on both ends, got {len(x)} and {len(y)}, not all finite.")
    cost = _costs(x.detach().to(torch.float64), y.detach().to(torch.float64), moves or Moves())
    return math.sqrt(max(float(ot.emd2([], [], cost.cpu().numpy(), numItermax=1_000_000)), 0.0))


def _costs(x: Tensor, y: Tensor, moves: Moves) -> Tensor:
    """Return c of all pairs, (n, m)."""
    if moves.translations:
        x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    if moves.types is None and not moves.rotations:
        return torch.cdist(x.flatten(1), y.flatten(1), compute_mode="donot_use_mm_for_euclid_dist").square()
    both = moves.types is not None and moves.rotations
    around = (surroundings(x), surroundings(y)) if both else None
    rows = []
    for part in torch.arange(len(x)).split(max(1, PAIRS // len(y))):
        i, j = part.repeat_interleave(len(y)), torch.arange(len(y)).repeat(len(part))
        found = [align(x[i], y[j], moves)]
        if around is not None and moves.types is not None:
            order = match_particles(around[0][i], around[1][j], moves.types)
            found.append(rotate_onto(x[i], reorder(y[j], order), moves.reflections))
        cost = torch.stack([(x[i] - moved).square().flatten(1).sum(-1) for moved in found])
        rows.append(cost.amin(0).reshape(-1, len(y)))
    return torch.cat(rows)
