"""What a sweep draws a key from: a list of values, or an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DISTRIBUTIONS = ("constant", "categorical", "uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values")


@dataclass(frozen=True)
class Choice:
    """Draws one of several values, all of them as likely."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """Draws a number between two, both included.

    Attributes:
        low, high: the ends.
        integer: draw whole numbers.
        log: draw evenly in the logarithm.
        step: the distance of neighbours, counted from the lower end; None: of whole numbers 1, of others none.
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False
    step: float | None = None


def read_parameter(name: str, spec: Any) -> Choice | Range:
    """Return what one entry of `parameters` stands for.

    >>> read_parameter("lr", {"distribution": "log_uniform_values", "min": 0.001, "max": 0.01})
    Range(low=0.001, high=0.01, integer=False, log=True, step=None)

    Args:
        name: of the key, for messages.
        spec: `value`, `values`, or `min` and `max` with a `distribution`, as W&B has them.

    Raises:
        ValueError: it is none of them, or nothing that Optuna can draw.
    """
    where = f"parameters.{name}"
    if not isinstance(spec, Mapping):
        raise ValueError(f"{where} must hold value, values, or min and max, got {spec!r}.")
    if "parameters" in spec:
        raise ValueError(f"{where} holds parameters of its own: write them flat, such as {name}.NAME, as on the command line.")
    kind = spec.get("distribution")
    if kind is not None and kind not in DISTRIBUTIONS:
        raise ValueError(f"{where}: Optuna draws from no distribution '{kind}': use one of {', '.join(DISTRIBUTIONS)}.")
    unknown = set(spec) - {"value", "values", "min", "max", "distribution", "q"}
    if unknown:
        raise ValueError(f"{where} has '{min(unknown)}', which only W&B reads: leave it out.")
    if "value" in spec:
        return Choice((spec["value"],))
    if "values" in spec:
        if not isinstance(spec["values"], list) or not spec["values"]:
            raise ValueError(f"{where}.values must be a list with at least one value, got {spec['values']!r}.")
        return Choice(tuple(spec["values"]))
    return _read_range(where, kind, spec)


def _read_range(where: str, kind: str | None, spec: Mapping[str, Any]) -> Range:
    if "min" not in spec or "max" not in spec:
        raise ValueError(f"{where} must hold value, values, or min and max, got {dict(spec)}.")
    low, high = _number(where, "min", spec), _number(where, "max", spec)
    if not low < high:
        raise ValueError(f"{where}: min {low} must be below max {high}.")
    whole = isinstance(low, int) and isinstance(high, int)
    kind = kind or ("int_uniform" if whole else "uniform")
    log, step = "log" in kind, None
    if kind == "int_uniform" and not whole:
        raise ValueError(f"{where}: int_uniform needs whole numbers, got min {low} and max {high}.")
    if log and not low > 0:
        raise ValueError(f"{where}: {kind} needs a positive min, got {low}.")
    if kind.startswith("q_"):
        step = _number(where, "q", {"q": 1, **spec})
        if not step > 0:
            raise ValueError(f"{where}: q must be positive, got {step}.")
        whole = whole and isinstance(step, int)
        if log and not (whole and step == 1):
            raise ValueError(f"{where}: Optuna has {kind} for whole numbers with q = 1 only, got q = {step}: list its values.")
    return Range(low, high, integer=kind == "int_uniform" or (whole and step is not None), log=log, step=step)


def _number(where: str, key: str, spec: Mapping[str, Any]) -> float:
    value = spec[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = " (YAML takes 1e-3 for a word: write 1.0e-3)" if isinstance(value, str) else ""
        raise ValueError(f"{where}.{key} must be a number, got {value!r}{hint}.")
    return value
