"""Hamiltonian Monte Carlo."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import State
from lit_bg.kernels.mala import MALA
from lit_bg.kernels.motion import Masses, kinetic_energy, per_coordinate, per_walker, temperatures, thermal_velocities


class HMC(MALA):
    r"""Moves by Hamiltonian Monte Carlo: new velocities, L velocity Verlet steps, accepted with $\min(1, e^{-\Delta H / kT})$.

    Verlet is reversible and keeps volume, and the Metropolis test removes its error, so exp(-u) is sampled exactly for
    every step size. L is drawn for every move, uniformly from half to one and a half times `steps`, because a fixed
    length resonates with harmonic modes. Masses are those of the energy, 1 where it has none.

    Args:
        step_size: of Verlet, in ps for energies in kJ/mol, nm and amu, else in units of time.
        steps: mean number of Verlet steps of a move; one gradient each.
        target_acceptance: as for `Metropolis`.

    Raises:
        ValueError: a number out of range.

    References:
        Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 195, 216 (1987), doi:10.1016/0370-2693(87)91197-X.
        Neal, Handbook of Markov Chain Monte Carlo, chapter 5 (2011), arXiv:1206.1901.
        Beskos, Pillai, Roberts, Sanz-Serna, Stuart, Bernoulli 19, 1501 (2013), arXiv:1001.4460, for the best acceptance.
    """

    def __init__(self, step_size: float = 0.01, steps: int = 20, target_acceptance: float | None = 0.651) -> None:
        super().__init__(step_size, target_acceptance)
        if steps < 1:
            raise ValueError(f"HMC needs steps >= 1, got {steps}.")
        self.steps = steps
        self._masses = Masses()

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.steps

    def propose(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        assert state.gradient is not None
        h, x, kT = self._step, state.x, temperatures(energy, state.x)
        mass = self._masses.of(energy, x)
        shortest = (self.steps + 1) // 2
        length = int(torch.randint(shortest, 2 * self.steps - shortest + 1, (), generator=rng, device=rng.device))
        v = thermal_velocities(energy, x, mass, rng)
        before, kick = kinetic_energy(v, mass), per_coordinate(-0.5 * h / mass, x)
        slope = state.gradient * per_walker(kT, x)
        for _ in range(length):
            v.addcmul_(slope, kick)
            x = x.add(v, alpha=h)
            potential, slope = energy.potential_and_gradient(x)
            v.addcmul_(slope, kick)
        x = energy.space.project(x)  # particles of several masses: their momentum is zero, and not their mean velocity
        new = State(x, (potential / kT).to(state.u), slope / per_walker(kT, x))
        return new, (before - kinetic_energy(v, mass)) / kT
