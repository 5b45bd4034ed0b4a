"""Langevin dynamics of any energy, all walkers in one batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Numbers, State, one
from lit_bg.kernels.dynamics import Dynamics
from lit_bg.kernels.motion import kinetic_energy, per_coordinate, per_walker, temperatures, thermal_velocities
from lit_bg.kernels.units import to_kT


class Langevin(Dynamics):
    r"""Integrates $m\, dv = -\nabla U\, dt - \gamma m v\, dt + \sqrt{2 \gamma m\, kT}\, dW$ by the BAOAB splitting.

    A step is half a kick by the force, half a drift, the exact Ornstein-Uhlenbeck step of the velocities, half a drift,
    half a kick; one gradient. Configurational averages have an error of second order in the time step whose coefficient
    vanishes for harmonic forces, at any friction: there they are exact. Velocities at whole steps are too cold, by
    $(\omega\, dt)^2 / 4$ for a harmonic mode; half a kick later they are not, and of those is the kinetic temperature
    that is reported.

    Barriers of many kT are not crossed: populations of slow modes remain those of the starts, and R-hat in the data card
    says so (`Exchange` crosses them). Where the energy does not see translations, walkers have no total momentum.

    Args:
        time_step: [ps], for model energies in their unit of time. The virial check in the data card tells whether it is too
            long.
        steps: of one move.
        friction: gamma [1/ps].
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to. Configurational
            averages do not depend on masses, and slower hydrogens allow a longer time step. None: as they are.

    Raises:
        ValueError: a number out of range.

    References:
        Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, doi:10.1093/amrx/abs010; J. Chem. Phys. 138, 174102
        (2013), doi:10.1063/1.4802990.
    """

    def complete(self, energy: Energy, state: State, rng: torch.Generator) -> State:
        state = super().complete(energy, state, rng)
        if state.velocity is not None:
            return state
        return state._replace(velocity=thermal_velocities(energy, state.x, self._masses.of(energy, state.x), rng))

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state = self.complete(energy, state, rng)
        assert state.gradient is not None
        assert state.velocity is not None
        h, decay = self.time_step, math.exp(-self.friction * self.time_step)
        x, v, kT = state.x.clone(), state.velocity.clone(), temperatures(energy, state.x)
        mass, slope = self._masses.of(energy, x), state.gradient * per_walker(kT, x)
        kick, total = per_coordinate(-0.5 * h / mass, x), state.u.clone()
        potential = total
        for noise in self.noises(energy, x, self.steps, rng):
            v.addcmul_(slope, kick)
            x.add_(v, alpha=0.5 * h)
            v.mul_(decay).add_(noise, alpha=math.sqrt(1 - decay**2))
            x.add_(v, alpha=0.5 * h)
            potential, slope = energy.potential_and_gradient(x)
            v.addcmul_(slope, kick)
            total += potential  # what was not finite stays in the sum
        warmth = self._warmth(energy, torch.addcmul(v, slope, kick), mass, kT)
        # forces see differences only: where the whole has gone meanwhile is of no effect
        new = self.finish(energy, x, potential, slope, total)
        new = new._replace(velocity=energy.space.project(v, mass), waited=state.waited)
        return new, Info(torch.ones_like(kT), {"warmth": warmth, "looks": one(x)})

    def _warmth(self, energy: Energy, ahead: Tensor, mass: Tensor, kT: Tensor) -> Tensor:
        """Return kinetic over thermal energy, (W,), of velocities half a kick ahead."""
        return kinetic_energy(energy.space.project(ahead, mass), mass) / (0.5 * energy.space.dof * kT)

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        warmth = float((measured["warmth"] / measured["looks"].clamp_min(1)).mean())
        return {"kinetic_temperature": warmth * energy.kT / to_kT(energy, 1.0)}, []
