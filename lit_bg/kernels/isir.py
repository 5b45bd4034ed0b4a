"""Iterated sampling importance resampling."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.kernels.base import Info, State
from lit_bg.kernels.from_generator import FromGenerator, log_weights


class ISIR(FromGenerator):
    r"""Chooses among a walker's place and k - 1 fresh proposals, each with probability $\propto w = e^{-u} / q$ (i-SIR).

    It leaves exp(-u) as it is for every k >= 2 and mixes the faster the larger k: with weights bounded by M times their mean at
    the rate $(2M - 1) / (2M + k - 2)$. Between importance sampling (k large) and independence Metropolis (k = 2, by Barker's
    rule) it makes use of batches.

    Args:
        k: candidates of a walker, itself among them.
        generator, context: as for `FromGenerator`.

    Raises:
        ValueError: fewer than two; from `check`, a generator without an exact density.

    References:
        Andrieu, Lee, Vihola, Bernoulli 24, 842 (2018), arXiv:1312.6432, for the rate.
        Samsonov, Lagutin, Gabrie, Durmus, Naumov, Moulines, NeurIPS 2022, arXiv:2111.02702, with flows and local moves.
    """

    def __init__(self, k: int = 16, generator: Generator | None = None, context: Tensor | None = None) -> None:
        super().__init__(generator, context)
        if k < 2:
            raise ValueError(f"ISIR needs k >= 2 candidates, the walker itself and a proposal at least, got {k}.")
        self.k = k

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.k - 1

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state = self.complete(state)
        assert state.log_q is not None  # `complete` has filled it in
        walkers = len(state.x)
        drawn = self.propose(energy, state.x, self.k - 1, rng)
        x, log_q, u = (
            torch.cat([own[None].to(new), new.reshape(self.k - 1, walkers, *new.shape[1:])])
            for own, new in zip((state.x, state.log_q, state.u), drawn, strict=True)
        )
        log_w = log_weights(u, log_q)  # (k, W)
        known = torch.isfinite(log_w).any(0)
        log_w[0] = torch.where(known, log_w[0], 0.0)  # nobody has a weight: the walker stays
        p = log_w.softmax(0)
        chosen = torch.multinomial(p.T.contiguous(), 1, generator=rng).flatten()  # (W,)
        rows = torch.arange(walkers, device=x.device)
        acceptance = (1 - p[0]).clamp(0, 1)
        new = self.moved(state, x[chosen, rows], u[chosen, rows], log_q[chosen, rows], chosen == 0)
        return new, Info(acceptance, self.measure(acceptance))
