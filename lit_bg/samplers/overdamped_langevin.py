"""Overdamped Langevin dynamics of any energy, all walkers in one batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.samplers.base import Info
from lit_bg.samplers.chain import State
from lit_bg.samplers.dynamics import Dynamics
from lit_bg.samplers.motion import centred, per_coordinate


class OverdampedLangevin(Dynamics):
    r"""Brownian dynamics $dx = -\frac{D}{kT} \nabla U\, dt + \sqrt{2 D}\, dW$, $D = kT / (m \gamma)$, with little bias.

    $x_{n+1} = x_n - \frac{D h}{kT} \nabla U(x_n) + \sqrt{D h / 2}\, (\xi_n + \xi_{n+1})$: Euler and Maruyama's step with
    the mean of two successive noises, the limit of BAOAB at high friction. Nothing corrects the averages: their bias is
    of second order in h (Euler and Maruyama's is of first) and vanishes for a harmonic potential, of which Euler and
    Maruyama get the variance wrong by the factor $1 / (1 - h D k / 2 kT)$. `MALA` has no bias. Barriers of many kT are
    not crossed.

    Args:
        frames: saved per walker.
        walkers: independent trajectories, in one batch.
        interval: time between frames [ps], for model energies in their unit of time; so are all times.
        time_step: h [ps].
        friction: gamma [1/ps].
        burn_in: time before the first frame [ps].
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to. None: as they are.
        start: "modes", "initial", the name of one mode, or "torsions", as for `Langevin`.

    Raises:
        ValueError: a number out of range; from `run`, walkers that blow up.

    References:
        Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, doi:10.1093/amrx/abs010.
        Leimkuhler, Matthews, Tretyakov, Proc. R. Soc. A 470, 20140120 (2014), arXiv:1402.5797.
    """

    def init(self, energy: Energy, seed: int, report: Callable[[str], None]) -> State:
        state = self.begin(energy, self.started(energy, self.walkers, seed, report))
        (state["noise"],) = self.noises(state, 1, stream(seed, "noise", device=state["x"].device))
        return state

    def advance(self, energy: Energy, state: State, steps: int, rng: torch.Generator) -> None:
        x, gradient, noise = state["x"], state["gradient"], state["noise"]
        h = self.time_step / self.friction  # with the mass, time step over gamma m is D h / kT
        drift = per_coordinate(-h * energy.kT / state["mass"], x)
        total = torch.zeros_like(state["u"])
        for fresh in self.noises(state, steps, rng):
            x.addcmul_(gradient, drift).add_(noise.add_(fresh), alpha=math.sqrt(0.5 * h))
            noise = fresh
            u, gradient = energy.value_and_gradient(x)
            total += u
        if energy.translation_invariant:
            centred(x)
        state["fine"] &= torch.isfinite(total)
        state["u"], state["gradient"], state["noise"] = u, gradient, noise.clone()
        state["step"] += steps
        self.check_fine(state)

    def summary(self, energy: Energy, state: State, seconds: float) -> tuple[Info, list[str]]:
        return self.speed(energy, state, seconds), []
