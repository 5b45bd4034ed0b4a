"""Chains and populations of known systems, made by the plainest of kernels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.samples import Chains, Populations


def walk(
    energy: Energy, start: Tensor, frames: int, every: int = 1, step: float = 1.0, seed: int = 0, burn_in: int = 0
) -> Chains:
    """Random-walk Metropolis, every `every`-th step a frame."""
    g = torch.Generator().manual_seed(seed)
    x = start.double()
    u, kept = energy(x), []
    for k in range(burn_in + frames * every):
        x, u = metropolis(energy, x, u, step, g)
        if k >= burn_in and (k - burn_in) % every == every - 1:
            kept.append((x, u))
    return Chains(torch.stack([x for x, _ in kept]), torch.stack([u for _, u in kept]), start)


def metropolis(energy: Energy, x: Tensor, u: Tensor, step: float, g: torch.Generator, s: float = 1.0) -> tuple[Tensor, Tensor]:
    """One step that leaves the path's density at s as it is: s u + (1 - s) |x|^2 / (2 * 3^2)."""

    def along(x: Tensor, u: Tensor) -> Tensor:
        return s * u + (1 - s) * x.square().sum(-1) / 18

    new = x + step * torch.randn(x.shape, generator=g, dtype=x.dtype)
    u_new = energy(new)
    yes = torch.rand(len(x), generator=g, dtype=torch.float64) < (along(x, u) - along(new, u_new)).exp()
    return torch.where(yes[:, None], new, x), torch.where(yes, u_new, u)


def anneal(
    energy: Energy, populations: int, particles: int, temperatures: int = 20, moves: int = 3, seed: int = 0, left: bool = False
) -> Populations:
    """Sequential Monte Carlo from a normal density of width 3 with a fixed ladder; `left`: of its left half alone."""
    g = torch.Generator().manual_seed(seed)
    d, n = energy.space.dim, populations * particles
    x = 3 * torch.randn(n, d, generator=g, dtype=torch.float64)
    if left:
        x[:, 0] = -x[:, 0].abs()
    log_w = torch.zeros(populations, particles, dtype=torch.float64)
    log_norm = d * (math.log(3) + 0.5 * math.log(2 * math.pi))  # of the first density, with its exp(-|x|^2 / 18)
    ancestor = torch.arange(particles).repeat(populations, 1)
    carried = torch.full((populations, 1), log_norm, dtype=torch.float64)
    u = energy(x)
    for k in range(1, temperatures + 1):
        log_w = log_w + ((x.square().sum(-1) / 18 - u) / temperatures).reshape(log_w.shape)
        kish = torch.softmax(log_w, 1).square().sum(1).reciprocal()
        poor = kish < particles / 2
        if poor.any():
            w = torch.softmax(log_w, 1)
            at = (torch.arange(particles) + torch.rand(populations, 1, generator=g, dtype=torch.float64)) / particles
            index = torch.searchsorted(w.cumsum(1), at).clamp_max(particles - 1)
            index = torch.where(poor[:, None], index, torch.arange(particles))
            flat = (index + particles * torch.arange(populations)[:, None]).flatten()
            x, u, ancestor = x[flat], u[flat], ancestor.gather(1, index)
            mean = torch.logsumexp(log_w, 1, keepdim=True) - math.log(particles)
            carried = torch.where(poor[:, None], carried + mean, carried)
            log_w = torch.where(poor[:, None], torch.zeros_like(log_w), log_w)
        for _ in range(moves):
            x, u = metropolis(energy, x, u, 1.0, g, k / temperatures)
    shape = (populations, particles)
    return Populations(x.reshape(*shape, d), log_w + carried, u.reshape(shape), ancestor)
