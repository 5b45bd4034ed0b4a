"""Origins of samples: a trained run, a sampler, or a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lit_bg.diagnostics.conditions import AtConditions
from lit_bg.diagnostics.particle_distances import Distance, TransportDistance
from lit_bg.report.cost import ReferenceCost
from lit_bg.report.json_form import KEY, OMIT


@dataclass(frozen=True)
class FromReference:
    """Says how far proposals are from the reference data: the same numbers as of `callbacks.ParticleDistances`."""

    n: int  # proposals compared
    distances: Distance  # between particles [unit of length]
    u: Distance  # [kT]
    configurations: TransportDistance | None = field(default=None, metadata=OMIT)  # of a test [unit of length]


@dataclass(frozen=True)
class TrainedRun:
    """Describes a training, with what it cost.

    Attributes:
        energy, generator: names of their classes.
        steps, judged_step: of the training, and of the state that was judged.
        seconds: wall time, of resumed parts too.
        energy_calls: energies evaluated, over all ranks.
        field_evaluations: of a vector field, per proposal; None where there is none.
        wasserstein: None where there is nothing to compare with.
        conditions: what the run is worth under others than its usual ones; None where nobody asked.
        kT: of the target [kJ/mol]; None for a model system, which has no temperature in kelvin.
    """

    energy: str
    generator: str
    steps: int
    judged_step: int
    seconds: float
    energy_calls: int
    field_evaluations: float | None
    wasserstein: FromReference | None = None
    conditions: tuple[AtConditions, ...] | None = field(default=None, metadata=OMIT)
    kT: float | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True)
class Named:
    """Names a class with the arguments that it was built with, as they stand in YAML."""

    name: str = field(metadata={KEY: "class"})
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplerRun:
    """Describes a sampler, with what it reports and what the reference cost."""

    sampler: Named
    sampler_info: dict[str, Any]
    problems: tuple[str, ...]
    reference_cost: ReferenceCost | None


@dataclass(frozen=True)
class GivenFile:
    """Names the file that samples came in, whoever has made them.

    Attributes:
        samples: the file.
        energy: name of the class of the system.
        reference: file of the reference data.
        remarks: what is to be said of the file and changes nothing.
        unknown: what nobody can know of these samples, in sentences.
    """

    samples: str
    energy: str
    reference: str | None
    remarks: tuple[str, ...]
    unknown: tuple[str, ...]
