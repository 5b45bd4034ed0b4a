"""What dynamics in continuous time share: units, starts, noise, and walkers that blow up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import R
from lit_bg.samplers.base import Info
from lit_bg.samplers.chain import Chain, Schedule, State
from lit_bg.samplers.hydrogen_mass import check_hydrogen_mass
from lit_bg.samplers.minimise import minimise
from lit_bg.samplers.motion import centred, device_of, inertia, per_coordinate
from lit_bg.samplers.start import starting_points


def in_kelvin(energy: Energy) -> bool:
    """Whether temperatures of this system are given in kelvin (energies in kJ/mol) or as kT."""
    return energy.unit == "kJ/mol"


def to_kT(energy: Energy, temperature: float) -> float:
    """kT of a temperature as users give it: [K] for energies in kJ/mol, kT itself for model energies."""
    return R * temperature if in_kelvin(energy) else temperature


class Dynamics(Chain):
    """Dynamics of all walkers in one batch; a subclass says how they move.

    Positions and velocities are kept in single precision, in which a molecule of tens of atoms has the same averages (see
    `Langevin`). Lengths of time are in ps where the energy is in kJ/mol, lengths in nm and masses in amu, else in the
    unit of time that follows from those of the energy, with mass 1 where it has none.

    Args:
        frames: saved per walker.
        walkers: independent trajectories.
        interval: time between frames.
        time_step: of the integrator.
        friction: gamma, per time.
        burn_in: time before the first frame.
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to; None: as they are.
        start: "modes", "initial", "torsions" or the name of a mode, see `starting_points`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 128,
        interval: float = 0.1,
        time_step: float = 0.001,
        friction: float = 1.0,
        burn_in: float = 10.0,
        hydrogen_mass: float | None = None,
        start: str = "modes",
    ) -> None:
        name = type(self).__name__
        positive = (
            ("frames", frames), ("walkers", walkers), ("interval", interval), ("time_step", time_step), ("friction", friction)
        )  # fmt: skip
        for key, value in positive:
            if not value > 0:
                raise ValueError(f"{name} needs {key} > 0, got {value}.")
        if burn_in < 0:
            raise ValueError(f"{name} needs burn_in >= 0, got {burn_in}.")
        check_hydrogen_mass(hydrogen_mass)
        self.frames, self.walkers, self.interval, self.time_step = frames, walkers, interval, time_step
        self.friction, self.burn_in, self.hydrogen_mass, self.start = friction, burn_in, hydrogen_mass, start
        self.steps_in(interval, "interval")

    def steps_in(self, time: float, name: str) -> int:
        """Return how many time steps a time is.

        Raises:
            ValueError: not a whole number of time steps.
        """
        steps = round(time / self.time_step)
        if steps < 1 or not math.isclose(steps * self.time_step, time, rel_tol=1e-6):
            raise ValueError(f"{name} = {time} must be a whole number of time steps of {self.time_step}.")
        return steps

    @property
    def schedule(self) -> Schedule:
        return Schedule(round(self.burn_in / self.time_step), self.steps_in(self.interval, "interval"))

    def check(self, energy: Energy) -> None:
        if energy.unit == "kJ/mol" and self.time_step > 0.01:
            raise ValueError(
                f"time_step = {self.time_step} ps is longer than any bond vibrates: give picoseconds, such as 0.002."
            )
        inertia(energy, self.hydrogen_mass)
        starting_points(energy, 1, self.start)

    def time_between_frames(self, energy: Energy) -> tuple[float, str]:
        return self.interval, "ps" if in_kelvin(energy) else "time units"

    def started(self, energy: Energy, walkers: int, seed: int, report: Callable[[str], None]) -> Tensor:
        """(walkers, *event_shape) where walkers begin, float32; particles without clashes, and centred.

        Raises:
            ValueError: starts without a finite energy, or with another chirality after the clashes were removed.
        """
        x = starting_points(energy, walkers, self.start, seed).to(device_of(energy), torch.float32)
        with torch.no_grad():
            finite = torch.isfinite(torch.cat([energy(part) for part in x.split(8192)]))
        if not finite.all():
            raise ValueError(
                f"{int((~finite).sum())} of {walkers} starts of {type(energy).__name__} have no finite energy: "
                "give it other `initial` configurations, or start: initial."
            )
        if not energy.translation_invariant:
            return x
        report("minimising")
        x = centred(minimise(energy, centred(x)))
        wrong = ~energy.in_region(x)
        if wrong.all():
            raise ValueError("every start changed the chirality of a stereocentre when it was minimised: use start: initial.")
        if wrong.any():  # these walkers begin where others do, and part from them by their noise
            right = torch.nonzero(~wrong).flatten()
            x[wrong] = x[right[torch.arange(int(wrong.sum()), device=x.device) % len(right)]]
        return x

    def begin(self, energy: Energy, x: Tensor, kT: Tensor | None = None) -> State:
        """The state of walkers at x, (W, *event_shape), in the precision of x; at `kT`, (W,), if not the energy's."""
        u, gradient = energy.value_and_gradient(x)
        return {
            "x": x.clone(),
            "u": u,
            "gradient": gradient,
            "mass": inertia(energy, self.hydrogen_mass).to(x),
            "kT": torch.full((len(x),), energy.kT, dtype=torch.float64, device=x.device) if kT is None else kT,
            "fine": torch.ones(len(x), dtype=torch.bool, device=x.device),  # had finite energies all the way
            "step": torch.zeros((), dtype=torch.long),
        }

    def noises(self, state: State, steps: int, rng: torch.Generator) -> Iterator[Tensor]:
        r"""Yield $\sqrt{kT / m_i}\, \xi$ for every step, (W, *event_shape).

        It moves the whole as well: where that is pinned, dynamics take the motion out when they stop.
        """
        x = state["x"]
        scale = per_coordinate((state["kT"].reshape(-1, *[1] * (x.ndim - 1)) / state["mass"]).sqrt(), x)
        for _ in range(steps):  # one at a time stays in the cache
            yield torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype).mul_(scale)

    def check_fine(self, state: State) -> None:
        """Refuse to go on with walkers that have blown up.

        Raises:
            ValueError: walkers whose energy was NaN or infinite.
        """
        state["fine"] &= torch.isfinite(state["x"]).flatten(1).all(-1)
        if not state["fine"].all():
            bad = torch.nonzero(~state["fine"]).flatten()
            raise ValueError(
                f"{len(bad)} of {len(state['x'])} walkers blew up (walker {int(bad[0])} is the first) before step "
                f"{int(state['step'])}: use a shorter time_step than {self.time_step}."
            )

    def status(self, energy: Energy, state: State) -> str:
        return self.simulated(energy, state)

    def speed(self, energy: Energy, state: State, seconds: float) -> Info:
        """Simulated time of all walkers together per second."""
        simulated = int(state["step"]) * self.time_step * len(state["x"]) / max(seconds, 1e-9)
        return {"ns_per_second": simulated / 1000} if in_kelvin(energy) else {"time_per_second": simulated}

    def simulated(self, energy: Energy, state: State) -> str:
        """Time of all walkers together, for the progress bar."""
        time = int(state["step"]) * self.time_step * len(state["x"])
        return f"{time / 1000:.3g} ns" if in_kelvin(energy) else f"time {time:.3g}"
