"""Independent samples, for systems that can draw them."""

from __future__ import annotations

import torch

from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.simulators.base import ReportProgress, Simulator, Trajectory
from lit_bg.simulators.recorder import Recorder


class Exact(Simulator):
    """Draws independent samples by the energy's own exact sampler, as one walker whose frames are uncorrelated.

    Args:
        frames: how many.

    Raises:
        ValueError: fewer than one frame; on `check`, an energy without an exact sampler.
    """

    def __init__(self, frames: int = 10_000) -> None:
        if frames < 1:
            raise ValueError(f"Exact needs at least one frame, got frames={frames}.")
        self.frames = frames

    def check(self, energy: Energy) -> None:
        if not energy.has_exact_samples:
            raise ValueError(
                f"{type(energy).__name__} at kT = {energy.kT:.6g} has no exact sampler: "
                "use Simulation with a kernel such as MALA."
            )

    def run(self, energy: Energy, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Trajectory:
        self.check(energy)
        rng = stream(seed, "simulate")
        parts = torch.full((self.frames,), 0).split(100_000)
        x = []
        for i, part in enumerate(parts):
            x.append(energy.exact_samples(len(part), rng))
            progress(i + 1, len(parts), "independent samples")
        return Trajectory(torch.cat(x)[:, None], time_unit="independent frames")
