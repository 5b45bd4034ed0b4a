"""Contract of simulators: reference data by dynamics or Monte Carlo, without any generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from lit_bg.energies.base import Energy

Progress = Callable[[int, int, str], None]  # done, total, a short state such as "acceptance 0.52"


@dataclass
class Trajectory:
    """Frames of independent walkers side by side."""

    x: Tensor  # (T, W, *event_shape)
    interval: float = 1.0  # time between frames, in `time_unit`
    time_unit: str = "steps"
    info: dict[str, float | int | str] = field(default_factory=dict)  # acceptance and the like, for the data card


class Simulator(ABC):
    """Makes a trajectory of any energy it can handle; named in YAML under `simulate`."""

    def check(self, energy: Energy) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Raises:
            ValueError: the simulator cannot handle this energy, with the way out.
        """

    @abstractmethod
    def run(self, energy: Energy, seed: int, progress: Progress) -> Trajectory:
        """Simulate exp(-u); the same seed gives the same trajectory."""
