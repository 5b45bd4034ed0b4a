"""The data card: where reference data come from and whether they can be trusted."""

from __future__ import annotations

import inspect
import math
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.estimators.time_series import mean_with_error, r_hat, statistical_inefficiency
from lit_bg.estimators.virial import virial_terms
from lit_bg.samplers.base import Simulator, Trajectory
from lit_bg.transforms.domain import Kind

VIRIAL_FRAMES = 100_000  # forces cost more than energies: more frames than this are thinned evenly for the virial
MOST_Z = 4.0  # a virial further from its exact value than this many errors, and
MOST_DEVIATION = 0.01  # by more than this fraction (a finite time step may cost less), refutes the data
MOST_R_HAT = 1.1
FEWEST_EFFECTIVE = 100


def describe(item: Energy | Simulator) -> dict[str, Any]:
    """Class and constructor arguments, as they stand in YAML; no absolute paths.

    >>> from lit_bg.energies import DoubleWell
    >>> describe(DoubleWell(dim=3))["parameters"]["dim"]
    3
    """
    names = [n for n in inspect.signature(type(item).__init__).parameters if n not in ("self", "kT")]
    held = {n: name for n in names for name in (f"{n}_path", n) if hasattr(item, name)}  # a file may be kept as n_path
    return {"class": type(item).__name__, "parameters": {n: _plain(getattr(item, held[n])) for n in held}}


def _plain(value: Any) -> Any:
    """As JSON holds it, absolute paths cut to the name."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, PurePath)):
        path = PurePath(value)
        return path.name if path.is_absolute() else str(value)
    return value if isinstance(value, (int, float, type(None))) else str(value)


def make_card(
    energy: Energy, trajectory: Trajectory, u: Tensor, simulator: Simulator | None = None, seed: int | None = None
) -> dict[str, Any]:
    """Everything worth knowing of a trajectory, for JSON.

    Args:
        energy: the system it samples.
        trajectory: frames of the walkers, x of shape (T, W, *event_shape).
        u: reduced energies of the frames, (T, W) [kT].
        simulator, seed: what made it; None for data from elsewhere.

    Returns:
        energy, kT, seed, simulator, walkers, frames, statistical inefficiency (in frames) and R-hat of u and of every
        observable, effective samples, virial, observables and modes with errors, and `verdict`:
        "pass" or a list of problems.

    Raises:
        ValueError: frames without a finite energy.
    """
    frames, walkers = u.shape
    flat_u = u.transpose(0, 1).flatten()
    bad = torch.nonzero(~torch.isfinite(flat_u)).flatten()
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(flat_u)} frames have no finite energy under {type(energy).__name__}, "
            f"the first is frame {int(bad[0])}: check the units of length and that the frames are of this system."
        )
    x = trajectory.x.reshape(-1, *energy.event_shape)
    series: dict[str, list[Tensor]] = {"u": [u]}
    observables: dict[str, dict[str, Any]] = {}
    for name, observable in energy.observables.items():
        a = torch.cat([observable.function(part) for part in x.split(100_000)]).reshape(frames, walkers)
        series[name] = _on_the_line(a, observable)
        mean, error = (None, None) if observable.periodic else mean_with_error(a)  # an angle has no mean
        observables[name] = {"mean": mean, "error": error, "exact": observable.exact, "unit": observable.unit}
    g = {name: max(statistical_inefficiency(s) for s in parts) for name, parts in series.items()}
    spread = {name: max(r_hat(s) for s in parts) for name, parts in series.items()}
    card: dict[str, Any] = {
        "energy": describe(energy),
        "kT": energy.kT,
        "unit": energy.unit,
        "simulator": None if simulator is None else describe(simulator),
        "seed": seed,
        "walkers": walkers,
        "frames": frames,
        "interval": trajectory.interval,
        "time_unit": trajectory.time_unit,
        "info": dict(trajectory.info),
        "u": dict(zip(("mean", "error"), mean_with_error(u), strict=True)),
        "statistical_inefficiency": g,
        "effective_samples": frames * walkers / max(g.values()),
        "r_hat": spread,
        "virial": _virial(energy, trajectory.x),
        "observables": observables,
        "modes": _modes(energy, x, frames, walkers),
    }
    card["verdict"] = _problems(card) or "pass"
    return _finite(card)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _on_the_line(a: Tensor, observable: Observable) -> list[Tensor]:
    """Correlation is measured on cosine and sine of an angle."""
    if not observable.periodic or observable.range is None:
        return [a]
    lower, upper = observable.range
    angle = 2 * math.pi * (a - lower) / (upper - lower)
    return [angle.cos(), angle.sin()]


def _virial(energy: Energy, x: Tensor) -> dict[str, float] | None:
    if (energy.domain.kinds != Kind.LINEAR).any():
        return None  # the identity needs coordinates without ends
    x = x[:: max(1, x.shape[0] * x.shape[1] // VIRIAL_FRAMES)]
    terms = virial_terms(energy, x.reshape(-1, *energy.event_shape)).reshape(x.shape[:2])
    value, error = mean_with_error(terms)
    exact = energy.degrees_of_freedom
    return {"value": value, "error": error, "exact": exact, "z": (value - exact) / error if error > 0 else math.inf}


def _modes(energy: Energy, x: Tensor, frames: int, walkers: int) -> dict[str, dict[str, float | None]]:
    if energy.modes is None:
        return {}
    modes = energy.modes
    label = torch.cat([modes.label(part) for part in x.split(100_000)]).reshape(frames, walkers)
    table = {}
    for i, name in enumerate(modes.names):
        p, error = mean_with_error((label == i).double())
        table[name] = {"p": p, "error": error, "exact": None if modes.exact is None else modes.exact[i].item()}
    return table


def _problems(card: dict[str, Any]) -> list[str]:
    """What keeps the data from being a reference, in sentences."""
    problems = []
    v = card["virial"]
    if v is not None and abs(v["z"]) > MOST_Z:
        problems.append(f"the virial is {v['value']:.4g} +- {v['error']:.2g} kT instead of {v['exact']}")
    if v is not None and v["error"] > 0.2 * v["exact"]:
        problems.append(f"the virial has an error of {v['error']:.2g} kT, too large to tell anything")
    unmixed = {name: r for name, r in card["r_hat"].items() if r > MOST_R_HAT}
    if unmixed:
        worst = max(unmixed, key=lambda name: unmixed[name])
        problems.append(
            f"the walkers do not agree: R-hat is above {MOST_R_HAT} for {len(unmixed)} of {len(card['r_hat'])} "
            f"averages, {unmixed[worst]:.2f} for {worst}"
        )
    if card["effective_samples"] < FEWEST_EFFECTIVE:
        problems.append(f"only {card['effective_samples']:.0f} effective samples")
    total = card["frames"] * card["walkers"]
    unseen = [n for n, m in card["modes"].items() if m["p"] == 0 and (m["exact"] is None or m["exact"] * total > 10)]
    if unseen:
        problems.append(f"never visited: {', '.join(unseen)}")
    problems += [
        f"{name} is {o['mean']:.4g} +- {o['error']:.2g}, exact {o['exact']:.4g}"
        for name, o in card["observables"].items()
        if None not in (o["exact"], o["mean"]) and abs(o["mean"] - o["exact"]) > MOST_Z * o["error"] + 1 / total
    ]
    return problems


def refusal(card: dict[str, Any]) -> str | None:
    """Why the data must not be used at all, or None. Poor mixing alone is a warning (`verdict`), not a refusal."""
    v = card["virial"]
    if v is None or v["z"] is None or v["value"] is None:
        return None
    if abs(v["z"]) > MOST_Z and abs(v["value"] - v["exact"]) > MOST_DEVIATION * v["exact"]:
        return (
            f"the virial is {v['value']:.4g} +- {v['error']:.2g} kT and {v['exact']} in equilibrium "
            f"({v['z']:+.0f} sigma): wrong energy, units or temperature, or no equilibrium"
        )
    return None


def mismatch(card: dict[str, Any], energy: Energy) -> str | None:
    """In which way data belong to another system than `energy`, or None."""
    mine, theirs = describe(energy), card["energy"]
    if mine["class"] != theirs["class"]:
        return f"of {theirs['class']}, not {mine['class']}"
    if not math.isclose(card["kT"], energy.kT, rel_tol=1e-6):
        return f"at kT = {card['kT']:.6g} {card['unit']}, not {energy.kT:.6g}"
    for name, value in mine["parameters"].items():
        if name in theirs["parameters"] and not _same(value, theirs["parameters"][name]):
            return f"for {name} = {theirs['parameters'][name]}, not {value}"
    return None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(p, q) for p, q in zip(a, b, strict=True))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
    if isinstance(a, str) and isinstance(b, str):
        return PurePath(a).name == PurePath(b).name  # a file may be named from another folder
    return bool(a == b)
