"""summary.json: what a run found, as plain numbers."""

from __future__ import annotations

import math
from typing import Any

from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.report.tails import describe_tail
from lit_bg.report.verdict import Verdict


def summarise(found: Findings, known: Knowledge, verdict: Verdict) -> dict[str, Any]:
    """Return findings and verdict as numbers, strings, lists and dictionaries; infinite where no honest error bar exists.

    `n_samples` counts the proposals that are left when repeated and correlated ones are taken out of `n_drawn`. `ess` is an
    upper limit where `ess_is_limit` says so, likewise `ess_forward`.
    """
    w, d, f = found.weights, found.density, found.forward
    z = known.log_Z
    return {
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "claims": [claim._asdict() for claim in verdict.claims],
        "n_drawn": found.independence.drawn,
        "n_samples": round(found.n),
        "n_repeated": found.independence.drawn - found.independence.distinct,
        "inefficiency": found.independence.inefficiency,
        "n_nonfinite": found.n_nonfinite,
        "n_outside": found.n_outside,
        "ess": w.ess,
        "ess_err": w.ess_error,
        "ess_is_limit": not w.ess_known,
        "ess_forward": None if f is None else f.ess,
        "ess_forward_err": None if f is None else f.ess_error,
        "ess_forward_is_limit": None if f is None else not f.ess_known,
        "pareto_k": w.tail.k,
        "tail_share": w.tail.share,
        "max_weight": w.max_weight,
        "log_Z": w.log_Z,
        "log_Z_err": w.log_Z_error,
        "log_Z_forward": None if f is None else f.log_Z,
        "log_Z_forward_err": None if f is None else f.log_Z_error,
        "log_Z_exact": z.value if z is not None and z.source == "exact" else None,
        "log_Z_known": None if z is None else z._asdict(),
        "exact_density": d.exact,
        "log_q_variance": d.variance,
        "log_q_shift": d.shift,
        "log_q_scatter": d.scatter,
        "log_q_defect": None if d.defect is None else d.defect.worst,
        "observables": {name: _average(name, found, known) for name in found.averages},
        "modes": None if found.modes is None else {name: _mode(name, s, known) for name, s in found.modes.items()},
        "missing_modes": None if found.modes is None else found.lost,
        "reference_quality": known.quality,
        "reference_problems": list(known.problems),
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
