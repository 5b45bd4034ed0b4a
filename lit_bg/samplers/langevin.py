"""Langevin dynamics of any energy, all walkers in one batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import R
from lit_bg.rng import stream
from lit_bg.samplers.base import Info
from lit_bg.samplers.chain import State
from lit_bg.samplers.dynamics import Dynamics, in_kelvin
from lit_bg.samplers.motion import centred, kinetic_energy, per_coordinate, thermal_velocities, without_drift


class Langevin(Dynamics):
    r"""Langevin dynamics $m\, dv = -\nabla U\, dt - \gamma m v\, dt + \sqrt{2 \gamma m\, kT}\, dW$ by the BAOAB splitting.

    A step is half a kick by the force, half a drift, the exact Ornstein-Uhlenbeck step of the velocities, half a drift,
    half a kick; one gradient. Configurational averages have an error of second order in the time step whose coefficient
    vanishes for harmonic forces, at any friction: there they are exact. Velocities at whole steps are too cold, by
    $(\omega\, dt)^2 / 4$ for a harmonic mode; half a kick later they are not, and of those is the kinetic temperature
    that is reported.

    Barriers of many kT are not crossed: populations of slow modes remain those of the starts, and R-hat in the data card
    says so (`ReplicaExchange` crosses them). Where the energy does not see translations, all walkers start minimised, without
    total momentum, and noise has none.

    Positions and velocities are in single precision. A step moves an atom by about 1e-3 nm and rounds its position to
    1e-8 nm; energies are compared in double precision where it matters (exchange).

    Args:
        frames: saved per walker.
        walkers: independent trajectories, in one batch.
        interval: time between frames [ps], for model energies in their unit of time; so are all times.
        time_step: [ps]. The virial check in the data card tells whether it is too long.
        friction: gamma [1/ps].
        burn_in: time before the first frame [ps].
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to. Configurational
            averages do not depend on masses, and slower hydrogens allow a longer time step. None: as they are.
        start: "modes" (walkers go round the initial configurations), "initial" (all at the first), the name of one mode,
            or "torsions" (a molecule with its backbone torsions drawn uniformly, so that walkers begin in all basins).

    Raises:
        ValueError: a number out of range; from `run`, walkers that blow up.

    References:
        Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, doi:10.1093/amrx/abs010; J. Chem. Phys. 138, 174102
        (2013), doi:10.1063/1.4802990.
    """

    def init(self, energy: Energy, seed: int, report: Callable[[str], None]) -> State:
        return self.thermal(energy, self.started(energy, self.walkers, seed, report), seed)

    def thermal(self, energy: Energy, x: Tensor, seed: int, kT: Tensor | None = None) -> State:
        """The state of walkers at x with Maxwellian velocities, at the energy's temperature or at kT, (W,)."""
        state = self.begin(energy, x, kT)
        rng = stream(seed, "velocities", device=x.device)
        state["velocity"] = thermal_velocities(energy, state["kT"], state["mass"], rng, x.dtype)
        state["warmth"] = torch.zeros((), dtype=torch.float64, device=x.device)  # sum of kinetic over thermal energy
        state["looks"] = torch.zeros((), dtype=torch.long)  # terms of that sum
        return state

    def advance(self, energy: Energy, state: State, steps: int, rng: torch.Generator) -> None:
        h, decay = self.time_step, math.exp(-self.friction * self.time_step)
        x, v, gradient = state["x"], state["velocity"], state["gradient"]
        kick = per_coordinate(-0.5 * h * energy.kT / state["mass"], x)  # u is in units of the energy's own kT at every kT
        total = torch.zeros_like(state["u"])
        for noise in self.noises(state, steps, rng):
            v.addcmul_(gradient, kick)
            x.add_(v, alpha=0.5 * h)
            v.mul_(decay).add_(noise, alpha=math.sqrt(1 - decay**2))
            x.add_(v, alpha=0.5 * h)
            u, gradient = energy.value_and_gradient(x)
            v.addcmul_(gradient, kick)
            total += u
        if energy.translation_invariant:  # forces see differences only: where the whole has gone meanwhile is of no effect
            centred(x)
            without_drift(v, state["mass"])
        state["u"], state["gradient"] = u, gradient
        state["fine"] &= torch.isfinite(total)  # an energy that was not finite stays in the sum
        state["step"] += steps
        self.check_fine(state)
        if int(state["step"]) > round(self.burn_in / self.time_step):
            ahead = torch.addcmul(v, gradient, kick)
            thermal = 0.5 * energy.degrees_of_freedom * state["kT"]
            state["warmth"] += (kinetic_energy(ahead, state["mass"]) / thermal).mean()
            state["looks"] += 1

    def summary(self, energy: Energy, state: State, seconds: float) -> tuple[Info, list[str]]:
        warmth = state["warmth"].item() / max(1, int(state["looks"]))
        temperature = energy.kT / R if in_kelvin(energy) else energy.kT
        return {"kinetic_temperature": warmth * temperature, **self.speed(energy, state, seconds)}, []
