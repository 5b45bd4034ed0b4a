"""The record of one evaluation of a training, with everything that was found in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lit_bg.diagnostics.conditions import AtConditions
from lit_bg.diagnostics.particle_distances import PairDensity
from lit_bg.diagnostics.profiles import Profile
from lit_bg.diagnostics.proposals import ProposalFindings
from lit_bg.report.assess import Judgement
from lit_bg.report.origin import FromReference, TrainedRun
from lit_bg.report.summary import Summary
from lit_bg.samples import Evaluation


@dataclass
class Record:
    """Holds a pooled evaluation with what observers have found in it: each reads from it and adds its own findings.

    Attributes:
        evaluation: all batches of all ranks.
        energy_calls: energies that the training has paid for when it ended, over all ranks.
        judgement: of `Diagnose`, as `profiles` are, by observable.
        wasserstein, pair_density: of `ParticleDistances`; the latter on the first rank only.
        conditions: of `Conditions`.
        more: for summary.json, by further keys: plain numbers, strings, lists and dictionaries of a user's own observers.
    """

    evaluation: Evaluation
    energy_calls: int
    judgement: Judgement[ProposalFindings] | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)
    wasserstein: FromReference | None = None
    pair_density: PairDensity | None = None
    conditions: tuple[AtConditions, ...] | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def summarise(
        self, energy: str, generator: str, steps: int, judged_step: int, seconds: float, kT: float | None = None
    ) -> Summary:
        """Return the summary of the run; for the arguments see `TrainedRun`.

        Raises:
            ValueError: nobody has judged the evaluation.
        """
        if self.judgement is None:
            raise ValueError("Report writes what Diagnose finds: put it among the callbacks too.")
        field_evaluations, found = self.evaluation.field_evaluations, (self.wasserstein, self.conditions)
        origin = TrainedRun(energy, generator, steps, judged_step, seconds, self.energy_calls, field_evaluations, *found, kT)
        return replace(self.judgement.summary, origin=origin, more=self.more)
