"""Simulations that go step by step, save as they go, and can be continued."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.samplers.base import Info, Progress, Simulator, Trajectory
from lit_bg.samplers.recorder import Recorder

LONGEST_BLOCK = 50  # steps between two looks at the keyboard, and of the random numbers drawn from one address

State = dict[str, Tensor]  # everything the future depends on: with it, and the seed, a simulation goes on bit for bit


class Schedule(NamedTuple):
    """Says in steps when frames are taken."""

    burn_in: int  # before the first frame
    stride: int  # from frame to frame


class Chain(Simulator):
    """A simulator whose state is advanced step by step.

    A subclass says how a state begins and moves; what is common is here: burn-in, frames, progress, and that an interrupted
    simulation goes on bit for bit. Random numbers are addressed by (seed, step), so no generator has a state to keep.
    """

    frames: int  # saved per walker
    walkers: int

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """Burn-in and stride in steps."""

    @abstractmethod
    def init(self, energy: Energy, seed: int, report: Callable[[str], None]) -> State:
        """The state before the first step; `report` is told what takes time."""

    @abstractmethod
    def advance(self, energy: Energy, state: State, steps: int, rng: torch.Generator) -> None:
        """Go on by some steps, changing the state and its `step` in place.

        Raises:
            ValueError: the simulation went wrong.
        """

    def saved(self, energy: Energy, state: State) -> State:
        """What is kept of a frame: `x`, (W, *event_shape), centred if the energy does not see translations; `u`, (W,)."""
        x = state["x"]
        return {"x": x - x.mean(-2, keepdim=True) if energy.translation_invariant else x, "u": state["u"]}

    @abstractmethod
    def status(self, energy: Energy, state: State) -> str:
        """A short word on how it goes, for the progress bar."""

    @abstractmethod
    def summary(self, energy: Energy, state: State, seconds: float) -> tuple[Info, list[str]]:
        """Numbers for the data card, and problems, when all is done in so many seconds."""

    def time_between_frames(self, energy: Energy) -> tuple[float, str]:
        """Return the time between two frames, with its unit."""
        return float(self.schedule.stride), "steps"

    def trajectories(self, energy: Energy, recorder: Recorder, state: State) -> Trajectory:
        """The frames that were recorded, when the state is the last one."""
        interval, unit = self.time_between_frames(energy)
        return Trajectory(recorder.frames("x"), interval, unit, u=recorder.frames("u"))

    def run(self, energy: Energy, seed: int, progress: Progress, recorder: Recorder | None = None) -> Trajectory:
        self.check(energy)
        recorder = Recorder() if recorder is None else recorder
        burn_in, stride = self.schedule
        total = burn_in + self.frames * stride
        if recorder.state is not None:
            state = recorder.state
            _check_energy(energy, state)
            energy.meter.values, energy.meter.gradients = state["calls"].tolist()  # an energy may compile itself after so many
        else:
            state = self.init(energy, seed, lambda text: progress(0, total, text))
            state |= {"step": torch.zeros((), dtype=torch.long), "seconds": torch.zeros((), dtype=torch.float64)}
        began, before, reported = time.monotonic(), state["seconds"].item(), 0.0
        with recorder.listening():
            while (step := int(state["step"])) < total:
                end = burn_in if step < burn_in else burn_in + ((step - burn_in) // stride + 1) * stride
                block = min(end - step, LONGEST_BLOCK)
                self.advance(energy, state, block, stream(seed, "simulate", step=step, device=state["x"].device))
                step += block
                state["seconds"].fill_(before + time.monotonic() - began)
                state["calls"] = torch.tensor([energy.n_values, energy.n_gradients])
                if step > burn_in and step == end:
                    recorder.write((end - burn_in) // stride - 1, self.frames, self.saved(energy, state))
                if step == total or recorder.due:
                    recorder.save(state)
                if recorder.interrupted and step < total:
                    recorder.stop(state, f"at step {step} of {total}")
                if step == total or time.monotonic() - reported > 0.2:
                    reported = time.monotonic()
                    progress(step, total, self.status(energy, state))
        trajectory = self.trajectories(energy, recorder, state)
        trajectory.info, trajectory.problems = self.summary(energy, state, state["seconds"].item())
        parts = trajectory.x.transpose(0, 1).reshape(-1, *energy.event_shape).split(100_000)
        wrong = torch.cat([~energy.in_region(part) for part in parts]).reshape(self.walkers, -1).any(1)
        if wrong.any():
            trajectory.problems.append(f"{int(wrong.sum())} of {self.walkers} walkers changed the chirality of a stereocentre")
        return trajectory


def _check_energy(energy: Energy, state: State) -> None:
    """The energies of a saved state evaluated again.

    Raises:
        ValueError: they are not those of the state.
    """
    with torch.no_grad():
        now = energy(state["x"]).double()
    u = state["u"].double()
    if not ((now - u).abs() < 0.1 + 1e-4 * u.abs()).all():
        raise ValueError(
            f"the unfinished simulation has u = {u[0]:.4f} kT where this {type(energy).__name__} has {now[0]:.4f}: "
            "its parameters have changed, so start again with data.force=true."
        )
