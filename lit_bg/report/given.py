"""Judgement of samples from files: what speaks against their file, the verdict, and what remains unknown of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.data.checks import find_bad_frames
from lit_bg.data.dataset import Dataset
from lit_bg.data.given_samples import GivenSamples, evaluate_configurations
from lit_bg.diagnostics.chains import ChainFindings
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.energies import compare_energies
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.given import compare_given_energies, compare_given_weights, find_clipped_weights
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.diagnostics.proposals import Density
from lit_bg.diagnostics.virial import find_virial, thin
from lit_bg.energies.base import Energy
from lit_bg.estimators import expectation
from lit_bg.evaluate import examine
from lit_bg.generators.base import Generator
from lit_bg.report.assess import Judgement, assess_samples, judge_evaluation
from lit_bg.report.faults import CONSISTENT, CONSISTENT_SOLVER, accuse_energies, accuse_virial
from lit_bg.report.verdict import reach_verdict
from lit_bg.rng import stream
from lit_bg.samples import Chains, Frames, Populations, Samples

PROBED = 256  # configurations that are moved, to see what rounding does


class Judged(NamedTuple):
    """Holds a judgement of given samples.

    Attributes:
        judgement: with the findings and the verdict.
        samples: as what they were judged.
        u: energies of all configurations, (n,) [kT].
        log_w: log weights, (n,); None of frames, whose weights are equal.
        remarks: what is to be said of the file and changes nothing.
        unknown: what nobody can know of these samples, in sentences.
    """

    judgement: Judgement[Findings]
    samples: Samples | Chains | Populations
    u: Tensor
    log_w: Tensor | None
    remarks: list[str]
    unknown: list[str]


def judge_given(
    given: GivenSamples,
    energy: Energy,
    data: Dataset | None = None,
    held: Dataset | None = None,
    log_Z: Value | None = None,
    generator: Generator | None = None,
    own: bool = False,
) -> Judged:
    """Judge samples by their file, their energies, and what is known of the system.

    With log q they are proposals, with ancestors populations; with log weights alone independent draws of an unknown norm;
    with none of them frames of walkers.

    Args:
        given: the samples.
        energy: the system, under their conditions.
        data: reference data, whole.
        held: those of them that the generator was not trained on.
        log_Z: an independent log Z with its error and source.
        generator: which may have drawn them; then its density is asked, too.
        own: it certainly has. Else its log q must be that of the file.

    Raises:
        ValueError: an energy that is -inf.
    """
    u, inside = given.evaluate(energy)
    remarks = [f"the file has arrays that mean nothing here: {', '.join(given.unknown)}."] if given.unknown else []
    if given.rounding:
        u = _unrounded(given, energy, u, remarks)
    complaints = list(_complaints(given, energy, u, inside, remarks))
    samples = given.as_samples(u, inside)
    found: Judgement[Findings]
    if isinstance(samples, Populations):
        found = assess_samples(energy, samples, data, log_Z)
    elif isinstance(samples, Chains):
        found = assess_samples(energy, samples, data, log_Z)
        bad = find_bad_frames(energy, samples.x, samples.u) if torch.isfinite(u).all() else {}
        complaints += [
            f"{row['count']} of {len(u)} frames have {what}, the first is frame {row['frame']} of walker {row['walker']}."
            for what, row in bad.items()
            if "outside the region" not in what  # which is counted
        ]
    elif given.log_q is not None:
        found = _judge_proposals(samples, energy, data, held, log_Z, generator, own, remarks, complaints)
    else:
        found = assess_samples(energy, samples, data, log_Z, density=Density(relative=True))
        complaints += _complaints_of_weighted(samples, energy, data, found.knowledge)
        if (v := find_virial(energy, thin(samples.x), _weighted(thin(samples.log_w)))) is not None:
            complaints += accuse_virial(v)
    findings = replace(found.findings, complaints=(*found.findings.complaints, *complaints))
    found = replace(found, findings=findings, verdict=reach_verdict(findings, found.knowledge))
    log_w = None if samples.dependence == "chains" else _log_w(given, u, inside)
    return Judged(found, samples, u, log_w, remarks, list(_unknown(given, findings, found.knowledge)))


def _unrounded(given: GivenSamples, energy: Energy, u: Tensor, remarks: list[str]) -> Tensor:
    """Return the energies of the file, if rounded coordinates alone explain that they differ; else the evaluated ones."""
    x = given.flat[: min(len(u), PROBED)]
    noise = given.rounding * (torch.rand(x.shape, generator=stream(0, "rounding")) - 0.5)
    moved = (evaluate_configurations(energy, x + noise)[0] - u[: len(x)]).abs().nanmedian().item()
    rounded = f"the format rounds coordinates to {given.rounding:g} nm, which moves energies by {moved:.2g} kT"
    if given.u is None:
        if given.log_q is not None:
            remarks.append(f"{rounded}, and log Z with them: give u, or npz.")
        return u
    if (given.u.flatten() - u).abs().nanmedian().item() > 4 * moved:
        return u
    remarks.append(f"{rounded}: those of the file are used.")
    return given.u.flatten().to(u)


def _log_w(given: GivenSamples, u: Tensor, inside: Tensor) -> Tensor:
    """Return the log weights by which averages are taken, (n,)."""
    if given.log_q is not None:
        return Samples(given.flat, given.log_q.flatten(), torch.where(inside, u, torch.inf)).log_w.double()
    assert given.log_w is not None
    return torch.where(inside & torch.isfinite(u), given.log_w.flatten().nan_to_num(-torch.inf), -torch.inf)


def _complaints(given: GivenSamples, energy: Energy, u: Tensor, inside: Tensor, remarks: list[str]) -> Iterator[str]:
    """Return what the file says that is not so; only remark what changes no number."""
    wrong = None
    if given.u is not None:
        file_u = torch.where(inside, given.u.flatten(), torch.nan)
        wrong = compare_given_energies(file_u, u, energy.kT)
    if wrong is not None:
        if wrong.constant or (given.log_q is not None and given.ancestor is None):
            remarks.append(f"{wrong.sentence.removesuffix('.')}; the energy's own is used.")
        else:
            yield wrong.sentence
    log_q, log_w = given.log_q, given.log_w
    if log_q is not None and log_w is not None and given.ancestor is None:
        base = u if given.u is None else given.u.flatten()
        yield from compare_given_weights(log_w.flatten(), log_q.flatten(), base)
    if energy.space.continuous and (log_q is not None or log_w is not None):
        clipped = find_clipped_weights(log_w.flatten() if log_w is not None else _log_w(given, u, inside))
        if clipped is not None and given.ancestor is None:  # resampled particles share weights
            yield clipped


def _judge_proposals(
    samples: Samples,
    energy: Energy,
    data: Dataset | None,
    held: Dataset | None,
    log_Z: Value | None,
    generator: Generator | None,
    own: bool,
    remarks: list[str],
    complaints: list[str],
) -> Judgement[Findings]:
    if generator is not None:
        frames, rng = None if held is None else _spread(held, len(samples.x)), stream(0, "density_defect")
        evaluation = examine(generator, energy, samples, rng, frames)
        pair = evaluation.densities
        if not own and pair is not None:
            limit = CONSISTENT if evaluation.field_evaluations is None else CONSISTENT_SOLVER
            own = bool(((pair[:, 1] - pair[:, 0]).abs().median() <= limit).item())
        if own:
            defect = density_defect(generator, energy, rng) if generator.exact_density else None
            known = collect_knowledge(energy, data, log_Z)
            found = judge_evaluation(energy, evaluation, known, defect)
            return Judgement(known, found.findings, found.verdict)  # what the samples cost, the file does not say
        remarks.append("log q in the file is not that of the run's generator, which is not asked.")
    judged = assess_samples(energy, samples, data, log_Z)
    complaints += _complaints_of_weighted(samples, energy, data, judged.knowledge)
    return judged


def _spread(held: Dataset, n: int) -> Frames:
    """Return held-out frames, evenly spread and at most n, as a test of a run uses them."""
    pick = torch.linspace(0, len(held) - 1, min(n, len(held))).long()
    return Frames(held.x[pick], held.u[pick], pick, held.walker[pick])


def _complaints_of_weighted(samples: Samples, energy: Energy, data: Dataset | None, known: Knowledge) -> Iterator[str]:
    """Compare energies with those of the reference."""
    log_w = samples.log_w.double()
    if data is None or not torch.isfinite(log_w).any():
        return
    u = torch.where(torch.isfinite(log_w), samples.u.double(), 0.0)
    yield from accuse_energies(compare_energies(u, _weighted(log_w), data.u, data.walkers, log_w), known)


def _weighted(log_w: Tensor) -> Any:
    return lambda a: expectation(a, log_w)


def _unknown(given: GivenSamples, found: Findings, known: Knowledge) -> Iterator[str]:
    """Return what the samples and all that is known of the system leave open."""
    if found.log_Z is None:
        yield "log Z: samples without log q say nothing of it."
    witnessed = known.log_Z is not None and found.log_Z is not None
    if not witnessed and not known.populations:
        there = "the reference data" if known.data_pass else "anything that is known of the system"
        yield f"whether something is missing that neither the samples nor {there} hold."
    if isinstance(found, ChainFindings) and found.virial is None and not known.data_pass:
        yield "whether they have the temperature of the energy: no virial, and no reference data."
