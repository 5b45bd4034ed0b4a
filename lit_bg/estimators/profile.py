"""Free energy along a coordinate, and in the plane of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lit_bg.estimators.events import Events, normalised, probabilities
from lit_bg.samples import Dependence


def profile(
    a: Shaped[Tensor, "*rows"],
    log_w: Float[Tensor, "*rows"] | None,
    edges: Float[Tensor, "E"],
    periodic: bool = False,
    dependence: Dependence = "draws",
    ancestor: Int[Tensor, "P N"] | None = None,
) -> tuple[Float[Tensor, "E-1"], Float[Tensor, "E-1"]]:
    r"""Return the free energy $F_i = -\log(p_i / \Delta_i)$ along a coordinate, with its standard error.

    $p_i = \sum_{a \in i} w / \sum w$ is the weight in bin i, $\Delta_i$ the width of the bin. F is minus the log of a
    normalised density, not shifted, so that profiles of one quantity lie on each other. The error is that of $p_i$ over $p_i$
    (see `probabilities`), infinite for a bin with fewer than five effective samples, and everywhere where `expectation` has
    none.

    Args:
        a: values of the coordinate, (B,) of independent draws, (T, W) of chains, (P, N) of populations; values outside the
            edges count in the norm alone.
        log_w: log weights, of the same shape; None for samples of the target itself.
        edges: of the bins, increasing, (K+1,).
        periodic: wrap values into [edges[0], edges[-1]).
        dependence: what samples know of each other: of `Samples`, `Chains`, `Populations` their `dependence`.
        ancestor: (P, N) long, of populations.

    Returns:
        F and its error, (K,) float64 [kT]; NaN where a bin is empty.

    Raises:
        ValueError: edges that do not increase, or weights that are all zero, NaN, or of another shape.

    >>> f, err = profile(torch.tensor([0.5, 0.5, 1.5, 1.5]), None, torch.tensor([0.0, 1.0, 2.0, 3.0]))
    >>> f
    tensor([0.6931, 0.6931,    nan], dtype=torch.float64)
    """
    return _free_energy([a], log_w, [edges], [periodic], dependence, ancestor)


def surface(
    a: Shaped[Tensor, "*rows"],
    b: Shaped[Tensor, "*rows"],
    log_w: Float[Tensor, "*rows"] | None,
    edges: tuple[Float[Tensor, "E"], Float[Tensor, "L"]],
    periodic: tuple[bool, bool] = (False, False),
    dependence: Dependence = "draws",
    ancestor: Int[Tensor, "P N"] | None = None,
) -> tuple[Float[Tensor, "E-1 L-1"], Float[Tensor, "E-1 L-1"]]:
    r"""Return the free energy $F_{ij} = -\log(p_{ij} / \Delta_i \Delta_j)$ in the plane of two coordinates, with its error.

    As `profile`, of which it is the same sum in bins of two coordinates.

    Args:
        a, b: values of the coordinates, each as for `profile`.
        log_w, dependence, ancestor: as for `profile`.
        edges: of the bins along a, (K+1,), and along b, (L+1,).
        periodic: which of them are wrapped.

    Returns:
        F and its error, (K, L) float64 [kT]; NaN where a bin is empty.

    Raises:
        ValueError: as `profile`.

    >>> a = torch.tensor([0.5, 0.5, 1.5, 1.5])
    >>> surface(a, a.flip(0), None, (torch.tensor([0.0, 1.0, 2.0]),) * 2)[0]
    tensor([[   nan, 0.6931],
            [0.6931,    nan]], dtype=torch.float64)
    """
    return _free_energy([a, b], log_w, list(edges), list(periodic), dependence, ancestor)


def effective_count(
    a: Shaped[Tensor, "*rows"],
    log_w: Float[Tensor, "*rows"] | None,
    edges: Float[Tensor, "E"],
    periodic: bool = False,
    dependence: Dependence = "draws",
    ancestor: Int[Tensor, "P N"] | None = None,
) -> Float[Tensor, "E-1"]:
    r"""Return the effective number of samples in every bin, (K,) float64; arguments as for `profile`.

    Of independent draws it is that of Kish, $(\sum_i w)^2 / \sum_i w^2$, less where few weights do not know themselves, 0 where
    a bin is empty; of chains it is divided by the statistical inefficiency of the bin; of populations it counts them.

    >>> effective_count(torch.tensor([0.5, 0.5, 1.5]), None, torch.tensor([0.0, 1.0, 2.0]))
    tensor([2., 1.], dtype=torch.float64)
    """
    return _in_bins([a], log_w, [edges], [periodic], dependence, ancestor)[0].effective


def _free_energy(
    columns: Sequence[Tensor],
    log_w: Tensor | None,
    edges: Sequence[Tensor],
    periodic: Sequence[bool],
    dependence: Dependence,
    ancestor: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    (p, error, _), size = _in_bins(columns, log_w, edges, periodic, dependence, ancestor)
    empty = p == 0
    f, error = torch.where(empty, math.nan, -torch.log(p / size.flatten())), torch.where(empty, math.nan, error / p)
    return f.reshape(size.shape), error.reshape(size.shape)


def _in_bins(
    columns: Sequence[Tensor],
    log_w: Tensor | None,
    edges: Sequence[Tensor],
    periodic: Sequence[bool],
    dependence: Dependence,
    ancestor: Tensor | None = None,
) -> tuple[Events, Tensor]:
    """Return the probabilities of all bins, and their sizes, in the shape of the table of bins."""
    columns = [torch.as_tensor(a).detach().to(torch.float64).cpu() for a in columns]
    log_w = torch.zeros_like(columns[0]) if log_w is None else torch.as_tensor(log_w)
    for a in columns:
        if a.shape != log_w.shape:
            raise ValueError(f"one value per weight, got {a.numel()} values and {log_w.numel()} weights.")
    index, outside, size = torch.zeros(log_w.shape, dtype=torch.long), torch.zeros(log_w.shape, dtype=torch.bool), None
    for a, bounds, around in zip(columns, edges, periodic, strict=True):
        bounds = _checked_edges(bounds)
        at = _locate(a, bounds, around)
        bins = len(bounds) - 1
        outside |= at == bins
        index = index * bins + at
        size = bounds.diff() if size is None else size[:, None] * bounds.diff()
    assert size is not None  # there is a column
    index = torch.where(outside, size.numel(), index)
    return probabilities(index, normalised(log_w, dependence), size.numel(), dependence, ancestor), size


def _checked_edges(edges: Tensor) -> Tensor:
    edges = torch.as_tensor(edges).detach().to(torch.float64).cpu()
    if edges.ndim != 1 or len(edges) < 2 or not (edges.diff() > 0).all():
        raise ValueError(f"edges must increase and bound at least one bin, got {edges.tolist()}.")
    return edges


def _locate(a: Tensor, edges: Tensor, periodic: bool) -> Tensor:
    """Return the bin of each value; the number of bins where it lies outside."""
    if periodic:
        a = edges[0] + torch.remainder(a - edges[0], edges[-1] - edges[0])
    index = torch.searchsorted(edges, a.contiguous(), right=True) - 1
    index[a == edges[-1]] = len(edges) - 2
    return torch.where((index < 0) | (index >= len(edges) - 1) | torch.isnan(a), len(edges) - 1, index)
