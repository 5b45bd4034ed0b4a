"""Markov chains that start from proposals of a generator, which may also move them."""

from __future__ import annotations

from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Kernel
from lit_bg.samplers.base import Proposer, Result, Sampler
from lit_bg.samplers.starts import start_from_proposals
from lit_bg.samples import Chains
from lit_bg.simulators.base import ReportProgress
from lit_bg.simulators.recorder import Recorder
from lit_bg.simulators.simulation import Simulation

PROPOSALS = "proposals"


class MarkovChains(Sampler):
    """Moves walkers side by side by a kernel, from proposals of a generator in every mode.

    The kernel may propose from the generator (`ISIR`, `Independence`, `LatentWalk`), move locally (`HMC`, `TorsionMoves`), or
    do both by turns (`Cycle`, `Mixture`): what the generator proposes carries walkers between modes, and local moves reach what
    it does not propose. They are correct whatever the generator, and say nothing of log Z. Particles are minimised before their
    first move, since a walker in a clash refuses every move of a length that is right elsewhere.

    Args:
        kernel: how walkers move.
        frames: kept of every walker.
        walkers: side by side.
        stride: moves between frames.
        burn_in: moves before the first frame, in which the kernel is tuned.
        start: "proposals", or what `Simulation` knows: "modes", "initial", the name of a mode, "torsions".

    Raises:
        ValueError: a number out of range; from `check`, a kernel that does not fit.
    """

    def __init__(
        self,
        kernel: Kernel,
        frames: int = 1000,
        walkers: int = 64,
        stride: int = 1,
        burn_in: int = 100,
        start: str = PROPOSALS,
    ) -> None:
        if walkers < 2:
            raise ValueError(f"MarkovChains compares walkers, and needs walkers >= 2, got {walkers}.")
        if frames < 4:
            raise ValueError(f"MarkovChains needs frames >= 4, or R-hat has nothing to compare, got {frames}.")
        Simulation(kernel, frames, walkers, stride, burn_in, start)
        self.kernel, self.frames, self.walkers = kernel, frames, walkers
        self.stride, self.burn_in, self.start = stride, burn_in, start

    @property
    def uses_density(self) -> bool:
        return self.kernel.uses_density  # where walkers start is forgotten

    def check(self, proposer: Proposer) -> None:
        self.kernel.attach(proposer.generator, proposer.context)
        Walk(self, proposer).check(proposer.energy)

    def run(self, proposer: Proposer, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Result:
        self.check(proposer)
        recorder = Recorder() if recorder is None else recorder
        walk = Walk(self, proposer)
        trajectory = walk.run(proposer.energy, seed, progress, recorder)
        assert trajectory.u is not None  # a Simulation records it
        info = trajectory.info
        if "longest_stay" in recorder.arrays:  # the largest so far goes with the walkers
            info["longest_stay"] = float(recorder.frames("longest_stay").max())
        problems = list(trajectory.problems)
        if not self.kernel.exact:
            problems.append(f"not exact: {type(self.kernel).__name__} has an error of its time step: HMC and MALA have none.")
        start = walk.starts(proposer.energy, self.walkers * self.kernel.replicas, seed)[: self.walkers]
        return Result(Chains(trajectory.x, trajectory.u, start), info, problems)


class Walk(Simulation):
    """Runs the simulation behind `MarkovChains`."""

    clashing = (*Simulation.clashing, PROPOSALS)

    def __init__(self, chains: MarkovChains, proposer: Proposer) -> None:
        super().__init__(chains.kernel, chains.frames, chains.walkers, chains.stride, chains.burn_in, chains.start)
        self.proposer = proposer
        self._known: tuple[int, int, Tensor] | None = None

    def check(self, energy: Energy) -> None:
        if self.start == PROPOSALS:
            self.check_kernel(energy)
        else:
            super().check(energy)

    def starts(self, energy: Energy, n: int, seed: int) -> Tensor:
        if self.start != PROPOSALS:
            return super().starts(energy, n, seed)
        if self._known is None or self._known[:2] != (n, seed):
            self._known = n, seed, start_from_proposals(self.proposer, n, seed)
        return self._known[2].clone()
