"""Boltzmann averages of observables, before and after reweighting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.energies.base import Observable
from lit_bg.estimators import Tail, expectation, tail

Mean = Callable[[Tensor], tuple[float, float]]  # values (n,) -> mean and standard error


@dataclass(frozen=True)
class Average:
    """Holds the average of one observable.

    Attributes:
        raw, raw_error: plain average over the proposals with finite energy.
        value, error: reweighted; the error is infinite where no honest one exists.
        tail: of w |a - <a>|, which decides whether the error means anything.
        unit, period: of the observable; None: not on a circle.
    """

    raw: float
    raw_error: float
    value: float
    error: float
    tail: Tail
    unit: str = ""
    period: float | None = None


def independent_mean(values: Tensor) -> tuple[float, float]:
    """Return mean and standard error of independent values, (n,)."""
    values = values.to(torch.float64)
    if len(values) < 2:
        return (values.mean().item() if len(values) else math.nan), math.inf
    return values.mean().item(), values.std().item() / len(values) ** 0.5


def circular_mean(a: Tensor, observable: Observable, mean: Mean) -> tuple[float, float]:
    r"""Return mean and standard error of an observable; the circular mean where it is periodic.

    An angle has no arithmetic mean: it is $\bar a = \arg \langle e^{i a} \rangle$, with the error of
    $\langle \sin(a - \bar a) \rangle / R$, R the mean resultant length (delta method). Where R is not four standard errors from
    zero the angles point nowhere, and the error is infinite.

    Args:
        a: values, (B,).
        observable: says whether, and with which period, it is periodic.
        mean: how values are averaged: with weights, or over correlated frames.

    >>> angle = Observable(lambda x: x, range=(-math.pi, math.pi), periodic=True)
    >>> near_pi = torch.tensor([3.0, -3.0], dtype=torch.float64)
    >>> round(abs(circular_mean(near_pi, angle, independent_mean)[0]), 6)
    3.141593
    """
    length = observable.period
    if length is None:
        return mean(a)
    lower = -length / 2 if observable.range is None else observable.range[0]
    unit = 2 * math.pi / length
    phase = a.to(torch.float64) * unit
    c, s = mean(phase.cos())[0], mean(phase.sin())[0]
    angle, resultant = math.atan2(s, c), math.hypot(c, s)
    if not resultant > 0:
        return math.nan, math.inf
    value = lower + (angle / unit - lower) % length
    along = mean((phase - angle).cos())[1]
    if not resultant > 4 * along:
        return value, math.inf
    return value, mean((phase - angle).sin())[1] / resultant / unit


def reweight_average(a: Tensor, log_w: Tensor, observable: Observable, inefficiency: float = 1.0) -> Average:
    """Return the average of one observable, plain and reweighted, with errors and tail.

    Args:
        a: its values, (n,).
        log_w: log weights, (n,).
        observable: its unit and period.
        inefficiency: draws per independent draw; errors grow with its root.
    """
    finite = torch.isfinite(log_w)
    wider = math.sqrt(inefficiency)
    value, error = circular_mean(a, observable, lambda v: expectation(v, log_w))
    raw, raw_error = circular_mean(a[finite], observable, independent_mean) if finite.any() else (math.nan, math.nan)
    length = observable.period
    if length is not None and math.isfinite(value):
        a = torch.remainder(a - value + length / 2, length) + value - length / 2  # about its mean, where it has no seam
    return Average(raw, wider * raw_error, value, wider * error, tail(log_w, a), observable.unit, length)


def average_without(a: Tensor, label: Tensor, log_w: Tensor, names: tuple[str, ...], period: float | None) -> dict[str, float]:
    """Return the average of everything but a mode, by mode; NaN where nothing else has weight.

    Args:
        a: values, (n,).
        label: modes, (n,).
        log_w: log weights, (n,).
        names: of the modes.
        period: of the observable; None: not on a circle.
    """
    found = {}
    w = torch.softmax(log_w, 0) if torch.isfinite(log_w).any() else torch.zeros_like(log_w)
    a = torch.where(w > 0, a, 0.0)
    for k, name in enumerate(names):
        rest = torch.where(label == k, 0.0, w)
        total = rest.sum().item()
        if total <= 0:
            found[name] = math.nan
        elif period is None:
            found[name] = (rest * a).sum().item() / total
        else:
            phase = 2 * math.pi * a / period
            found[name] = (
                math.atan2((rest * phase.sin()).sum().item(), (rest * phase.cos()).sum().item()) * period / (2 * math.pi)
            )
    return found
