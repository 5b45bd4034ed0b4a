"""A generator judged outside of any training."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.findings import Findings, compare_densities, diagnose
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.report.verdict import Verdict, judge
from lit_bg.samples import Evaluation, Frames, evaluate, usual_context


class Assessment(NamedTuple):
    """Everything a judgement rests on, and the judgement."""

    evaluation: Evaluation
    knowledge: Knowledge
    findings: Findings
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
    evaluation = evaluate(generator, energy, n, rng, held)
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
