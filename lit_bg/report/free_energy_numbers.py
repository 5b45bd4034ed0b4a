"""The file free_energy.json: free energies as rows of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lit_bg.cost import Cost
from lit_bg.diagnostics.absolute import Absolute, FreeEnergy
from lit_bg.diagnostics.exchange import ReplicaMixing
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.diagnostics.states import Multistate
from lit_bg.estimators import Bounds, next_to_diagonal, weakest_link
from lit_bg.report.document import Document
from lit_bg.report.energy_units import UNITS, size_of_kT
from lit_bg.report.free_energies import FreeEnergyVerdict
from lit_bg.report.json_form import FLAT, KEY, OMIT

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PartsRow:
    """Holds the estimates from independent parts: their number, mean and scatter, and the error of all together."""

    n: int
    mean: float
    deviation: float
    error: float


@dataclass(frozen=True)
class EstimateRow:
    """Holds a free energy with its errors by three methods; `error` is the largest."""

    value: float
    error: float
    analytic: float
    bootstrap: float
    parts: PartsRow | None

    @classmethod
    def of(cls, e: FreeEnergy, size: float = 1.0) -> EstimateRow:
        """Return the row of an estimate, in a unit in which one kT is so large."""
        parts = None
        if p := e.parts:
            parts = PartsRow(p.n, p.mean * size, p.deviation * size, p.error * size)
        return cls(e.value * size, e.error * size, e.analytic * size, e.bootstrap * size, parts)


@dataclass(frozen=True)
class BoundsRow:
    """Holds the mean works of both directions, and how far they are apart [kT]."""

    lower: float
    lower_error: float
    upper: float
    upper_error: float
    gap: float

    @classmethod
    def of(cls, b: Bounds) -> BoundsRow:
        """Return the row of bounds."""
        return cls(b.lower, b.lower_error, b.upper, b.upper_error, b.gap)


@dataclass(frozen=True)
class ModeFreeEnergy:
    """Holds the free energy of a mode relative to the first [kT]."""

    free_energy: float
    error: float

    @classmethod
    def of(cls, share: ModeShare) -> ModeFreeEnergy:
        """Return the row of a mode."""
        return cls(share.free_energy, share.free_energy_error)


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """Holds the free energy of one run by every estimator, in every unit, with its verdict and what it cost."""

    proposals: int
    proposals_without_weight: int
    frames: int
    independent_frames: int
    statistical_inefficiency: float
    F: dict[str, EstimateRow]
    estimator: Literal["LFEP", "BAR"]
    LFEP: dict[str, EstimateRow]
    reverse_LFEP: dict[str, EstimateRow] | None
    BAR: dict[str, EstimateRow] | None
    bounds: BoundsRow | None = field(metadata={KEY: "bounds [kT]"})
    overlap: float | None
    halves: float = field(metadata={KEY: "halves [sigma]"})
    energy: str
    frames_from: str | None
    exact: float | None = field(default=None, metadata={KEY: "exact [kT]", **OMIT})
    modes: dict[str, ModeFreeEnergy] | None = field(default=None, metadata={KEY: "modes [kT]", **OMIT})
    cost: Cost | None = field(default=None, metadata=OMIT)
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """Holds a free energy relative to that of the first state, with two errors."""

    value: float
    analytic: float
    bootstrap: float


@dataclass(frozen=True)
class StateRow:
    """Describes a state of MBAR: its name, its samples, and its free energy by unit."""

    state: str
    samples: int
    by_unit: dict[str, DifferenceRow] = field(metadata=FLAT)


@dataclass(frozen=True)
class StatesRow:
    """Holds what MBAR says, and how far it is to be trusted."""

    states: tuple[StateRow, ...]
    overlap: Matrix
    overlap_of_equal_counts: Matrix
    smallest_next_to_diagonal: float | None
    weakest_link: float | None
    halves: float = field(metadata={KEY: "halves [sigma]"})
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class MixingRow:
    """Says how replicas pass through states."""

    transitions: Matrix
    relaxation: float = field(metadata={KEY: "relaxation [records]"})
    round_trips: int
    states_visited: tuple[int, ...]


@dataclass(frozen=True)
class FreeEnergies(Document):
    """Holds the free energies of runs, as far as they are found, as in free_energy.json.

    Attributes:
        unit: of what is printed.
        runs: by name.
        differences: to the first run, by name and unit.
        MBAR: over all runs, or why there is none.
        verdict: the worst word.
    """

    what = "free energies of runs"
    schema = 1

    unit: str
    runs: dict[str, RunRow] = field(default_factory=dict)
    differences: dict[str, dict[str, EstimateRow]] | None = field(default=None, metadata=OMIT)
    MBAR: StatesRow | str | None = field(default=None, metadata=OMIT)
    verdict: str | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True)
class ExchangeFreeEnergies(Document):
    """Holds the free energies between the states of a replica exchange, as in its free_energy.json."""

    what = "free energies of a replica exchange"
    schema = 1

    unit: str
    records: int
    statistical_inefficiency: float
    MBAR: StatesRow
    exchange: MixingRow
    notes: tuple[str, ...]


def number_estimate(e: FreeEnergy, kT: float | None) -> dict[str, EstimateRow]:
    """Return an estimate in every unit that applies.

    Args:
        e: the estimate [kT].
        kT: in kJ/mol; None where there is no such number.
    """
    return {unit: EstimateRow.of(e, size_of_kT(unit, kT)) for unit in _units(kT)}


def number_run(
    a: Absolute,
    kT: float | None,
    verdict: FreeEnergyVerdict,
    energy: str,
    frames_from: str | None,
    exact: float | None = None,
    modes: dict[str, ModeShare] | None = None,
    cost: Cost | None = None,
) -> RunRow:
    """Return what was found of one run.

    Args:
        a, verdict: what was found, and how far it is to be trusted.
        kT: in kJ/mol; None where there is no such number.
        energy, frames_from: names of the system and of the source of its frames.
        exact: -ln Z where it is known [kT].
        modes: how they are held.
        cost: of proposals and densities.
    """
    return RunRow(
        proposals=a.proposals,
        proposals_without_weight=a.unreached,
        frames=a.frames,
        independent_frames=a.independent,
        statistical_inefficiency=a.inefficiency,
        F=number_estimate(a.best, kT),
        estimator="LFEP" if a.bar is None else "BAR",
        LFEP=number_estimate(a.lfep, kT),
        reverse_LFEP=None if a.reverse is None else number_estimate(a.reverse, kT),
        BAR=None if a.bar is None else number_estimate(a.bar, kT),
        bounds=None if a.bounds is None else BoundsRow.of(a.bounds),
        overlap=a.overlap,
        halves=a.convergence.halves,
        energy=energy,
        frames_from=frames_from,
        exact=exact,
        modes=None if modes is None else {name: ModeFreeEnergy.of(share) for name, share in modes.items()},
        cost=cost,
        verdict=verdict.word,
        reasons=verdict.sentences,
    )


def number_states(m: Multistate, kT: float | None, verdict: FreeEnergyVerdict) -> StatesRow:
    """Return what MBAR says; for the arguments see `number_run`."""
    rows = []
    for k, name in enumerate(m.names):
        value, analytic, spread = m.difference(k) if k else (0.0, 0.0, 0.0)
        sizes = {unit: size_of_kT(unit, kT) for unit in _units(kT)}
        found = {unit: DifferenceRow(value * size, analytic * size, spread * size) for unit, size in sizes.items()}
        rows.append(StateRow(name, int(m.counts[k]), found))
    sampled = (m.counts > 0).nonzero().flatten()
    even = m.even[sampled][:, sampled]
    joined = len(sampled) > 1
    return StatesRow(
        tuple(rows),
        _matrix(m.overlap.tolist()),
        _matrix(m.even.tolist()),
        next_to_diagonal(even)[0] if joined else None,
        weakest_link(even)[0] if joined else None,
        m.convergence.halves,
        verdict.word,
        verdict.sentences,
    )


def number_mixing(m: ReplicaMixing) -> MixingRow:
    """Return how replicas mix."""
    return MixingRow(_matrix(m.transitions.tolist()), m.relaxation, m.round_trips, tuple(m.visited.tolist()))


def _units(kT: float | None) -> tuple[str, ...]:
    return UNITS if kT is not None else UNITS[:1]


def _matrix(rows: list[list[float]]) -> Matrix:
    return tuple(map(tuple, rows))
