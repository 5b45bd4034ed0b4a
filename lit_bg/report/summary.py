"""The summary of samples, as in summary.json: what was found in them, what it is worth and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lit_bg.cost import Cost
from lit_bg.diagnostics.chains import Mixing
from lit_bg.diagnostics.energies import EnergyDistance
from lit_bg.diagnostics.knowledge import Quality, Value
from lit_bg.diagnostics.virial import Virial
from lit_bg.report.document import Document
from lit_bg.report.json_form import FLAT, OMIT
from lit_bg.report.origin import GivenFile, SamplerRun, TrainedRun
from lit_bg.report.verdict import Claim, Word


@dataclass(frozen=True)
class AverageRow:
    """Holds an average, of the samples as they are and reweighted, beside what is known of it."""

    raw: float
    raw_err: float
    reweighted: float
    err: float
    reference: float | None
    reference_err: float | None
    exact: float | None
    pareto_k: float
    tail_share: float
    tail: str
    unit: str
    period: float | None


@dataclass(frozen=True)
class ModeRow:
    """Holds a mode's share of the samples, as they are and reweighted, and its free energy relative to the first mode [kT]."""

    raw: float
    reweighted: float
    err: float
    upper: float | None
    effective: float
    reference: float | None
    reference_err: float | None
    exact: float | None
    free_energy: float
    free_energy_err: float
    pareto_k: float
    missing: bool


@dataclass(frozen=True)
class OfProposals:
    """Holds the numbers that only independent draws have.

    `n_samples` counts those that are left when repeated and correlated ones are taken out of `n_drawn`. `ess` is an upper limit
    where `ess_is_limit` says so, likewise `ess_forward`.
    """

    n_drawn: int
    n_samples: int
    n_repeated: int
    inefficiency: float
    ess: float
    ess_err: float
    ess_is_limit: bool
    ess_forward: float | None
    ess_forward_err: float | None
    ess_forward_is_limit: bool | None
    pareto_k: float
    tail_share: float
    max_weight: float
    log_Z_forward: float | None
    log_Z_forward_err: float | None
    exact_density: bool
    log_q_variance: float | None
    log_q_shift: float | None
    log_q_scatter: float | None
    log_q_defect: float | None
    kind: Literal["proposals"] = "proposals"


@dataclass(frozen=True)
class OfChains:
    """Holds the numbers that only frames of walkers have."""

    kind: Literal["chains"]
    frames: int
    walkers: int
    n_repeated: int
    effective_samples: float
    mixing: dict[str, Mixing]
    entries: dict[str, int]
    starts: dict[str, int] | None
    silence: str | None
    virial: Virial | None
    energies: EnergyDistance | None


@dataclass(frozen=True)
class OfPopulations:
    """Holds the numbers that only populations have."""

    kind: Literal["populations"]
    populations: int
    particles: int
    ancestors: int
    effective_samples: float
    effective_populations: float
    ess: float
    max_weight: float
    pareto_k: float
    tail_share: float
    n_copies: int
    disagreement: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Summary(Document):
    """Holds what samples say, as numbers, strings and rows; errors are infinite where no honest error bar exists.

    In JSON the fields of `origin` and `samples` and the items of `more` stand among the others.

    Attributes:
        origin: where the samples come from; None: nothing is said of it.
        verdict, reasons, claims: as of `Verdict`.
        n_nonfinite, n_outside: samples without a finite energy or density, and outside the region of the target.
        log_Z, log_Z_err, log_Z_exact, log_Z_known: found, exact, and what it is held against.
        samples: what only their kind has.
        observables, modes, missing_modes: rows by name; None where no modes are known.
        reference_quality, reference_problems: of the reference data.
        cost, cost_per_effective_sample: None where it is not known.
        more: what a user's own observers add, by their own keys.
    """

    what = "a summary"
    schema = 1

    origin: TrainedRun | SamplerRun | GivenFile | None = field(default=None, metadata=FLAT)
    verdict: Word
    reasons: tuple[str, ...]
    claims: tuple[Claim, ...]
    n_nonfinite: int
    n_outside: int
    log_Z: float | None
    log_Z_err: float | None
    log_Z_exact: float | None
    log_Z_known: Value | None
    samples: OfProposals | OfChains | OfPopulations = field(metadata=FLAT)
    observables: dict[str, AverageRow]
    modes: dict[str, ModeRow] | None
    missing_modes: tuple[str, ...] | None
    reference_quality: Quality
    reference_problems: tuple[str, ...]
    cost: Cost | None = field(default=None, metadata=OMIT)
    cost_per_effective_sample: Cost | None = field(default=None, metadata=OMIT)
    more: dict[str, Any] = field(default_factory=dict, metadata=FLAT)
