"""The common part of dynamics in continuous time: lengths of time, inertia, and walkers that blow up."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Kernel, State, require_continuous
from lit_bg.kernels.mala import with_gradient
from lit_bg.kernels.motion import Masses, inertia, per_walker, temperatures, thermal_scale
from lit_bg.kernels.units import in_kelvin, time_unit


class Dynamics(Kernel[State]):
    """Moves all walkers in one batch, `steps` time steps a move; a subclass says how.

    Single precision is enough: a step moves an atom by about 1e-3 nm and rounds its position to 1e-8 nm, and a molecule of tens
    of atoms has the same averages. Lengths of time are in ps where the energy is in kJ/mol, lengths in nm and masses in amu,
    else in the unit of time that follows from those of the energy, with mass 1 where it has none.

    A walker whose energy is not finite after some step of a move has u = NaN from then on: whoever drives the kernel looks.

    Args:
        time_step: of the integrator.
        steps: of one move.
        friction: gamma, per time.
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to; None: as they are.

    Raises:
        ValueError: a number out of range.
    """

    dtype = torch.float32
    starts_relaxed = True
    exact = False

    def __init__(
        self, time_step: float = 0.001, steps: int = 10, friction: float = 1.0, hydrogen_mass: float | None = None
    ) -> None:
        name = type(self).__name__
        for key, value in (("time_step", time_step), ("steps", steps), ("friction", friction)):
            if not value > 0:
                raise ValueError(f"{name} needs {key} > 0, got {value}.")
        self.time_step, self.steps, self.friction, self.hydrogen_mass = time_step, steps, friction, hydrogen_mass
        self._masses = Masses(hydrogen_mass)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.steps

    @property
    def advice(self) -> str:  # type: ignore[override]
        return f"use a shorter time_step than {self.time_step}"

    def check(self, energy: Energy) -> None:
        require_continuous(self, energy)
        if energy.space.bounded:
            raise ValueError(
                f"{type(self).__name__} never rejects, and {type(energy).__name__} has coordinates on intervals, which it "
                "would leave: use Metropolis, MALA or HMC."
            )
        if in_kelvin(energy) and self.time_step > 0.01:
            raise ValueError(
                f"time_step = {self.time_step} ps is longer than any bond vibrates: give picoseconds, such as 0.002."
            )
        inertia(energy, self.hydrogen_mass)

    def duration(self, energy: Energy) -> tuple[float, str]:
        return self.steps * self.time_step, time_unit(energy)

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        return self.complete(energy, State(x, *energy.value_and_gradient(x)), rng)

    def complete(self, energy: Energy, state: State, rng: torch.Generator) -> State:
        """Return the state with all that the dynamics need."""
        return with_gradient(energy, state)

    def noises(self, energy: Energy, x: Tensor, steps: int, rng: torch.Generator) -> Iterator[Tensor]:
        r"""Yield $\sqrt{kT / m_i}\, \xi$ for every step, of the shape of x.

        It moves the whole as well: where that is pinned, dynamics take the motion out when they stop.
        """
        scale = thermal_scale(temperatures(energy, x), self._masses.of(energy, x), x)
        for _ in range(steps):  # one at a time stays in the cache
            yield torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype).mul_(scale)

    def finish(self, energy: Energy, x: Tensor, potential: Tensor, slope: Tensor, total: Tensor) -> State:
        """Return the state after a move, from U and its gradient at x and the sum of all U on the way, (W,)."""
        kT = temperatures(energy, x)
        u = torch.where(torch.isfinite(total), (potential / kT).to(potential), torch.nan)
        return State(energy.space.project(x), u, slope / per_walker(kT, x))
