"""Hamiltonian Monte Carlo."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.samplers.chain import State
from lit_bg.samplers.mala import MALA
from lit_bg.samplers.motion import inertia, kinetic_energy, per_coordinate, thermal_velocities


class HMC(MALA):
    r"""Hamiltonian Monte Carlo: fresh velocities, L steps of velocity Verlet, accepted with $\min(1, e^{-\Delta H / kT})$.

    Verlet is reversible and keeps volume, and the Metropolis test removes its error, so exp(-u) is sampled exactly for
    every step size. L is drawn for every move, uniformly from half to one and a half times `steps`, because a fixed
    length resonates with harmonic modes. Masses are those of the energy, 1 where it has none.

    Args:
        frames, walkers, start, target_acceptance: as for `Metropolis`.
        stride: moves between frames.
        burn_in: moves before the first frame.
        step_size: of Verlet, in ps for energies in kJ/mol, nm and amu, else in units of time.
        steps: mean number of Verlet steps of a move; one gradient each.

    References:
        Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 195, 216 (1987), doi:10.1016/0370-2693(87)91197-X.
        Neal, Handbook of Markov Chain Monte Carlo, chapter 5 (2011), arXiv:1206.1901.
        Beskos, Pillai, Roberts, Sanz-Serna, Stuart, Bernoulli 19, 1501 (2013), arXiv:1001.4460, for the best acceptance.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 100,
        stride: int = 1,
        burn_in: int = 200,
        step_size: float = 0.01,
        steps: int = 20,
        start: str = "modes",
        target_acceptance: float | None = 0.651,
    ) -> None:
        super().__init__(frames, walkers, stride, burn_in, step_size, start, target_acceptance)
        if steps < 1:
            raise ValueError(f"HMC needs steps >= 1, got {steps}.")
        self.steps = steps

    def propose(self, energy: Energy, old: State, rng: torch.Generator) -> tuple[State, Tensor]:
        x, h = old["x"], float(old["step_size"])
        mass = inertia(energy).to(x)
        kT = torch.full((len(x),), energy.kT, dtype=x.dtype, device=x.device)
        shortest = (self.steps + 1) // 2
        length = int(torch.randint(shortest, 2 * self.steps - shortest + 1, (), generator=rng, device=rng.device))
        v = thermal_velocities(energy, kT, mass, rng, x.dtype)
        before, kick = kinetic_energy(v, mass), per_coordinate(-0.5 * h * energy.kT / mass, x)
        new = {**old}
        for _ in range(length):
            v.addcmul_(new["gradient"], kick)
            new = self.evaluate(energy, new["x"].add(v, alpha=h))
            v.addcmul_(new["gradient"], kick)
        return new, (before - kinetic_energy(v, mass)) / energy.kT
