"""Replica exchange between temperatures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Kernel, State
from lit_bg.kernels.cycle import Cycle
from lit_bg.kernels.exchange import Exchange, Ladders
from lit_bg.kernels.torsion_moves import TorsionMoves
from lit_bg.rng import stream
from lit_bg.simulators.base import Trajectory
from lit_bg.simulators.packing import pack
from lit_bg.simulators.recorder import Recorder
from lit_bg.simulators.running import check_state
from lit_bg.simulators.simulation import LONGEST_BLOCK, Record, Simulation
from lit_bg.simulators.temperatures import Temperatures


class ReplicaExchange(Simulation):
    r"""Exchanges replicas between temperatures: a `Simulation` by `Exchange`, whose rungs a pilot simulation has placed.

    `walkers` ladders of R temperatures move by the kernel, and neighbours swap after every move (see `Exchange`). Before it,
    some bonds of a molecule are turned by Monte Carlo (`TorsionMoves`), which crosses barriers of torsions at every
    temperature.

    The frames at the temperature of the energy are one time series for every ladder. Populations of modes in the data card use
    the replicas at all temperatures (`estimators.ladder_populations`), which is far better for rare ones. A ladder of which two
    neighbours hardly exchange, or in which no replica went from the lowest temperature to the highest and back, is called "not
    converged" in the data card.

    Args:
        kernel: of the replicas; its `steps` times `time_step` is the time between swaps, of which often is best. The time step
            is the same at all temperatures, so the hottest one limits it.
        ladder: the temperatures.
        torsion_moves: of every replica before each swap: one bond of the molecule turned by any angle; no effect where no bond
            can be turned.
        frames: saved per ladder and temperature.
        walkers: independent ladders.
        stride: moves (and swaps) between frames.
        burn_in: moves before the first frame.
        start: "modes", "initial", the name of one mode, or "torsions", as for `Simulation`.

    Raises:
        ValueError: a number out of range; from `check`, temperatures that do not fit the energy's; from `run`, walkers that
            blow up.
    """

    def __init__(
        self,
        kernel: Kernel,
        ladder: Temperatures,
        torsion_moves: int = 4,
        frames: int = 1000,
        walkers: int = 32,
        stride: int = 1,
        burn_in: int = 100,
        start: str = "modes",
    ) -> None:
        super().__init__(kernel, frames, walkers, stride, burn_in, start)
        if torsion_moves < 0:
            raise ValueError(f"torsion_moves = {torsion_moves} must not be negative.")
        self.ladder, self.torsion_moves = ladder, torsion_moves

    def check(self, energy: Energy) -> None:
        super().check(energy)
        ladder = self.ladder.first(energy)
        if not energy.at(ladder[-1]).is_view_of(energy):
            raise ValueError(
                f"{type(energy).__name__}.at(kT) makes another system, and a ladder of temperatures is of one: begin it with "
                "other = super().at(kT)."
            )
        self.exchange(energy, ladder).check(energy)

    def other_kTs(self, energy: Energy) -> dict[str, float]:
        return self.ladder.others(energy)

    def exchange(self, energy: Energy, ladder: list[float]) -> Exchange:
        """Return the kernel that moves replicas at these kT, of which the first is that of the energy."""
        kernel: Kernel[State] = self.kernel
        if self.torsion_moves and energy.rotatable_bonds:
            kernel = Cycle([TorsionMoves(self.torsion_moves, getattr(kernel, "hydrogen_mass", None)), kernel])
        return Exchange(kernel, [energy.at(kT) for kT in ladder[1:]])

    def kernel_of(self, energy: Energy) -> Kernel[Any]:
        kernel = self.exchange(energy, self.ladder.first(energy))
        kernel.reset()
        return kernel

    def begin(self, energy: Energy, seed: int, report: Callable[[str], None]) -> tuple[Kernel[Any], Any]:
        kernel, state = super().begin(energy, seed, report)
        if not self.ladder.piloted:
            return kernel, state
        first = self.ladder.first(energy)
        means, state = self._pilot(energy, kernel, state, seed, report)
        tuned = self.ladder.space_evenly(energy, lambda kT: float(np.interp(kT, first, means)))
        nearest = [min(range(len(first)), key=lambda r: abs(math.log(first[r] / kT))) for kT in tuned]
        x = torch.cat([state.rows.x.split(self.walkers)[r] for r in nearest])
        kernel = self.exchange(energy, tuned)
        kernel.reset()
        return kernel, kernel.init(energy, x, stream(seed, "velocities", device=x.device))

    def _pilot(
        self, energy: Energy, kernel: Kernel[Any], state: Ladders, seed: int, report: Callable[[str], None]
    ) -> tuple[list[float], Ladders]:
        """Return the mean potential energies at all rungs, from the second half of a short simulation.

        They do not fall with temperature.
        """
        moves, seen = self.ladder.pilot, []
        block = max(1, min(moves // 20, LONGEST_BLOCK // kernel.evaluations))
        for move in range(moves):
            if move % block == 0:
                report(f"pilot {100 * move // moves} %")
                rng = stream(seed, "pilot", step=move, device=state.x.device)
            state, info = kernel.step(energy, state, rng)
            kernel.adapt(info)
            if move % block == block - 1:
                check_state(pack(state), kernel, move)
            if move >= moves // 2:
                seen.append(kernel.observe(energy, state)["u_replicas"].mean(0) * energy.kT)
        return np.maximum.accumulate(torch.stack(seen).mean(0).cpu().numpy()).tolist(), state

    def saved(self, energy: Energy, kernel: Kernel[Any], state: Any) -> Record:
        found = super().saved(energy, kernel, state)
        back = energy.space.project if energy.bonds else energy.space.wrap
        assert isinstance(kernel, Exchange)
        kTs = [e.kT for e in kernel.states(energy)]
        for label, kT in self.other_kTs(energy).items():
            r = min(range(len(kTs)), key=lambda r: abs(math.log(kTs[r] / kT)))
            found[f"x_{label}"] = back(state.rows.x.split(self.walkers)[r])
            found[f"u_{label}"] = state.rows.u.split(self.walkers)[r]
        return found

    def trajectory(self, energy: Energy, kernel: Kernel[Any], recorder: Recorder) -> Trajectory:
        trajectory = super().trajectory(energy, kernel, recorder)
        for label, kT in self.other_kTs(energy).items():
            x, u = recorder.frames(f"x_{label}"), recorder.frames(f"u_{label}")
            trajectory.others[kT] = Trajectory(x, trajectory.interval, trajectory.time_unit, u=u)
        return trajectory
