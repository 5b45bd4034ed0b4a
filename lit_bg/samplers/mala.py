"""Overdamped Langevin dynamics with its discretisation error removed."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.samplers.chain import State
from lit_bg.samplers.metropolis import Metropolis


class MALA(Metropolis):
    r"""Metropolis-adjusted Langevin: $x' = x - \frac{\sigma^2}{2} \nabla u(x) + \sigma \xi$, corrected.

    One Euler step of overdamped Langevin dynamics, accepted with probability
    $\min(1, e^{u(x) - u(x')}\, q(x | x') / q(x' | x))$ where q is the Gaussian of the proposal. The
    ratio restores detailed balance with exp(-u) for every step size. It diffuses faster than a random
    walk in many dimensions, $\sigma \propto D^{-1/6}$ instead of $D^{-1/2}$, and like it does not cross high barriers.

    Args:
        frames, walkers, stride, burn_in, step_size, start, target_acceptance: as for `Metropolis`.

    References:
        Roberts, Tweedie, Bernoulli 2, 341 (1996), doi:10.2307/3318418.
    """

    def evaluate(self, energy: Energy, x: Tensor) -> State:
        u, gradient = energy.value_and_gradient(x)
        return {"x": x, "u": u, "gradient": gradient}

    def propose(self, energy: Energy, old: State, rng: torch.Generator) -> tuple[State, Tensor]:
        noise, sigma = self.noise(energy, old["x"], rng), float(old["step_size"])
        new = self.evaluate(energy, old["x"] - 0.5 * sigma**2 * old["gradient"] + sigma * noise)
        # Forces that depend on differences sum to zero, so both noises are without a centre of mass where one is.
        back = (old["x"] - new["x"] + 0.5 * sigma**2 * new["gradient"]) / sigma
        return new, 0.5 * ((noise**2).flatten(1).sum(-1) - (back**2).flatten(1).sum(-1))
