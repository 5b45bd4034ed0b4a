"""Densities of quantities of which every configuration has many, such as distances."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.estimators.log_weights import check_log_weights


def density(
    a: Float[Tensor, "B P"], log_w: Float[Tensor, "B"] | None, edges: Float[Tensor, "E"]
) -> tuple[Float[Tensor, "E-1"], Float[Tensor, "E-1"]]:
    r"""Estimate $\rho_k = \sum_i \bar w_i\, c_{ik} / (P \Delta_k)$ of P values per configuration, with its standard error.

    $c_{ik}$ counts the values of configuration i in bin k. Values of one configuration depend on each other, so the error is
    that of an average over configurations, $\sqrt{\sum_i \bar w_i^2 (c_{ik} / P \Delta_k - \rho_k)^2}$: for correlated frames
    multiply it by the root of the statistical inefficiency.

    Args:
        a: (B, P); rows of weight zero may be anything, NaN included.
        log_w: log weights of the configurations, (B,); None: all equal.
        edges: of the bins, increasing, (K+1,); values outside count in the norm alone.

    Returns:
        density and its error, (K,) float64.

    Raises:
        ValueError: weights that are all zero, NaN, or of another number than the configurations.

    >>> density(torch.tensor([[0.5, 1.5], [0.5, 0.5]]), None, torch.tensor([0.0, 1.0, 2.0]))[0]
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    log_w = torch.zeros(len(a), dtype=torch.float64) if log_w is None else check_log_weights(log_w).cpu()
    if len(log_w) != len(a) or torch.isneginf(log_w).all():
        raise ValueError(f"{len(a)} configurations need as many weights, not all zero; got {len(log_w)}.")
    w = torch.softmax(log_w, 0)
    a, w, edges = a[(w > 0).to(a.device)].detach().cpu().double(), w[w > 0], edges.cpu().double()
    bins = len(edges) - 1
    index = torch.bucketize(a, edges, right=True)  # 0: below; bins + 1: above
    index += (bins + 2) * torch.arange(len(a))[:, None]
    counts = torch.bincount(index.flatten(), minlength=len(a) * (bins + 2)).reshape(len(a), -1)[:, 1:-1].double()
    each = counts / (a.shape[1] * edges.diff())
    mean = w @ each
    return mean, (w**2 @ (each - mean).square()).sqrt()


def shell_factor(edges: Float[Tensor, "E"], particles: int, d: int) -> Float[Tensor, "E-1"]:
    r"""Return the factor from the density of pair distances, $p(r)$, to the number density of particles around a particle.

    $\rho(r) = (N - 1)\, p(r)\, \Delta_k / V_k$ with the volume $V_k$ of a spherical shell in d dimensions. Divided by the
    density of a bulk it is the radial distribution function g(r); a cluster in open space has no bulk, and
    $\rho(r)$ is what g is proportional to.

    Args:
        edges: of the bins, increasing, (K+1,); at least 0.
        particles: N.
        d: dimensions of space.

    Returns:
        (K,) float64 [1/length^(d-1)].

    >>> shell_factor(torch.tensor([0.0, 1.0]), 2, 3) * 4 / 3 * torch.pi
    tensor([1.], dtype=torch.float64)
    """
    edges = edges.double()
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    return (particles - 1) * edges.diff() / (ball * (edges**d).diff())
