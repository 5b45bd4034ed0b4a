"""Boltzmann averages and free-energy profiles, before and after reweighting."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import Average, independent_average, reference_data, reference_problems, target_samples
from lit_bg.energies.base import Observable
from lit_bg.estimators import expectation, profile
from lit_bg.files import atomic
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Evaluation

Curve = tuple[Tensor, Tensor]  # F and its standard error, (K,) [kT]; NaN where a bin is empty


class Profile(NamedTuple):
    """Free energy along an observable, minus the log of a normalised density: nothing is shifted."""

    edges: Tensor  # (K+1,) of the bins
    raw: Curve  # of the proposals
    reweighted: Curve
    reference: Curve | None  # of reference data, or of exact samples


def period(observable: Observable) -> float | None:
    """Length of the circle a periodic observable lives on, by default 2 pi; None on the line."""
    if not observable.periodic:
        return None
    return 2 * math.pi if observable.range is None else observable.range[1] - observable.range[0]


def average(a: Tensor, observable: Observable, mean: Average) -> tuple[float, float]:
    r"""Mean and standard error of an observable; the circular mean where it is periodic.

    An angle has no arithmetic mean: it is $\bar a = \arg \langle e^{i a} \rangle$, with the error of
    $\langle \sin(a - \bar a) \rangle / R$, R the mean resultant length (delta method).

    Args:
        a: values, (B,).
        observable: says whether, and with which period, it is periodic.
        mean: how values are averaged: with weights, or over correlated frames.

    >>> angle = Observable(lambda x: x, range=(-math.pi, math.pi), periodic=True)
    >>> near_pi = torch.tensor([3.0, -3.0], dtype=torch.float64)
    >>> round(abs(average(near_pi, angle, independent_average)[0]), 6)
    3.141593
    """
    length = period(observable)
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
    return value, mean((phase - angle).sin())[1] / resultant / unit


class ReweightedObservables(Observer):
    """Every observable of the energy: raw, reweighted with its error, reference, exact; and free-energy profiles.

    Raw means the plain average over proposals with finite energy. The reference is the average over the
    whole reference data with an error that knows their correlation. Observables with a range also get a
    `Profile`; those of a test are written to profiles.npz in the run folder.

    Logs `<stage>/<name>` (reweighted), `<stage>/<name>_err` and `<stage>/<name>_raw`.

    Args:
        bins: of a profile, over the observable's range.

    Raises:
        ValueError: fewer than two bins.
    """

    def __init__(self, bins: int = 60) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"a free-energy profile needs at least 2 bins, got {bins}.")
        self.bins = bins
        self.profiles: dict[str, Profile] = {}
        self.gathered = Gathered()
        self._averages: dict[str, tuple[float, float]] = {}  # over reference data, which do not change
        self._curves: dict[str, Curve] | None = None

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        k = len(module.energy.observables)
        weights = torch.empty(0, dtype=torch.float64)
        self.gathered = Gathered(log_w=weights, a=torch.empty(0, k, dtype=torch.float64)).to(module.device)

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        samples, observables = evaluation.proposals, module.energy.observables
        if observables:
            a = torch.stack([o.function(samples.x).to(torch.float64) for o in observables.values()], -1)
            self.gathered.update(log_w=samples.log_w, a=a)

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        observables = module.energy.observables
        self.summary, self.profiles = {"observables": {}, "reference_problems": reference_problems(trainer)}, {}
        if not observables:
            return
        columns = {name: column.cpu() for name, column in self.gathered.compute().items()}
        log_w = columns["log_w"]
        finite = torch.isfinite(log_w)
        self._look_up_reference(trainer, module)
        for i, (name, observable) in enumerate(observables.items()):
            a = columns["a"][:, i].contiguous()
            value, err = average(a, observable, lambda v: expectation(v, log_w))
            raw, raw_err = average(a[finite], observable, independent_average) if finite.any() else (math.nan, math.nan)
            reference = self._averages.get(name)
            self.summary["observables"][name] = {
                "raw": raw,
                "raw_err": raw_err,
                "reweighted": value,
                "err": err,
                "reference": None if reference is None else reference[0],
                "reference_err": None if reference is None else reference[1],
                "exact": observable.exact,
                "unit": observable.unit,
                "period": period(observable),
            }
            module.log_dict({f"{stage}/{name}": value, f"{stage}/{name}_err": err, f"{stage}/{name}_raw": raw})
            if observable.range is not None and finite.any():
                self.profiles[name] = self._profile(name, observable, a, log_w)

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        if stage == "test" and trainer.is_global_zero and folder is not None and self.profiles:
            save_profiles(self.profiles, Path(folder) / "profiles.npz")

    def _profile(self, name: str, observable: Observable, a: Tensor, log_w: Tensor) -> Profile:
        edges, finite = self._edges(observable), torch.isfinite(log_w)
        reference = None if self._curves is None else self._curves.get(name)
        return Profile(
            edges,
            raw=profile(a[finite], None, edges, observable.periodic),
            reweighted=profile(a, log_w, edges, observable.periodic),
            reference=reference,
        )

    def _edges(self, observable: Observable) -> Tensor:
        assert observable.range is not None
        return torch.linspace(*observable.range, self.bins + 1, dtype=torch.float64)

    def _look_up_reference(self, trainer: Trainer, module: BoltzmannGenerator) -> None:
        """Averages and profiles of the target, once in a run."""
        target = target_samples(trainer, module) if self._curves is None else None
        self._curves = self._curves or {}
        if target is None:
            return
        x, mean = target
        for name, observable in module.energy.observables.items():
            a = observable.function(x).cpu()
            if reference_data(trainer) is not None:
                self._averages[name] = average(a, observable, mean)
            if observable.range is not None:
                edges = self._edges(observable)
                f, _ = profile(a, None, edges, observable.periodic)
                self._curves[name] = (f, _profile_error(a, observable, edges, mean))


def _profile_error(a: Tensor, observable: Observable, edges: Tensor, mean: Average) -> Tensor:
    """Standard error of the profile of possibly correlated frames, bin by bin, (K,) [kT]."""
    lower, upper = edges[0], edges[-1]
    a = a.to(torch.float64)
    if observable.periodic:
        a = lower + torch.remainder(a - lower, upper - lower)
    index = torch.bucketize(a, edges[1:-1], right=True)
    inside = (a >= lower) & (a <= upper)
    errors = []
    for k in range(len(edges) - 1):
        p, err = mean(((index == k) & inside).to(torch.float64))
        errors.append(err / p if p > 0 else math.nan)
    return torch.tensor(errors, dtype=torch.float64)


def save_profiles(profiles: dict[str, Profile], path: Path) -> None:
    """One npz: for each observable the bin edges, and F and error [kT] of each curve."""
    arrays: dict[str, Any] = {}
    for name, p in profiles.items():
        arrays[f"{name}/edges"] = p.edges.numpy()
        for label in ("raw", "reweighted", "reference"):
            curve = getattr(p, label)
            if curve is not None:
                arrays[f"{name}/{label}"], arrays[f"{name}/{label}_err"] = curve[0].numpy(), curve[1].numpy()
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)
