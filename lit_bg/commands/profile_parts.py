"""What `python -m lit_bg.profile` finds: profiles, other temperatures and paths, each with numbers, a figure and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as File
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_bg.diagnostics.latent_path import Path, latent_path, straight_path
from lit_bg.diagnostics.profiles import bin_edges, exact_curve
from lit_bg.diagnostics.temperatures import LabelledModes, Weighted, extrapolate, find_reach
from lit_bg.energies.base import Energy, Observable
from lit_bg.estimators import profile, surface
from lit_bg.figures import draw_paths, draw_profile, draw_surface, draw_temperatures
from lit_bg.figures.style import EXACT, as_drawn, with_unit
from lit_bg.generators.base import Generator
from lit_bg.kernels.units import in_kelvin, to_kT
from lit_bg.report.notation import with_error
from lit_bg.report.summary import Summary
from lit_bg.report.tails import describe_tail
from lit_bg.report.temperatures import GOOD, accuse_reach, describe_interval, find_interval, judge_temperature
from lit_bg.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lit_bg.samples import Chains, Populations, Samples

AT_ONCE = 20_000  # configurations whose observables are computed together
OUTSIDE = 1e-3  # of the weight that may lie beyond either end of a profile whose range is taken from the samples
MARGIN = 0.05  # of that range, added at both ends
RETURNS = 0.5  # [kT] by which energies of the ends may differ after a round trip through the latent space


class Part(NamedTuple):
    """Holds one thing that was asked for: a profile, other temperatures or a path."""

    arrays: dict[str, np.ndarray]
    figure: Figure
    lines: list[str]


@dataclass
class Sampled:
    """Holds samples and the system that they are of.

    Attributes:
        energy: the system under the conditions of the samples.
        learned: the system that the generator was built for.
        generator: the trained one.
        samples: drawn from it, or from a file.

    Raises:
        ValueError: fewer than two samples, or none with a finite energy.
    """

    energy: Energy
    learned: Energy
    generator: Generator
    samples: Samples | Chains | Populations

    def __post_init__(self) -> None:
        n = self.samples.u.numel()
        if n < 2:
            raise ValueError(
                f"there {'is' if n else 'are'} {n or 'no'} sample{'s' * (n != 1)}: no error bar, so no profile; draw more."
            )
        if not torch.isfinite(self.samples.log_w).any():
            raise ValueError(
                f"none of {n} samples has a finite energy, so there is nothing to weigh: train the generator longer."
            )

    @property
    def name(self) -> str:
        return self.energy.name if self.energy.structure is None else File(self.energy.name).stem

    @cached_property
    def x(self) -> Tensor:
        """Return the configurations, (n, *event_shape), on the device of the system."""
        return self.samples.x.reshape(-1, *self.energy.space.shape).to(self.energy.device)

    @cached_property
    def label(self) -> Tensor | None:
        """Return the mode of every sample, of the shape of u; None where no modes are known."""
        modes = self.energy.modes
        if modes is None:
            return None
        labels = [modes.label(part).cpu() for part in self.x.split(AT_ONCE)]
        return torch.cat(labels).reshape(self.samples.u.shape)

    @property
    def states(self) -> LabelledModes | None:
        return LabelledModes.of(self.energy, self.label)

    @property
    def modes(self) -> tuple[str, ...]:
        return () if self.energy.modes is None else self.energy.modes.names

    def values(self, observable: Observable) -> Tensor:
        """Return values of an observable, float64, of the shape of u."""
        found = [observable.function(part).detach().double().cpu() for part in self.x.split(AT_ONCE)]
        return torch.cat(found).reshape(self.samples.u.shape)

    def describe(self) -> str:
        """Say what the samples are worth at their own temperature."""
        reach = find_reach(self.samples, self.energy.kT, self.energy.kT, self.states)
        shape = tuple(self.samples.u.shape)
        what = {
            "draws": f"{shape[0]} weighted draws",
            "chains": f"{shape[-1]} chains of {shape[0]} frames",
            "populations": f"{shape[0]} populations of {shape[-1]} particles",
        }[self.samples.dependence]
        weights = "" if self.samples.dependence == "chains" else f", ESS {reach.ess:.3f}, k-hat {describe_tail(reach.tail)}"
        problem = accuse_reach(reach, self.samples)
        verdict = "" if problem is None else f": do not trust: {problem}"
        return f"{self.name}: {what}{weights}, {reach.effective:.3g} effective samples{verdict}"


def describe_verdict(folder: RunFolder) -> list[str]:
    """Return what was said of the run when it was tested, in a line; nothing where it was not, or the file cannot be read."""
    try:
        summary = Summary.read(folder.path / "summary.json")
    except (OSError, ValueError):
        return []
    reasons = summary.reasons[:1] if summary.verdict != "trust" else ()
    return [f"the run was judged when it was tested: {': '.join([summary.verdict, *reasons])}"]


def find_observables(energy: Energy, names: Sequence[str]) -> dict[str, Observable]:
    """Return the observables of these names.

    Raises:
        ValueError: one that the system does not have, with those it has.
    """
    known = energy.observables
    for name in names:
        if name not in known:
            raise ValueError(f"{energy.name} has no observable '{name}', but {', '.join(known) or 'none at all'}.")
    return {name: known[name] for name in names}


def find_along(source: Sampled, observables: dict[str, Observable], bins: int) -> Part:
    """Find the free energy along one observable, or in the plane of two.

    Raises:
        ValueError: an observable that takes but one value, or just 0 and 1.
    """
    s, of, ancestor = source.samples, source.samples.dependence, source.samples.ancestor
    values = [source.values(o) for o in observables.values()]
    edges = [_edges(name, o, a, s, bins) for (name, o), a in zip(observables.items(), values, strict=True)]
    labels = [with_unit(name, o.unit) for name, o in observables.items()]
    drawn = [as_drawn(e.numpy(), o.unit) for e, o in zip(edges, observables.values(), strict=True)]
    title = f"{source.name}: free energy along {' and '.join(observables)}"
    detail = source.describe().partition(": ")[2]
    around = [o.periodic for o in observables.values()]
    known: dict[str, np.ndarray] = {}
    if len(values) == 2:
        f, error = surface(values[0], values[1], s.log_w, (edges[0], edges[1]), (around[0], around[1]), of, ancestor)
        figure = draw_surface((labels[0], labels[1]), (drawn[0], drawn[1]), f.numpy(), error.numpy(), title, detail)
    else:
        f, error = profile(values[0], s.log_w, edges[0], around[0], of, ancestor)
        raw = None
        if of == "draws":
            finite = torch.isfinite(s.log_w)
            plain, its_error = profile(values[0][finite], None, edges[0], around[0])
            raw = (plain.numpy(), its_error.numpy())
        label = "frames" if of == "chains" else "reweighted"
        (observable,) = observables.values()
        curve = exact_curve(observable, edges[0])
        exact = None if curve is None else (curve[0].numpy(), curve[1].numpy())
        figure = draw_profile(labels[0], drawn[0], raw, (f.numpy(), error.numpy()), exact, title, detail, EXACT, label)
        known = {} if exact is None else {"F_exact": exact[0]}
    arrays = {f"edges_{name}": e.numpy() for name, e in zip(observables, edges, strict=True)}
    arrays |= {"F": f.numpy(), "F_err": error.numpy(), **known}
    return Part(arrays, figure, _describe_profile(observables, edges, f, error))


def _edges(name: str, observable: Observable, a: Tensor, samples: Weighted, bins: int) -> Tensor:
    """Return edges of the bins over the range of an observable, or over where the weight of the samples lies."""
    w = torch.softmax(samples.log_w.detach().double().cpu().flatten(), 0)
    seen = (w > 0) & torch.isfinite(a.flatten())
    a, w = a.flatten()[seen], w[seen]
    if len(a) == 0:
        raise ValueError(f"{name} has no finite value in any of the samples, so it has no profile: take another observable.")
    if ((a == 0) | (a == 1)).all():
        raise ValueError(f"{name} takes the values 0 and 1 alone: it is a probability and has no profile; take a coordinate.")
    if observable.range is not None:
        return bin_edges(observable, bins)
    a, order = a.sort()
    below = w[order].cumsum(0) / w.sum()
    low, high = (a[min(int(torch.searchsorted(below, q)), len(a) - 1)].item() for q in (OUTSIDE, 1 - OUTSIDE))
    if not high > low:
        raise ValueError(f"{name} is {low:.6g} in all samples, so it has no profile: take an observable that varies.")
    margin = MARGIN * (high - low)
    return torch.linspace(low - margin, high + margin, bins + 1, dtype=torch.float64)


def _describe_profile(observables: dict[str, Observable], edges: list[Tensor], f: Tensor, error: Tensor) -> list[str]:
    barred, held = torch.isfinite(error), torch.isfinite(f)
    name = ", ".join(observables)
    if not barred.any():
        return [f"F({name}): no bin has five effective samples: draw more, or take fewer bins"]
    lowest = torch.where(barred, f, torch.inf)
    at = np.unravel_index(int(lowest.argmin()), f.shape)
    where = ", ".join(
        f"{key} = {(e[i] + e[i + 1]).item() / 2:.4g}{f' {o.unit}' * bool(o.unit)}"
        for (key, o), e, i in zip(observables.items(), edges, at, strict=True)
    )
    height = (f[barred] - lowest.min()).max().item()
    return [
        f"F({name}): lowest at {where}, up to {height:.3g} kT above it; {int(barred.sum())} of {f.numel()} bins have an error "
        f"bar, of {error[barred].median().item():.2g} kT at the median; {int((held & ~barred).sum())} hold fewer than five "
        f"effective samples and have none, {int((~held).sum())} are empty"
    ]


def find_temperatures(source: Sampled, temperatures: Sequence[float]) -> Part:
    """Find log Z, mean energy, heat capacity and modes at other temperatures, and how far that goes."""
    energy, s = source.energy, source.samples
    unit, one = ("K", to_kT(energy, 1.0)) if in_kelvin(energy) else ("", 1.0)

    def show(kT: float) -> str:
        return f"{kT / one:.4g} K" if unit else f"kT = {kT:.4g}"

    modes, states = source.modes, source.states
    found = extrapolate(s, energy.kT, [t * one for t in temperatures], states)
    interval = find_interval(s, energy.kT, states)
    words = [judge_temperature(a.kT, a.reach, s, interval) for a in found]
    relative = s.dependence == "chains"
    log_Z = f"log Z - log Z({show(energy.kT)})" if relative else "log Z"
    heads = [
        f"T [{unit}]" if unit else "kT",
        log_Z,
        f"<U> [{energy.unit}]" if unit else "<U>",
        "C [k_B]",
        *(f"P({m})" for m in modes),
    ]
    rows = [
        [f"{t:g}", *(with_error(*v) for v in (a.log_Z, a.energy, a.heat_capacity, *a.modes)), f"{a.reach.effective:.3g}"]
        for t, a in zip(temperatures, found, strict=True)
    ]
    table = _table([*heads, "effective", "verdict"], [[*row, word] for row, word in zip(rows, words, strict=True)])
    numbers = {
        "log_Z": [a.log_Z for a in found],
        "U": [a.energy for a in found],
        "C": [a.heat_capacity for a in found],
    }
    arrays = {name: np.array([v[0] for v in column]) for name, column in numbers.items()}
    arrays |= {f"{name}_err": np.array([v[1] for v in column]) for name, column in numbers.items()}
    arrays |= {
        "kT": np.array([a.kT for a in found]),
        "modes": np.array(modes, dtype=np.str_),
        "P": np.array([[v[0] for v in a.modes] for a in found]),
        "P_err": np.array([[v[1] for v in a.modes] for a in found]),
        "effective": np.array([a.reach.effective for a in found]),
        "ess": np.array([a.reach.ess for a in found]),
        "k_hat": np.array([a.reach.tail.k for a in found]),
        "trusted": np.array([word == GOOD for word in words]),
        "interval": np.array([np.nan, np.nan] if interval is None else interval),
        "log_Z_is_relative": np.array(relative),
    }
    drawn = {head: (arrays[key], arrays[f"{key}_err"]) for head, key in zip(heads[1:4], numbers, strict=True)}
    shaded = None if interval is None else (interval.lowest / one, interval.highest / one)
    verdict = describe_interval(interval, energy.kT, show)
    figure = draw_temperatures(
        np.array(temperatures), drawn, arrays["effective"], shaded, heads[0], f"{source.name}: other temperatures", verdict
    )
    return Part(arrays, figure, [f"from samples at {show(energy.kT)}: {verdict}", *table])


def find_path(source: Sampled, first: str, second: str) -> Part:
    """Find the paths between two samples or modes: in the latent space, along a line and an arc, and straight in space.

    Raises:
        TypeError: a generator without a latent space.
        ValueError: a mode that the system does not have or no sample lies in, or an index that is out of range.
    """
    a, b = (source.x[_pick(source, word)] for word in (first, second))
    ends = (source.generator, source.learned, a, b)
    paths = {"latent line": latent_path(*ends), "latent arc": latent_path(*ends, spherical=True)}
    if torch.allclose(paths["latent arc"].x, paths["latent line"].x):
        del paths["latent arc"]  # on circles, or of one coordinate, they are one
    paths["straight in x"] = straight_path(*ends)
    rows = [
        [name, with_error(p.barrier, places=2), f"{p.top:.2f}", f"{(p.u[-1] - p.u[0]).item():.2f}"] for name, p in paths.items()
    ]
    lines = [f"from {first} to {second}, u(0) = {paths['straight in x'].u[0].item():.2f} kT"]
    lines += _table(["path", "barrier [kT]", "at t", "u(1) - u(0) [kT]"], rows)
    lines += ["a barrier along a path is an upper limit of the lowest there is, not a free energy"]
    lines += _describe_round_trip(paths["latent line"], paths["straight in x"])
    shown = {name: o for name, o in source.energy.observables.items() if o.range is not None}
    columns = {
        name: {with_unit(key, o.unit): as_drawn(p.observables[key].numpy(), o.unit) for key, o in shown.items()}
        for name, p in paths.items()
    }
    figure = draw_paths(
        {name: (p.t.numpy(), p.u.numpy(), p.log_q.numpy()) for name, p in paths.items()},
        columns,
        (first, second),
        f"{source.name}: paths from {first} to {second}",
        "energies along a path: no average, so no error bar",
    )
    arrays: dict[str, np.ndarray] = {}
    for name, p in paths.items():
        key = name.replace(" ", "_")
        arrays |= {f"{key}/{field}": getattr(p, field).numpy() for field in ("t", "x", "u", "log_q")}
        arrays |= {f"{key}/{observable}": values.numpy() for observable, values in p.observables.items()}
    return Part(arrays, figure, lines)


def _pick(source: Sampled, word: str) -> int:
    """Return the sample that a word names: its index, or the one of lowest energy in a mode."""
    u = torch.where(torch.isfinite(source.samples.log_w), source.samples.u, torch.inf).flatten()
    if word in source.modes:
        assert source.label is not None  # there are modes
        inside = torch.where(source.label.flatten() == source.modes.index(word), u, torch.inf)
        if torch.isinf(inside).all():
            raise ValueError(f"none of {len(u)} samples lies in mode {word}: draw more, or name a sample by its index.")
        return int(inside.argmin())
    try:
        index = int(word)
    except ValueError:
        known = ", ".join(source.modes) or "none"
        raise ValueError(
            f"{source.name} has no mode '{word}' (its modes: {known}): name one, or a sample by its index."
        ) from None
    if not 0 <= index < len(u):
        raise ValueError(f"there is no sample {index}: the {len(u)} samples are counted from 0 to {len(u) - 1}.")
    if torch.isinf(u[index]):
        raise ValueError(f"sample {index} has no finite energy: name another one.")
    return index


def _describe_round_trip(latent: Path, straight: Path) -> list[str]:
    off = max((latent.u[k] - straight.u[k]).abs().item() for k in (0, -1))
    if off <= RETURNS:
        return []
    return [
        f"the ends come back from the latent space with energies {off:.2g} kT off: the inverse of this flow is inexact there"
    ]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return text in columns of equal width, the last one as it is."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    return [
        "  ".join(cell.rjust(w) for cell, w in zip(row[:-1], widths, strict=False)) + f"  {row[-1]}" for row in [heads, *rows]
    ]
