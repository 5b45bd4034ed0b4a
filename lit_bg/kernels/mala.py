"""Overdamped Langevin dynamics with its discretisation error removed."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, State
from lit_bg.kernels.metropolis import Metropolis


class MALA(Metropolis):
    r"""Makes Metropolis-adjusted Langevin moves: $x' = x - \frac{\sigma^2}{2} \nabla u(x) + \sigma \xi$, corrected.

    One Euler step of overdamped Langevin dynamics, accepted with probability
    $\min(1, e^{u(x) - u(x')}\, q(x | x') / q(x' | x))$ where q is the Gaussian of the proposal. The
    ratio restores detailed balance with exp(-u) for every step size. It diffuses faster than a random
    walk in many dimensions, $\sigma \propto D^{-1/6}$ instead of $D^{-1/2}$, and like it does not cross high barriers.

    Args:
        step_size, target_acceptance: as for `Metropolis`.

    References:
        Roberts, Tweedie, Bernoulli 2, 341 (1996), doi:10.2307/3318418.
    """

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        return super().step(energy, with_gradient(energy, state), rng)

    def evaluate(self, energy: Energy, x: Tensor) -> State:
        return State(x, *energy.value_and_gradient(x))

    def propose(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        assert state.gradient is not None
        noise, sigma = energy.space.noise(len(state.x), rng, state.x.dtype), self._step
        new = self.evaluate(energy, state.x - 0.5 * sigma**2 * state.gradient + sigma * noise)
        assert new.gradient is not None
        # Forces that depend on differences sum to zero, so both noises are without a centre of mass where one is.
        back = (state.x - new.x + 0.5 * sigma**2 * new.gradient) / sigma
        return new, 0.5 * ((noise**2).flatten(1).sum(-1) - (back**2).flatten(1).sum(-1))


def with_gradient(energy: Energy, state: State) -> State:
    """Return the state with its gradient, which is evaluated where the last move did not know it."""
    return state if state.gradient is not None else state._replace(gradient=energy.value_and_gradient(state.x)[1])
