"""Generations of particles in annealing, which are drawn, weighed and resampled."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.estimators.importance import effective_share
from lit_bg.estimators.resampling import systematic
from lit_bg.samplers.annealed_path import AnnealedPath
from lit_bg.samplers.base import Proposer

FEWEST_FINITE = 2  # proposals with a finite energy, to begin with
HALF = 0.5  # of the particles: with fewer effective ones a population is resampled
HALVINGS = 60  # of the interval of s


class Generation(NamedTuple):
    """Holds (P, N) particles at one state of the path, and what is known of each."""

    x: Tensor  # (P, N, *event_shape)
    log_q: Tensor  # (P, N) of the generator, where the path needs it
    u: Tensor  # (P, N) in the target [kT]
    log_w: Tensor  # (P, N) of the paths so far [nats]
    ancestor: Tensor  # (P, N) long


def draw_first(proposer: Proposer, shape: tuple[int, int], seed: int, purpose: str) -> Generation:
    """Draw the first generation, (populations, particles).

    Raises:
        ValueError: next to no proposal has a finite energy.
    """
    drawn = proposer.draw(shape[0] * shape[1], seed, f"anneal/{purpose}")
    finite = drawn.finite.reshape(shape)
    if int(finite.sum(1).min()) < FEWEST_FINITE:
        raise ValueError(
            f"{int((~finite).sum())} of {finite.numel()} proposals have no finite energy or density: train the generator, or "
            "give more particles."
        )
    log_w = torch.where(finite, 0.0, -torch.inf).double()
    ancestor = torch.arange(shape[1], device=log_w.device).repeat(shape[0], 1)
    x, log_q, u = (part.reshape(*shape, *part.shape[1:]) for part in drawn)
    return Generation(x, log_q.double(), u.double(), log_w, ancestor)


def resample_poor(now: Generation, rng: torch.Generator) -> tuple[Generation, int]:
    """Return the particles with those populations resampled whose effective share is below a half, and how many were.

    Raises:
        ValueError: a population has no weight left.
    """
    dead = torch.isneginf(now.log_w).all(1)
    if dead.any():
        raise ValueError(
            f"the weights of {int(dead.sum())} of {len(dead)} populations have collapsed to zero: give more particles, or "
            "train the generator."
        )
    few = effective_share(now.log_w) < HALF
    n = now.log_w.shape[1]
    rows = torch.arange(n, device=now.log_w.device).expand_as(now.ancestor)
    index = torch.where(few[:, None], systematic(now.log_w, rng), rows)
    mean = torch.logsumexp(now.log_w, 1, keepdim=True) - math.log(n)
    at = index.reshape(*index.shape, *[1] * (now.x.ndim - 2)).expand_as(now.x)
    log_q, u, ancestor = (part.gather(1, index) for part in (now.log_q, now.u, now.ancestor))
    log_w = torch.where(few[:, None], mean, now.log_w)
    return Generation(now.x.gather(1, at), log_q, u, log_w, ancestor), int(few.sum())


def reweigh(path: AnnealedPath, s: float, ahead: float, now: Generation) -> Generation:
    """Return the particles with the weights that a step along the path gives them."""
    step = path.u(s, now.log_q, now.u) - path.u(ahead, now.log_q, now.u)
    return now._replace(log_w=torch.where(torch.isfinite(step), now.log_w + step, -torch.inf))


def find_next(path: AnnealedPath, s: float, now: Generation, keep: float) -> float:
    r"""Return the largest s' up to which a share `keep` of the effective particles is kept, by bisection.

    That share is the conditional effective sample size of the incremental weights v,
    $(\sum_i W_i v_i)^2 / \sum_i W_i v_i^2$ with the normalised weights W so far.

    References:
        Zhou, Johansen, Aston, J. Comput. Graph. Stat. 25, 701 (2016), arXiv:1303.3123.
    """
    log_W = (now.log_w - torch.logsumexp(now.log_w, 1, keepdim=True)).flatten()
    used = torch.isfinite(log_W)
    log_W, log_q, u = log_W[used], now.log_q.flatten()[used], now.u.flatten()[used]
    here = path.u(s, log_q, u)

    def kept(ahead: float) -> float:
        v = here - path.u(ahead, log_q, u)
        v = torch.where(torch.isfinite(v), v, -torch.inf)
        return math.exp(2 * torch.logsumexp(log_W + v, 0).item() - torch.logsumexp(log_W + 2 * v, 0).item())

    if kept(1.0) >= keep:
        return 1.0
    low, high = s, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= keep else (low, middle)
    return low
