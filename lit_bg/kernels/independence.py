"""Metropolis moves to wherever a generator proposes."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.kernels.base import Info, State, accept, choose
from lit_bg.kernels.from_generator import FromGenerator, log_weights


class Independence(FromGenerator):
    r"""Proposes $x' \sim q$ and accepts with $\min(1, w(x') / w(x))$, $w = e^{-u} / q$ (independence Metropolis-Hastings).

    It leaves exp(-u) as it is for any q that is positive where exp(-u) is, and forgets the past at once where it accepts. A
    walker whose weight is far above all others stays for long; the longest stay says so. With weights bounded by M times their
    mean it is uniformly ergodic, at the rate 1 - 1/M.

    Args:
        moves: proposals of one move of the kernel; they are drawn in one batch.
        generator, context: as for `FromGenerator`.

    Raises:
        ValueError: fewer than one; from `check`, a generator without an exact density.

    References:
        Hastings, Biometrika 57, 97 (1970), doi:10.1093/biomet/57.1.97.
        Mengersen, Tweedie, Ann. Stat. 24, 101 (1996), doi:10.1214/aos/1033066201.
    """

    def __init__(self, moves: int = 1, generator: Generator | None = None, context: Tensor | None = None) -> None:
        super().__init__(generator, context)
        if moves < 1:
            raise ValueError(f"Independence needs moves >= 1, got {moves}.")
        self.moves = moves

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.moves

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state = self.complete(state)
        assert state.log_q is not None  # `complete` has filled it in
        drawn = self.propose(energy, state.x, self.moves, rng)
        x, u, log_q = state.x, state.u.double(), state.log_q
        log_w, acceptance = log_weights(u, log_q), torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for new_x, new_q, new_u in zip(*(part.split(len(x)) for part in drawn), strict=True):
            new_w = log_weights(new_u, new_q)
            accepted, probability = accept(new_w - log_w, rng)
            x, u, log_q = choose(accepted, new_x, x), choose(accepted, new_u, u), choose(accepted, new_q, log_q)
            log_w = choose(accepted, new_w, log_w)
            acceptance += probability / self.moves
            state = self.moved(state, x, u, log_q, ~accepted)
        return state, Info(acceptance, self.measure(acceptance))
