"""Diagnosis of proposals under conditions that are not the usual ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lit_bg import estimators
from lit_bg.energies.base import Energy
from lit_bg.energies.condition import describe_context


@dataclass(frozen=True)
class AtConditions:
    """Holds what proposals say of log Z under one set of conditions.

    Attributes:
        name: the conditions in words, "kT = 0.7".
        context: their values by name.
        n: proposals.
        ess, ess_err: Kish, as a fraction of n.
        pareto_k: of the weights.
        log_Z, log_Z_err: the error is infinite where no honest one exists.
        log_Z_exact: where the system knows it.
    """

    name: str
    context: dict[str, float]
    n: int
    ess: float
    ess_err: float
    pareto_k: float
    log_Z: float
    log_Z_err: float
    log_Z_exact: float | None


def diagnose_conditions(energy: Energy, values: Sequence[float], log_w: Float[Tensor, "n"]) -> AtConditions:
    """Diagnose the log weights, (n,), of proposals under conditions.

    Args:
        energy: the system, which has conditions.
        values: of these, in the order of `energy.conditions`.
        log_w: of all ranks.
    """
    ess, ess_error = estimators.ess_with_error(log_w)
    log_Z, log_Z_error = estimators.log_z(log_w)
    return AtConditions(
        describe_context(energy.conditions, values),
        dict(zip((c.name for c in energy.conditions), values, strict=True)),
        len(log_w),
        ess,
        ess_error,
        estimators.pareto_k(log_w),
        log_Z,
        log_Z_error,
        energy.given(values).log_Z,
    )
