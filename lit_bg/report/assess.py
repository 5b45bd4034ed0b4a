"""A generator, or samples of any kind, judged outside of any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any, NamedTuple

import torch

from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.chains import diagnose_chains
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.diagnostics.populations import diagnose_populations
from lit_bg.diagnostics.proposals import Density, ProposalFindings, compare_densities, diagnose
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.report.cost import Cost
from lit_bg.report.summary import summarise
from lit_bg.report.verdict import Verdict, judge
from lit_bg.samples import Chains, Evaluation, Frames, Populations, Samples, evaluate, usual_context
from lit_bg.simulators.base import is_doubt


class Assessment(NamedTuple):
    """Everything a judgement rests on, and the judgement."""

    evaluation: Evaluation
    knowledge: Knowledge
    findings: ProposalFindings
    verdict: Verdict


def assess(
    generator: Generator,
    energy: Energy,
    n: int,
    rng: torch.Generator,
    data: Dataset | None = None,
    log_Z: Value | None = None,
) -> Assessment:
    """Draw `n` proposals, hold them against what is known of the system, and judge every number.

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
    return assess_evaluation(generator, energy, evaluate(generator, energy, n, rng, held), rng, data, log_Z)


def assess_evaluation(
    generator: Generator,
    energy: Energy,
    evaluation: Evaluation,
    rng: torch.Generator,
    data: Dataset | None = None,
    log_Z: Value | None = None,
) -> Assessment:
    """Judge proposals of a generator that are there, with what is asked of the generator itself.

    Args:
        generator: built for the energy.
        energy: the system.
        evaluation: of its proposals, and of reference frames that it was not trained on.
        rng: of the samples that its density is tested on.
        data: the whole reference data.
        log_Z: an independent log Z with its error and source.
    """
    knowledge = collect_knowledge(energy, data, log_Z)
    exact = generator.exact_density
    defect = density_defect(generator, energy, rng) if exact else None
    variance = None
    if not exact:
        few = evaluation.proposals.x[evaluation.proposals.finite][:100]
        estimated = generator.log_prob_variance(few, rng, usual_context(generator, energy))
        variance = None if estimated is None else estimated.mean().item()
    findings = diagnose(energy, evaluation, knowledge, compare_densities(evaluation, defect, exact, variance))
    return Assessment(evaluation, knowledge, findings, judge(findings, knowledge))


class Judgement(NamedTuple):
    """What was found in samples and what it is worth."""

    knowledge: Knowledge
    findings: Findings
    verdict: Verdict
    cost: Cost | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """Return plain numbers, which `print_summary` prints."""
        return summarise(self.findings, self.knowledge, self.verdict, self.cost)


def assess_samples(
    energy: Energy,
    samples: Samples | Chains | Populations,
    data: Dataset | None = None,
    log_Z: Value | None = None,
    cost: Cost | None = None,
    density: Density | None = None,
    problems: Sequence[str] = (),
) -> Judgement:
    """Hold samples against what is known of the system, and judge every number.

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
    return Judgement(knowledge, findings, judge(findings, knowledge), cost)


@singledispatch
def _find(samples: Any, energy: Energy, knowledge: Knowledge, data: Dataset | None, density: Density | None) -> Findings:
    """What samples say, by what they are."""
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
