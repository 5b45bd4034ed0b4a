"""Overdamped Langevin dynamics of any energy, all walkers in one batch."""

from __future__ import annotations

import math

import torch

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, State
from lit_bg.kernels.dynamics import Dynamics
from lit_bg.kernels.motion import per_coordinate, per_walker, temperatures


class OverdampedLangevin(Dynamics):
    r"""Integrates $dx = -\frac{D}{kT} \nabla U\, dt + \sqrt{2 D}\, dW$, $D = kT / (m \gamma)$, with little bias.

    $x_{n+1} = x_n - \frac{D h}{kT} \nabla U(x_n) + \sqrt{D h / 2}\, (\xi_n + \xi_{n+1})$: Euler and Maruyama's step with
    the mean of two successive noises, the limit of BAOAB at high friction. Nothing corrects the averages: their bias is
    of second order in h (Euler and Maruyama's is of first) and vanishes for a harmonic potential, of which Euler and
    Maruyama get the variance wrong by the factor $1 / (1 - h D k / 2 kT)$. `MALA` has no bias. Barriers of many kT are
    not crossed.

    Args:
        time_step: h [ps], for model energies in their unit of time.
        steps: of one move.
        friction: gamma [1/ps].
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to. None: as they are.

    Raises:
        ValueError: a number out of range.

    References:
        Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, doi:10.1093/amrx/abs010.
        Leimkuhler, Matthews, Tretyakov, Proc. R. Soc. A 470, 20140120 (2014), arXiv:1402.5797.
    """

    def complete(self, energy: Energy, state: State, rng: torch.Generator) -> State:
        state = super().complete(energy, state, rng)
        if state.noise is not None:
            return state
        return state._replace(noise=next(self.noises(energy, state.x, 1, rng)))

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state = self.complete(energy, state, rng)
        assert state.gradient is not None
        assert state.noise is not None
        x, noise, kT = state.x.clone(), state.noise.clone(), temperatures(energy, state.x)
        slope, total = state.gradient * per_walker(kT, x), state.u.clone()
        h = self.time_step / self.friction  # with the mass, time step over gamma m is D h / kT
        drift, potential = per_coordinate(-h / self._masses.of(energy, x), x), total
        for fresh in self.noises(energy, x, self.steps, rng):
            x.addcmul_(slope, drift).add_(noise.add_(fresh), alpha=math.sqrt(0.5 * h))
            noise = fresh
            potential, slope = energy.potential_and_gradient(x)
            total += potential
        new = self.finish(energy, x, potential, slope, total)
        return new._replace(velocity=state.velocity, noise=noise, waited=state.waited), Info(torch.ones_like(kT))
