"""Simulations by any kernel, which save their state on the way and can be continued."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.adaptation import FEWEST_STEPS
from lit_bg.kernels.base import Kernel
from lit_bg.kernels.exchange import Exchange
from lit_bg.kernels.units import in_kelvin
from lit_bg.rng import stream
from lit_bg.simulators.base import Numbers, ReportProgress, Simulator, States, Trajectory
from lit_bg.simulators.packing import of_prefix, pack, unpack, unpack_extra
from lit_bg.simulators.recorder import Recorder
from lit_bg.simulators.running import Running, check_state, record
from lit_bg.simulators.start import place_walkers, starting_points

LONGEST_BLOCK = 50  # evaluations between two looks at the keyboard, or a move; its random numbers are drawn from one address
MOST_SAMPLES = 100_000  # of all states; more are thinned evenly: frames close in time say the same
AT_ONCE = 100_000  # frames

Record = dict[str, Tensor]  # everything the future depends on: with it, and the seed, a simulation goes on bit for bit


class Simulation(Simulator):
    """Moves walkers by a kernel and records frames at equal distances.

    During burn-in the kernel is tuned, then it is frozen. Random numbers are addressed by (seed, move), so no generator has a
    state to keep, and an interrupted simulation goes on bit for bit. Walkers never meet, so R-hat between them in the data card
    says whether barriers are crossed.

    Args:
        kernel: how walkers move.
        frames: saved per walker.
        walkers: side by side.
        stride: moves between frames.
        burn_in: moves before the first frame.
        start: "modes" (walkers go round the initial configurations of the energy), "initial" (all at the first), the name of
            one mode, or "torsions" (a molecule with its backbone torsions drawn uniformly: walkers begin in all basins).

    Raises:
        ValueError: a number out of range; from `run`, walkers that blow up.
    """

    clashing: tuple[str, ...] = ("torsions",)  # starts in which particles may overlap

    def __init__(
        self,
        kernel: Kernel,
        frames: int = 1000,
        walkers: int = 100,
        stride: int = 10,
        burn_in: int = 1000,
        start: str = "modes",
    ) -> None:
        name = type(self).__name__
        for key, value in (("frames", frames), ("walkers", walkers), ("stride", stride)):
            if not value > 0:
                raise ValueError(f"{name} needs {key} > 0, got {value}.")
        if burn_in < 0:
            raise ValueError(f"{name} needs burn_in >= 0, got {burn_in}.")
        if kernel.adapts and burn_in < FEWEST_STEPS:
            raise ValueError(
                f"{type(kernel).__name__} adapts its step size during burn_in, and {burn_in} moves are too few: give at least "
                f"{FEWEST_STEPS}, or target_acceptance: null."
            )
        self.kernel, self.frames, self.walkers, self.stride = kernel, frames, walkers, stride
        self.burn_in, self.start = burn_in, start

    def check(self, energy: Energy) -> None:
        self.check_kernel(energy)
        starting_points(energy, 1, self.start)

    def check_kernel(self, energy: Energy) -> None:
        """Refuse a kernel that cannot move in this system, or whose frames would not be samples of it.

        Raises:
            ValueError: either, with the way out.
        """
        if self.kernel.weighted:
            name = type(self.kernel).__name__
            raise ValueError(f"{name} is exact only with the weights of its paths, which frames do not have: use MALA or HMC.")
        self.kernel.check(energy)

    def kernel_of(self, energy: Energy) -> Kernel[Any]:
        """Return the kernel for a system, as it is before any tuning."""
        self.kernel.reset()
        return self.kernel

    def starts(self, energy: Energy, n: int, seed: int) -> Tensor:
        """Return where n replicas begin, (n, *shape), those of one state after the other."""
        return starting_points(energy, n, self.start, seed)

    def begin(self, energy: Energy, seed: int, report: Callable[[str], None]) -> tuple[Kernel[Any], Any]:
        """Return the kernel and its state before the first move; `report` is told what takes time."""
        kernel = self.kernel_of(energy)
        x = self.starts(energy, kernel.replicas * self.walkers, seed).to(energy.device, kernel.dtype)
        # A walker in a clash refuses every move of a length that is right elsewhere, and would stay there for good.
        relax = kernel.starts_relaxed or (self.start in self.clashing and energy.space.continuous)
        x = place_walkers(energy, x, relax, report)
        return kernel, kernel.init(energy, x, stream(seed, "velocities", device=x.device))

    def saved(self, energy: Energy, kernel: Kernel[Any], state: Any) -> Record:
        """Return what is kept of a frame, (W, ...) each: configurations centred, and in their cell if no bond is cut so."""
        found = kernel.observe(energy, state)
        back = energy.space.project if energy.bonds else energy.space.wrap
        return found | {"x": back(found["x"])}

    def interval(self, kernel: Kernel[Any], energy: Energy) -> tuple[float, str]:
        """Return the time between two frames, with its unit."""
        passed = kernel.duration(energy)
        return (float(self.stride), "steps") if passed is None else (self.stride * passed[0], passed[1])

    def run(self, energy: Energy, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Trajectory:
        self.check(energy)
        recorder = Recorder() if recorder is None else recorder
        total = self.burn_in + self.frames * self.stride
        bill = energy.n_values, energy.n_gradients
        if recorder.state is not None:
            now = self._restored(energy, recorder.state)
            bill = energy.n_values - now.paid[0], energy.n_gradients - now.paid[1]
        else:
            now = Running(*self.begin(energy, seed, lambda text: progress(0, total, text)), {}, 0, 0.0)
            pack(now.state)  # so that a state that cannot be kept is refused before it is wanted
        kernel = now.kernel
        length = max(1, LONGEST_BLOCK // kernel.evaluations)
        began, before, reported = time.monotonic(), now.seconds, 0.0
        with recorder.listening():
            while now.move < total:
                step, production = now.move, now.move >= self.burn_in
                end = self.burn_in + ((step - self.burn_in) // self.stride + 1) * self.stride if production else self.burn_in
                block = min(end - step, length)
                now = self._advanced(energy, now, block, stream(seed, "simulate", step=step, device=now.state.x.device))
                now = now._replace(seconds=before + time.monotonic() - began)
                if production and now.move == end:
                    frame = (end - self.burn_in) // self.stride - 1
                    recorder.write(frame, self.frames, self.saved(energy, kernel, now.state))
                now = now._replace(paid=(energy.n_values - bill[0], energy.n_gradients - bill[1]))
                if now.move == total or recorder.due:
                    recorder.save(record(energy, now))
                if recorder.interrupted and now.move < total:
                    recorder.stop(record(energy, now), f"at step {now.move} of {total}")
                if now.move == total or time.monotonic() - reported > 0.2:
                    reported = time.monotonic()
                    progress(now.move, total, self._status(energy, now))
        return self._finished(energy, now, recorder)

    def _advanced(self, energy: Energy, now: Running, moves: int, rng: torch.Generator) -> Running:
        """Go on by some moves, all of burn-in or all of production.

        Raises:
            ValueError: walkers blew up.
        """
        kernel, state, measured = now.kernel, now.state, dict(now.measured)
        production = now.move >= self.burn_in
        for _ in range(moves):
            state, info = kernel.step(energy, state, rng)
            if not production:
                kernel.adapt(info)
                continue
            for name, value in info.measured.items():
                measured[name] = measured[name] + value if name in measured else value.double()
        move = now.move + moves
        if not production and move == self.burn_in:
            kernel.freeze()
        check_state(pack(state), kernel, move)
        return now._replace(state=state, measured=measured, move=move)

    def _restored(self, energy: Energy, kept: Record) -> Running:
        """Take up a recorded state.

        Raises:
            ValueError: its energies are not those of this system.
        """
        kernel = self.kernel_of(energy)
        kernel.restore(of_prefix("memory", kept))
        packed = of_prefix("state", kept)
        x = packed["rows.x"] if "rows.x" in packed else packed["x"]
        like = kernel.init(energy, x, stream(0, "like", device=x.device))
        state = unpack(like, packed)
        now, then = like.u.double(), state.u.double()
        if not ((now - then).abs() < 0.1 + 1e-4 * then.abs()).all():
            raise ValueError(
                f"the unfinished simulation has u = {then[0]:.4f} kT where this {type(energy).__name__} has {now[0]:.4f}: "
                "its parameters have changed, so start again with data.force=true."
            )
        unpack_extra(energy, kept["energy"])
        paid = tuple(kept["paid"].tolist()) if "paid" in kept else (0, 0)
        return Running(kernel, state, of_prefix("measured", kept), int(kept["step"]), float(kept["seconds"]), paid)

    def _status(self, energy: Energy, now: Running) -> str:
        """Return a short word on how it goes, for the progress bar, with the time of all replicas together."""
        passed = now.kernel.duration(energy)
        words = ", ".join(filter(None, ["burn-in" if now.move < self.burn_in else "", now.kernel.status(now.measured)]))
        if passed is None:
            return words
        moved = now.move * passed[0] * self.walkers * now.kernel.replicas
        simulated = f"{moved / 1000:.3g} ns" if in_kelvin(energy) else f"time {moved:.3g}"
        return f"{simulated}, {words}" if words else simulated

    def _finished(self, energy: Energy, now: Running, recorder: Recorder) -> Trajectory:
        """Return what was recorded, with all that the card should say."""
        trajectory = self.trajectory(energy, now.kernel, recorder)
        trajectory.info, trajectory.problems = now.kernel.summarise(energy, now.measured)
        trajectory.info |= self._speed(energy, now) | {"energies": now.paid[0], "gradients": now.paid[1]}
        parts = trajectory.x.transpose(0, 1).reshape(-1, *energy.space.shape).split(AT_ONCE)
        left = torch.cat([~energy.in_region(part) for part in parts]).reshape(self.walkers, -1).any(1)
        if left.any():
            trajectory.problems.append(f"{int(left.sum())} of {self.walkers} walkers left the region that the target covers")
        return trajectory

    def trajectory(self, energy: Energy, kernel: Kernel[Any], recorder: Recorder) -> Trajectory:
        """Return the frames that were recorded."""
        interval, unit = self.interval(kernel, energy)
        trajectory = Trajectory(recorder.frames("x"), interval, unit, u=recorder.frames("u"))
        if isinstance(kernel, Exchange) and "label_replicas" in recorder.arrays:
            label, u = recorder.frames("label_replicas"), recorder.frames("u_replicas")
            every = max(1, label.numel() // MOST_SAMPLES)
            trajectory.states = States(kernel.u_kn(energy, u[::every]), label[::every].long())
        return trajectory

    def _speed(self, energy: Energy, now: Running) -> Numbers:
        """Return the simulated time of all walkers together per second; nothing where moves take no time."""
        passed = now.kernel.duration(energy)
        if passed is None:
            return {}
        simulated = now.move * passed[0] * self.walkers * now.kernel.replicas / max(now.seconds, 1e-9)
        return {"ns_per_second": simulated / 1000} if in_kelvin(energy) else {"time_per_second": simulated}
