"""Contract of simulators: reference data by dynamics or Monte Carlo, without any generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.simulators.recorder import Recorder

ReportProgress = Callable[[int, int, str], None]  # done, total, a short state such as "acceptance 0.52"
Numbers = dict[str, float | int | str | list[float]]
DOUBTFUL = ("not converged", "not exact")  # how a problem begins that does not speak against what there is


def is_doubt(problem: str) -> bool:
    """Say whether a problem keeps samples from being trusted and speaks against none of their numbers.

    >>> is_doubt("not converged: no round trip"), is_doubt("4 of 4 walkers left the region that the target covers")
    (True, False)
    """
    return problem.startswith(DOUBTFUL)


@dataclass
class States:
    """Holds what the replicas of all states say together: frames of all of them, and their energies in all states.

    Replica r was simulated in state r; the first state is that of the trajectory.
    """

    u: Float[Tensor, "K T W R"]  # reduced energies in state k of the frames of replica r [kT]
    label: Int[Tensor, "T W R"]  # modes, as `Modes.label` numbers them


@dataclass
class Trajectory:
    """Holds frames of independent walkers side by side."""

    x: Float[Tensor, "T W *shape"]
    interval: float = 1.0  # time between frames, in `time_unit`
    time_unit: str = "steps"
    info: Numbers = field(default_factory=dict)  # acceptance and the like, for the data card
    u: Float[Tensor, "T W"] | None = None  # reduced energies of the frames [kT], where the simulator knows them
    problems: list[str] = field(default_factory=list)  # what the simulator itself says against its data; see `is_doubt`
    states: States | None = None  # what the same walkers did in all states, thinned
    others: dict[float, Trajectory] = field(default_factory=dict)  # the same walkers at other temperatures, by kT


class Simulator(ABC):
    """Makes a trajectory of any energy it can handle; named in YAML under `simulate`."""

    def check(self, energy: Energy) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Raises:
            ValueError: the simulator cannot handle this energy, with the way out.
        """

    def other_kTs(self, energy: Energy) -> dict[str, float]:
        """Return temperatures (kT) sampled besides that of the energy, by a label for the file name such as "600K"."""
        return {}

    @abstractmethod
    def run(self, energy: Energy, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Trajectory:
        """Simulate exp(-u); the same seed gives the same trajectory.

        Args:
            energy: the system.
            seed: of every random number.
            progress: is told how far it is.
            recorder: where frames and state go as they come, so that an interrupted simulation can go on; None: they
                stay in memory. Simulators that are over soon, or know no steps, do not use it.

        Raises:
            ValueError: what `check` says, or a simulation that went wrong.
            Interrupted: it was interrupted, and the recorder keeps what is needed to go on.
        """
