"""summary.json: what a run found, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import singledispatch
from typing import Any

from lit_bg.diagnostics.chains import ChainFindings
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.diagnostics.populations import PopulationFindings
from lit_bg.diagnostics.proposals import ProposalFindings
from lit_bg.report.cost import Cost
from lit_bg.report.tails import describe_tail
from lit_bg.report.verdict import Verdict


def summarise(found: Findings, known: Knowledge, verdict: Verdict, cost: Cost | None = None) -> dict[str, Any]:
    """Return findings and verdict as numbers, strings, lists and dictionaries; infinite where no honest error bar exists.

    Of proposals `n_samples` counts those that are left when repeated and correlated ones are taken out of `n_drawn`. `ess` is
    an upper limit where `ess_is_limit` says so, likewise `ess_forward`. Of chains and populations `kind` says what they are.
    """
    z, own = known.log_Z, found.log_Z
    paid: dict[str, Any] = {}
    if cost is not None:
        paid = {"cost": asdict(cost), "cost_per_effective_sample": asdict(cost.per_effective(found.effective))}
    return {
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "claims": [claim._asdict() for claim in verdict.claims],
        "n_nonfinite": found.n_nonfinite,
        "n_outside": found.n_outside,
        "log_Z": None if own is None else own.value,
        "log_Z_err": None if own is None else own.error,
        "log_Z_exact": z.value if z is not None and z.source == "exact" else None,
        "log_Z_known": None if z is None else z._asdict(),
        **_numbers(found),
        "observables": {name: _average(name, found, known) for name in found.averages},
        "modes": None if found.modes is None else {name: _mode(name, s, known) for name, s in found.modes.items()},
        "missing_modes": None if found.modes is None else found.lost,
        "reference_quality": known.quality,
        "reference_problems": list(known.problems),
        **paid,
    }


@singledispatch
def _numbers(found: Findings) -> dict[str, Any]:
    """What only one kind of samples has."""
    return {}


@_numbers.register
def _of_proposals(found: ProposalFindings) -> dict[str, Any]:
    w, d, f = found.weights, found.density, found.forward
    return {
        "n_drawn": found.independence.drawn,
        "n_samples": round(found.n),
        "n_repeated": found.independence.drawn - found.independence.distinct,
        "inefficiency": found.independence.inefficiency,
        "ess": w.ess,
        "ess_err": w.ess_error,
        "ess_is_limit": not w.ess_known,
        "ess_forward": None if f is None else f.ess,
        "ess_forward_err": None if f is None else f.ess_error,
        "ess_forward_is_limit": None if f is None else not f.ess_known,
        "pareto_k": w.tail.k,
        "tail_share": w.tail.share,
        "max_weight": w.max_weight,
        "log_Z_forward": None if f is None else f.log_Z,
        "log_Z_forward_err": None if f is None else f.log_Z_error,
        "exact_density": d.exact,
        "log_q_variance": d.variance,
        "log_q_shift": d.shift,
        "log_q_scatter": d.scatter,
        "log_q_defect": None if d.defect is None else d.defect.worst,
    }


@_numbers.register
def _of_chains(found: ChainFindings) -> dict[str, Any]:
    return {
        "kind": "chains",
        "frames": found.frames,
        "walkers": found.walkers,
        "n_repeated": found.repeated,
        "effective_samples": found.effective,
        "mixing": {name: m._asdict() for name, m in found.mixing.items()},
        "entries": found.entries,
        "starts": found.starts,
        "silence": found.silence,
        "virial": None if found.virial is None else found.virial._asdict(),
        "energies": None if found.energies is None else found.energies._asdict(),
    }


@_numbers.register
def _of_populations(found: PopulationFindings) -> dict[str, Any]:
    return {
        "kind": "populations",
        "populations": found.populations,
        "particles": found.particles,
        "ancestors": found.ancestors,
        "effective_samples": found.effective,
        "effective_populations": found.worth,
        "ess": found.ess,
        "max_weight": found.max_weight,
        "pareto_k": found.weights.tail.k,
        "tail_share": found.weights.tail.share,
        "n_copies": found.copies,
        "disagreement": list(found.split),
    }


def _average(name: str, found: Findings, known: Knowledge) -> dict[str, Any]:
    row = found.averages[name]
    exact, reference = known.exact.get(name), known.reference.get(name)
    return {
        "raw": row.raw,
        "raw_err": row.raw_error,
        "reweighted": row.value,
        "err": row.error,
        "reference": _value(reference),
        "reference_err": _error(reference),
        "exact": _value(exact),
        "pareto_k": row.tail.k,
        "tail_share": row.tail.share,
        "tail": describe_tail(row.tail),
        "unit": row.unit,
        "period": row.period,
    }


def _mode(name: str, share: ModeShare, known: Knowledge) -> dict[str, Any]:
    exact, reference = known.populations.get(name), known.reference_populations.get(name)
    return {
        "raw": share.raw,
        "reweighted": share.value,
        "err": share.error,
        "upper": share.upper,
        "effective": share.effective,
        "reference": _value(reference),
        "reference_err": _error(reference),
        "exact": _value(exact),
        "free_energy": share.free_energy,
        "free_energy_err": share.free_energy_error,
        "pareto_k": share.inside.k,
        "missing": share.lost,
    }


def _value(v: Value | None) -> float | None:
    return None if v is None or not math.isfinite(v.value) else v.value


def _error(v: Value | None) -> float | None:
    return None if v is None else v.error
