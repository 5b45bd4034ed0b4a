"""Judgement of a generator, or of samples of any kind, outside of any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, Generic, TypeVar

import torch

from lit_bg.cost import Cost
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.chains import diagnose_chains
from lit_bg.diagnostics.density import DensityDefect, density_defect
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.diagnostics.populations import diagnose_populations
from lit_bg.diagnostics.proposals import Density, ProposalFindings, compare_densities, diagnose
from lit_bg.energies.base import Energy
from lit_bg.evaluate import evaluate
from lit_bg.generators.base import Generator
from lit_bg.report.summarise import summarise
from lit_bg.report.summary import Summary
from lit_bg.report.verdict import Verdict, reach_verdict
from lit_bg.samples import Chains, Evaluation, Frames, Populations, Samples
from lit_bg.simulators.base import is_doubt

F = TypeVar("F", bound=Findings)


@dataclass(frozen=True)
class Judgement(Generic[F]):
    """Holds what was found in samples and what it is worth.

    Attributes:
        knowledge: what they were held against.
        findings, verdict: what was found, and the words for it.
        cost: of the samples; None where nobody knows.
        evaluation: of a generator.
    """

    knowledge: Knowledge
    findings: F
    verdict: Verdict
    cost: Cost | None = None
    evaluation: Evaluation | None = None

    @property
    def summary(self) -> Summary:
        """Return the summary, which `print_summary` prints."""
        return summarise(self.findings, self.knowledge, self.verdict, self.cost)


def assess(
    generator: Generator,
    energy: Energy,
    n: int,
    rng: torch.Generator,
    data: Dataset | None = None,
    log_Z: Value | None = None,
) -> Judgement[ProposalFindings]:
    """Draw `n` proposals, compare them with what is known of the system, and judge every number.

    Args:
        generator: built for the energy.
        energy: the system.
        n: proposals.
        rng: of the proposals.
        data: reference data that the generator was not trained on.
        log_Z: an independent log Z with its error and source.

    Raises:
        FloatingPointError: an energy is -inf.
    """
    held = None
    if data is not None:
        held = Frames(data.x, data.u, torch.arange(len(data)), data.walker)
    evaluation = evaluate(generator, energy, n, rng, held)
    defect = density_defect(generator, energy, rng) if generator.exact_density else None
    return judge_evaluation(energy, evaluation, collect_knowledge(energy, data, log_Z), defect)


def judge_evaluation(
    energy: Energy, evaluation: Evaluation, knowledge: Knowledge, defect: DensityDefect | None = None
) -> Judgement[ProposalFindings]:
    """Judge the evaluation of a generator.

    Args:
        energy: the system.
        evaluation: of proposals, and of reference frames that the generator was not trained on; pooled.
        knowledge: of the target.
        defect: of `density_defect`, where it was looked for.
    """
    findings = diagnose(energy, evaluation, knowledge, compare_densities(evaluation, defect))
    return Judgement(knowledge, findings, reach_verdict(findings, knowledge), evaluation.cost, evaluation)


def assess_samples(
    energy: Energy,
    samples: Samples | Chains | Populations,
    data: Dataset | None = None,
    log_Z: Value | None = None,
    cost: Cost | None = None,
    density: Density | None = None,
    problems: Sequence[str] = (),
) -> Judgement[Findings]:
    """Compare samples with what is known of the system, and judge every number.

    Args:
        energy: the system, under the conditions of the samples.
        samples: independent draws with a log density (of a generator, or of paths: annealed importance sampling), frames of
            walkers, or populations.
        data: reference data from elsewhere.
        log_Z: an independent log Z with its error and source.
        cost: what they cost.
        density: how far the log density can be believed that draws, or the first generation of populations, came with; by
            default nothing is known of it, so that averages do not rest on log Z.
        problems: what the sampler itself says against them, in sentences: each is a reason of the verdict, do not trust or, of
            those that `is_doubt`, unchecked.
    """
    knowledge = collect_knowledge(energy, data, log_Z)
    sentences = [f"{problem.rstrip('.')}." for problem in problems]
    findings = replace(
        _find(samples, energy, knowledge, data, density),
        complaints=tuple(s for s in sentences if not is_doubt(s)),
        doubts=tuple(filter(is_doubt, sentences)),
    )
    return Judgement(knowledge, findings, reach_verdict(findings, knowledge), cost)


@singledispatch
def _find(samples: Any, energy: Energy, knowledge: Knowledge, data: Dataset | None, density: Density | None) -> Findings:
    """Diagnose samples by their kind."""
    raise TypeError(f"samples are Samples, Chains or Populations, got a {type(samples).__name__}.")


@_find.register
def _(samples: Samples, energy: Energy, knowledge: Knowledge, data: Dataset | None, density: Density | None) -> Findings:
    return diagnose(energy, Evaluation(samples), knowledge, density)


@_find.register
def _(samples: Chains, energy: Energy, knowledge: Knowledge, data: Dataset | None, density: Density | None) -> Findings:
    return diagnose_chains(energy, samples, knowledge, None if data is None else (data.u, data.walkers))


@_find.register
def _(samples: Populations, energy: Energy, knowledge: Knowledge, data: Dataset | None, density: Density | None) -> Findings:
    return diagnose_populations(energy, samples, knowledge, density)
