"""Random-walk Metropolis, many walkers at once."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.adaptation import Tuned
from lit_bg.kernels.base import Info, State, accept, choose, require_continuous


class Metropolis(Tuned):
    r"""Makes random-walk Metropolis moves: $x' = x + \sigma \xi$, accepted with probability $\min(1, e^{u(x) - u(x')})$.

    The proposal is symmetric, so the move is in detailed balance with exp(-u) for every step size. It does not cross barriers
    of many kT. Where only differences of positions have an energy, $\xi$ is drawn without its mean, and the centre of mass
    stays.

    Args:
        step_size: sigma, in the units of x.
        target_acceptance: adapt the step size to this during burn-in, and freeze it then; null: it is as given. In many
            dimensions the best is 0.234 (random walk), 0.574 (MALA), 0.651 (HMC).

    Raises:
        ValueError: a number out of range.

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller, Teller, J. Chem. Phys. 21, 1087 (1953), doi:10.1063/1.1699114.
        Roberts, Rosenthal, Stat. Sci. 16, 351 (2001), doi:10.1214/ss/1015346320, for the best acceptance.
    """

    def __init__(self, step_size: float = 0.1, target_acceptance: float | None = None) -> None:
        super().__init__(step_size, target_acceptance)

    def check(self, energy: Energy) -> None:
        require_continuous(self, energy)

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        return self.evaluate(energy, x)

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        new, log_ratio = self.propose(energy, state, rng)
        log_ratio = (state.u - new.u).double() + log_ratio
        if energy.space.bounded:
            log_ratio = torch.where(energy.space.contains(new.x), log_ratio, -torch.inf)
        accepted, probability = accept(log_ratio, rng)
        x, u = choose(accepted, new.x, state.x), choose(accepted, new.u, state.u)
        known = new.gradient is not None and state.gradient is not None
        gradient = choose(accepted, new.gradient, state.gradient) if known else None  # type: ignore[arg-type]
        moved = State(x, u, gradient, state.velocity, state.noise, waited=state.waited)
        return moved, Info(probability, self.measure(probability))

    def evaluate(self, energy: Energy, x: Tensor) -> State:
        """Return what a move needs to know of walkers at x: here their energy."""
        with torch.no_grad():
            return State(x, energy(x))

    def propose(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """Return new walkers, and log [q(x | x') / q(x' | x)], (W,)."""
        noise = energy.space.noise(len(state.x), rng, state.x.dtype)
        return self.evaluate(energy, state.x + self._step * noise), torch.zeros_like(state.u)
