"""The step from findings and verdict to the summary."""

from __future__ import annotations

import math
from functools import singledispatch

from lit_bg.cost import Cost
from lit_bg.diagnostics.averages import Average
from lit_bg.diagnostics.chains import ChainFindings
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.diagnostics.populations import PopulationFindings
from lit_bg.diagnostics.proposals import ProposalFindings
from lit_bg.report.summary import AverageRow, ModeRow, OfChains, OfPopulations, OfProposals, Summary
from lit_bg.report.tails import describe_tail
from lit_bg.report.verdict import Verdict


def summarise(found: Findings, known: Knowledge, verdict: Verdict, cost: Cost | None = None) -> Summary:
    """Return findings and verdict as a summary, which does not say yet where the samples are from."""
    z, own = known.log_Z, found.log_Z
    return Summary(
        verdict=verdict.word,
        reasons=verdict.reasons,
        claims=verdict.claims,
        n_nonfinite=found.n_nonfinite,
        n_outside=found.n_outside,
        log_Z=None if own is None else own.value,
        log_Z_err=None if own is None else own.error,
        log_Z_exact=z.value if z is not None and z.source == "exact" else None,
        log_Z_known=z,
        samples=number(found),
        observables={
            name: _average(row, known.reference.get(name), known.exact.get(name)) for name, row in found.averages.items()
        },
        modes=None
        if found.modes is None
        else {
            name: _mode(share, known.reference_populations.get(name), known.populations.get(name))
            for name, share in found.modes.items()
        },
        missing_modes=None if found.modes is None else tuple(found.lost),
        reference_quality=known.quality,
        reference_problems=known.problems,
        cost=cost,
        cost_per_effective_sample=None if cost is None else cost.per_effective(found.effective),
    )


@singledispatch
def number(found: Findings) -> OfProposals | OfChains | OfPopulations:
    """Return the numbers that only samples of this kind have."""
    raise NotImplementedError(f"nothing is known of how {type(found).__name__} are summarised.")


@number.register
def number_proposals(found: ProposalFindings) -> OfProposals:
    """Return the numbers that only proposals have."""
    w, d, f = found.weights, found.density, found.forward
    return OfProposals(
        n_drawn=found.independence.drawn,
        n_samples=round(found.n),
        n_repeated=found.independence.drawn - found.independence.distinct,
        inefficiency=found.independence.inefficiency,
        ess=w.ess,
        ess_err=w.ess_error,
        ess_is_limit=not w.ess_known,
        ess_forward=None if f is None else f.ess,
        ess_forward_err=None if f is None else f.ess_error,
        ess_forward_is_limit=None if f is None else not f.ess_known,
        pareto_k=w.tail.k,
        tail_share=w.tail.share,
        max_weight=w.max_weight,
        log_Z_forward=None if f is None else f.log_Z,
        log_Z_forward_err=None if f is None else f.log_Z_error,
        exact_density=d.exact,
        log_q_variance=d.variance,
        log_q_shift=d.shift,
        log_q_scatter=d.scatter,
        log_q_defect=None if d.defect is None else d.defect.worst,
    )


@number.register
def _of_chains(found: ChainFindings) -> OfChains:
    return OfChains(
        kind="chains",
        frames=found.frames,
        walkers=found.walkers,
        n_repeated=found.repeated,
        effective_samples=found.effective,
        mixing=found.mixing,
        entries=found.entries,
        starts=found.starts,
        silence=found.silence,
        virial=found.virial,
        energies=found.energies,
    )


@number.register
def _of_populations(found: PopulationFindings) -> OfPopulations:
    return OfPopulations(
        kind="populations",
        populations=found.populations,
        particles=found.particles,
        ancestors=found.ancestors,
        effective_samples=found.effective,
        effective_populations=found.worth,
        ess=found.ess,
        max_weight=found.max_weight,
        pareto_k=found.weights.tail.k,
        tail_share=found.weights.tail.share,
        n_copies=found.copies,
        disagreement=found.split,
    )


def _average(row: Average, reference: Value | None, exact: Value | None) -> AverageRow:
    return AverageRow(
        raw=row.raw,
        raw_err=row.raw_error,
        reweighted=row.value,
        err=row.error,
        reference=_value(reference),
        reference_err=_error(reference),
        exact=_value(exact),
        pareto_k=row.tail.k,
        tail_share=row.tail.share,
        tail=describe_tail(row.tail),
        unit=row.unit,
        period=row.period,
    )


def _mode(share: ModeShare, reference: Value | None, exact: Value | None) -> ModeRow:
    return ModeRow(
        raw=share.raw,
        reweighted=share.value,
        err=share.error,
        upper=share.upper,
        effective=share.effective,
        reference=_value(reference),
        reference_err=_error(reference),
        exact=_value(exact),
        free_energy=share.free_energy,
        free_energy_err=share.free_energy_error,
        pareto_k=share.inside.k,
        missing=share.lost,
    )


def _value(v: Value | None) -> float | None:
    return None if v is None or not math.isfinite(v.value) else v.value


def _error(v: Value | None) -> float | None:
    return None if v is None else v.error
