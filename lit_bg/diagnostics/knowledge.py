"""Knowledge of the target apart from the proposals, and how far it may be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lit_bg.data.card import quality
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.averages import circular_mean
from lit_bg.energies.base import Energy

Quality = Literal["none", "pass", "not converged", "refuted"]


class Value(NamedTuple):
    """Holds a number from elsewhere, with its standard error (0: exact) and where it comes from."""

    value: float
    error: float
    source: str


@dataclass(frozen=True)
class Knowledge:
    """Holds the values that a run is compared with.

    Reference values are shown whatever the quality of the data; they are evidence only where the data passed their own card.

    Attributes:
        log_Z: exact, or given in the configuration.
        exact, reference: averages by name.
        populations, reference_populations: of modes by name; a mode that the data never visited has no reference population.
        quality: of the reference data; "none" without data.
        problems: what the card says against them.
        starts: values of every observable at the starting points of the system, one of which lies in each mode.
    """

    log_Z: Value | None = None
    exact: dict[str, Value] = field(default_factory=dict)
    reference: dict[str, Value] = field(default_factory=dict)
    populations: dict[str, Value] = field(default_factory=dict)
    reference_populations: dict[str, Value] = field(default_factory=dict)
    quality: Quality = "none"
    problems: tuple[str, ...] = ()
    starts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def data_pass(self) -> bool:
        """Return whether the reference data are evidence."""
        return self.quality == "pass"

    @property
    def expected(self) -> dict[str, tuple[float, float]]:
        """Return probability and standard error of the modes where they are known: exactly, or by data that are evidence."""
        found = {**self.reference_populations, **self.populations} if self.data_pass else self.populations
        return {name: (v.value, v.error) for name, v in found.items()}


def collect_knowledge(energy: Energy, data: Dataset | None = None, log_Z: Value | None = None) -> Knowledge:
    """Collect what the system, its reference data and the configuration say.

    Args:
        energy: the system, with its exact values.
        data: the whole reference data.
        log_Z: an independent log Z with its error and source; an exact one goes before it.
    """
    exact = {n: Value(float(o.exact), 0.0, "exact") for n, o in energy.observables.items() if o.exact is not None}
    modes = energy.modes
    populations = {}
    if modes is not None and modes.exact is not None:
        populations = {name: Value(float(p), 0.0, "exact") for name, p in zip(modes.names, modes.exact, strict=True)}
    if energy.log_Z is not None:
        log_Z = Value(float(energy.log_Z), 0.0, "exact")
    return Knowledge(
        log_Z=log_Z,
        exact=exact,
        reference={} if data is None else _reference_averages(energy, data),
        populations=populations,
        reference_populations={} if data is None else _reference_populations(energy, data),
        quality="none" if data is None else quality(data.card),
        problems=() if data is None else _problems(data),
        starts=_starts(energy),
    )


def _problems(data: Dataset) -> tuple[str, ...]:
    verdict = data.card.get("verdict", "pass")
    return () if verdict == "pass" else tuple(verdict)


def _reference_averages(energy: Energy, data: Dataset) -> dict[str, Value]:
    found, x = {}, data.x.to(energy.device)
    for name, observable in energy.observables.items():
        value, error = circular_mean(observable.function(x).cpu(), observable, data.mean)
        found[name] = Value(value, error, "data")
    return found


def _reference_populations(energy: Energy, data: Dataset) -> dict[str, Value]:
    """Return populations from the card where replica exchange made the frames, which know less than it; else from frames."""
    modes = energy.modes
    if modes is None:
        return {}
    known = data.card.get("modes", {})
    if any(name in known for name in modes.names):
        rows = {name: (known[name]["p"], known[name]["error"]) for name in modes.names if name in known}
    else:
        label = modes.label(data.x.to(energy.device)).cpu()
        rows = {name: data.mean((label == k).double()) for k, name in enumerate(modes.names)}
    return {n: Value(p, e, "data") for n, (p, e) in rows.items() if p and e and math.isfinite(e)}


def _starts(energy: Energy) -> dict[str, Tensor]:
    x = energy.initial
    if x is None or len(x) < 2:
        return {}
    with torch.no_grad():
        return {
            name: o.function(x.to(energy.device)).double().cpu() for name, o in energy.observables.items() if not o.periodic
        }
