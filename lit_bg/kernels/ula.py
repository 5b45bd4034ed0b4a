"""Unadjusted Langevin moves: Euler steps whose error is carried as a weight."""

from __future__ import annotations

import torch

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, State
from lit_bg.kernels.mala import MALA, with_gradient


class ULA(MALA):
    r"""Makes unadjusted Langevin moves $x' = x - \frac{\sigma^2}{2} \nabla u(x) + \sigma \xi$, with the weight of their path.

    The proposal of `MALA` without its test. exp(-u) is left as it is only when walkers are weighed by
    $e^{u(x) - u(x')}\, q(x | x') / q(x' | x)$ of every step (`Info.log_ratio`), which annealed importance sampling and
    sequential Monte Carlo do; a simulation does not, and refuses it. No step is ever refused, so the end of a path depends
    smoothly on its noise.

    Args:
        step_size: sigma, in the units of x.
        target_acceptance: of the test that is left out: adapt the step size to this in a pilot; null: it is as given.

    References:
        Roberts, Tweedie, Bernoulli 2, 341 (1996), doi:10.2307/3318418.
        Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), doi:10.1103/PhysRevLett.78.2690; Crooks, J. Stat. Phys. 90, 1481 (1998),
        doi:10.1023/A:1023208217925, for weights of paths.
    """

    weighted = True

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state = with_gradient(energy, state)
        new, log_ratio = self.propose(energy, state, rng)
        log_ratio = ((state.u - new.u).double() + log_ratio).nan_to_num(nan=-torch.inf)
        if energy.space.bounded:
            log_ratio = torch.where(energy.space.contains(new.x), log_ratio, -torch.inf)
        probability = log_ratio.clamp_max(0).exp()
        moved = State(new.x, new.u, new.gradient, state.velocity, state.noise, waited=state.waited)
        return moved, Info(probability, self.measure(probability), log_ratio=log_ratio)
