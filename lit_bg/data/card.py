"""The data card, which says where reference data come from and whether they can be trusted."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal

import torch
from torch import Tensor

from lit_bg.data.checks import compare_gradient, find_bad_frames
from lit_bg.energies.base import Energy
from lit_bg.estimators.multistate import ladder_populations
from lit_bg.estimators.time_series import mean_of_walkers, mean_with_error, r_hat, statistical_inefficiency
from lit_bg.estimators.virial import virial_terms
from lit_bg.files import finite
from lit_bg.identity import Comparison, canonical, compare, identify
from lit_bg.kernels.base import Kernel
from lit_bg.simulators.base import Simulator, States, Trajectory, is_doubt
from lit_bg.simulators.temperatures import Temperatures

VIRIAL_FRAMES = 100_000  # forces cost more than energies: more frames than this are thinned evenly for the virial
MOST_Z = 4.0  # a virial further from its exact value than this many errors, and
MOST_DEVIATION = 0.01  # by more than this fraction (a finite time step may cost less), refutes the data
MOST_R_HAT = 1.1
FEWEST_EFFECTIVE = 100
CORRELATED = 2.0  # frames per independent frame, from which one walker is a walk and not a set of independent frames
FEWEST_FRAMES = 20  # per walker, of which R-hat compares halves
MOST_FREE_ENERGY_ERROR = 1.0  # [kT]
CHUNK = 50_000  # configurations in memory at a time beside the data


def describe(item: Any) -> dict[str, Any]:
    """Return class and constructor arguments, as they stand in YAML, those of kernels inside too; no absolute paths.

    Of an energy it is `lit_bg.identity.identify` that tells it from others.

    >>> from lit_bg.kernels import Metropolis
    >>> describe(Metropolis(0.5))["parameters"]["step_size"]
    0.5
    """
    names = [n for n in inspect.signature(type(item).__init__).parameters if n not in ("self", "kT", "generator", "context")]
    held = {n: name for n in names for name in (f"{n}_path", n) if hasattr(item, name)}  # a file may be kept as n_path
    values = {n: getattr(item, name) for n, name in held.items()}
    # a method is no argument: every module has `compile`
    return {"class": type(item).__name__, "parameters": {n: _plain(v) for n, v in values.items() if not inspect.ismethod(v)}}


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it, with absolute paths cut to the name and objects described as in YAML."""
    if isinstance(value, Energy):
        return canonical(value)
    if isinstance(value, (Kernel, Temperatures)):
        return describe(value)
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
    """Collect everything worth knowing of a trajectory, for JSON.

    Args:
        energy: the system it samples; modes that are to be found in data are found here, and adopted.
        trajectory: frames of the walkers, x of shape (T, W, *shape).
        u: reduced energies of the frames, (T, W) [kT].
        simulator, seed: what made it; None for data from elsewhere.

    Returns:
        energy, kT, seed, simulator, walkers, frames, statistical inefficiency (in frames) and R-hat of u and of every
        observable, effective samples, virial, observables and modes with errors, free-energy differences of modes,
        `found_modes` (what `Energy.adopt_modes` needs, where they were found in these data), and `verdict`: "pass" or a
        list of problems; what says that longer is needed begins with "not converged".

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
    x = trajectory.x
    series: dict[str, list[Tensor]] = {"u": [u]}
    observables: dict[str, dict[str, Any]] = {}
    for name, observable in energy.observables.items():
        a = _of_frames(observable.function, energy, x)
        series[name] = observable.on_the_line(a)
        mean, error = (None, None) if observable.periodic else mean_with_error(a)  # an angle has no mean
        observables[name] = {"mean": mean, "error": error, "exact": observable.exact, "unit": observable.unit}
    g = {name: max(statistical_inefficiency(s) for s in parts) for name, parts in series.items()}
    spread = {name: max(r_hat(s) for s in parts) for name, parts in series.items()}
    gradient = compare_gradient(energy, x.transpose(0, 1).reshape(-1, *energy.space.shape))
    found = energy.find_modes(x) if energy.finds_modes else None
    if found is not None:
        energy.adopt_modes(found)
    modes, differences = _modes(energy, x, trajectory.states)
    card: dict[str, Any] = {
        "energy": identify(energy),
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
        "virial": _virial(energy, x),
        "gradient": None if gradient is None else {**gradient._asdict(), "frame": gradient.frame % frames},
        "bad_frames": find_bad_frames(energy, x, u),
        "observables": observables,
        "found_modes": found,
        "modes": modes,
        "free_energy_differences": differences,
    }
    card["verdict"] = _problems(card) + trajectory.problems or "pass"
    return finite(card)


def _of_frames(function: Callable[[Tensor], Tensor], energy: Energy, x: Tensor) -> Tensor:
    """Return (T, W) values of a function of the configuration, computed where the energy lives, a chunk at a time."""
    frames, walkers = x.shape[:2]
    parts = x.transpose(0, 1).reshape(-1, *energy.space.shape).split(CHUNK)  # without a copy for what `simulate` recorded
    return torch.cat([function(part.to(energy.device)).cpu() for part in parts]).reshape(walkers, frames).T


def _virial(energy: Energy, x: Tensor) -> dict[str, float] | None:
    if not energy.space.unbounded:
        return None  # the identity needs coordinates without ends
    x = x[:: max(1, x.shape[0] * x.shape[1] // VIRIAL_FRAMES)]
    parts = x.reshape(-1, *energy.space.shape).split(CHUNK)
    terms = torch.cat([virial_terms(energy, part.to(energy.device)).cpu() for part in parts])
    value, error = mean_with_error(terms.reshape(x.shape[:2]))
    exact = energy.space.dof
    return {"value": value, "error": error, "exact": exact, "z": (value - exact) / error if error > 0 else math.inf}


def _modes(
    energy: Energy, x: Tensor, states: States | None
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, float | None]]]:
    r"""Return populations, and free energies $-\ln p_b / p_a$ [kT] relative to the first mode, with errors.

    From the frames, or where there is replica exchange from the replicas in all states; `in_frames` is the fraction of the
    frames themselves. The error of the difference is that of the mean of $1_b / p_b - 1_a / p_a$, its linearisation in
    the populations.
    """
    modes = energy.modes
    if modes is None:
        return {}, {}
    label = _of_frames(modes.label, energy, x)
    exact = None if modes.exact is None else modes.exact.tolist()
    plain = [mean_of_walkers((label == i).double()) for i in range(len(modes.names))]
    weighted = _by_states(states, len(modes.names))
    populations, differences = {}, {}
    for i, name in enumerate(modes.names):
        p, error = plain[i] if weighted is None else (weighted[0][i].item(), weighted[1][i, i].sqrt().item())
        never = p in (0, 1) or not error > 0  # nobody has crossed: no error, but a limit by the rule of three
        independent = label.numel() / statistical_inefficiency((label == i).double()) if never else math.inf
        populations[name] = {
            "p": p,
            "error": None if never else error,
            "upper": min(p + 3 / min(independent, label.shape[1] * len(label)), 1.0) if never else None,
            "exact": None if exact is None else exact[i],
            "in_frames": plain[i][0],
        }
    first, *rest = modes.names
    for i, name in enumerate(rest, 1):
        p_a, p_b = populations[first]["p"], populations[name]["p"]
        if p_a and p_b:
            if weighted is None:
                _, error = mean_of_walkers((label == i).double() / p_b - (label == 0).double() / p_a)
            else:
                slope = torch.zeros(len(modes.names), dtype=torch.float64)
                slope[0], slope[i] = -1 / p_a, 1 / p_b
                error = (slope @ weighted[1] @ slope).sqrt().item()
            truth = None if exact is None else 0.0 - math.log(exact[i] / exact[0])
            differences[f"F({name}) - F({first})"] = {"value": -math.log(p_b / p_a), "error": error, "exact": truth}
    return populations, differences


def _by_states(states: States | None, modes: int) -> tuple[Tensor, Tensor] | None:
    """Return populations and their covariance, or None where there are no other states or they have nothing to say."""
    if states is None:
        return None
    try:
        return ladder_populations(states.u, states.label, modes)
    except ValueError:  # too short, or without overlap: exchange rates and round trips say so
        return None


def _problems(card: dict[str, Any]) -> list[str]:
    """Return what keeps the data from being a reference, in sentences."""
    problems = _refutations(card)
    v = card["virial"]
    if card["frames"] < FEWEST_FRAMES:
        problems.append(
            f"not converged: only {card['frames']} frames per walker, and at least {FEWEST_FRAMES} show whether walkers agree"
        )
    if card["walkers"] < 2 and max(card["statistical_inefficiency"].values()) > CORRELATED:
        problems.append("not converged: a single walker cannot disagree with another: simulate several")
    unknown = [name for name in ("u",) if not math.isfinite(card["r_hat"][name])]
    if unknown and card["frames"] >= FEWEST_FRAMES:
        problems.append("not converged: R-hat of u could not be computed, since u does not vary")
    if v is not None and abs(v["z"]) > MOST_Z:
        problems.append(f"the virial is {v['value']:.4g} +- {v['error']:.2g} kT instead of {v['exact']}")
    if v is not None and v["error"] > 0.2 * v["exact"]:
        problems.append(f"the virial has an error of {v['error']:.2g} kT, too large to tell anything")
    unmixed = {name: r for name, r in card["r_hat"].items() if r > MOST_R_HAT}
    if unmixed:
        worst = max(unmixed, key=lambda name: unmixed[name])
        problems.append(
            f"not converged: the walkers do not agree, R-hat is above {MOST_R_HAT} for {len(unmixed)} of {len(card['r_hat'])} "
            f"averages, {unmixed[worst]:.2f} for {worst}"
        )
    if card["effective_samples"] < FEWEST_EFFECTIVE:
        problems.append(f"not converged: only {card['effective_samples']:.0f} effective samples")
    total = card["frames"] * card["walkers"]
    unseen = [n for n, m in card["modes"].items() if m["p"] == 0 and (m["exact"] is None or m["exact"] * total > 10)]
    if unseen:
        problems.append(f"not converged: never visited {', '.join(unseen)}")
    problems += [
        f"not converged: {name} has an error of {d['error']:.2g} kT"
        for name, d in card["free_energy_differences"].items()
        if not d["error"] <= MOST_FREE_ENERGY_ERROR
    ]
    problems += [
        f"{name} is {o['mean']:.4g} +- {o['error']:.2g}, exact {o['exact']:.4g}"
        for name, o in card["observables"].items()
        if None not in (o["exact"], o["mean"]) and abs(o["mean"] - o["exact"]) > MOST_Z * o["error"] + 1 / total
    ]
    return problems


def quality(card: dict[str, Any]) -> Literal["pass", "not converged", "refuted"]:
    """Say what data are worth: "not converged" where more frames would help, "refuted" where they are wrong."""
    verdict = card.get("verdict", "pass")
    if verdict == "pass":
        return "pass"
    return "not converged" if all(map(is_doubt, verdict)) else "refuted"


def _refutations(card: dict[str, Any]) -> list[str]:
    """Return what shows that data are wrong, and not only too short, apart from the virial."""
    found = []
    for what, bad in card.get("bad_frames", {}).items():
        total = card["frames"] * card["walkers"]
        way_out = ": make molecules whole" if "longer than" in what else ""
        found.append(
            f"{bad['count']} of {total} frames have {what}, the first is frame {bad['frame']} of walker {bad['walker']}"
            + way_out
        )
    g = card.get("gradient")
    if g is not None:
        found.append(
            f"the gradient is not that of the energy: along a direction at frame {g['frame']} it is {g['gradient']:.5g} kT and "
            f"the energies say {g['difference']:.5g} kT ({g['share']:.0%} of the comparisons disagree)"
        )
    return found


def refusal(card: dict[str, Any]) -> str | None:
    """Return why the data must not be used at all, or None. Poor mixing alone is a warning (`verdict`), not a refusal."""
    if wrong := _refutations(card):
        return wrong[0]
    v = card["virial"]
    if v is None or v["z"] is None or v["value"] is None:
        return None
    if abs(v["z"]) > MOST_Z and abs(v["value"] - v["exact"]) > MOST_DEVIATION * v["exact"]:
        return (
            f"the virial is {v['value']:.4g} +- {v['error']:.2g} kT and {v['exact']} in equilibrium "
            f"({v['z']:+.0f} sigma): wrong energy, units or temperature, or no equilibrium"
        )
    return None


def compare_target(card: dict[str, Any], energy: Energy) -> Comparison:
    """Say in which way data belong to another system than `energy`, as a phrase that ends "the data are ...", or None."""
    mine, theirs = identify(energy), card["energy"]
    if mine["class"] != theirs["class"]:
        return Comparison(f"of {theirs['class']}, not {mine['class']}")
    if not math.isclose(card["kT"], energy.kT, rel_tol=1e-6):
        return Comparison(f"at kT = {card['kT']:.6g} {card['unit']}, not {energy.kT:.6g}")
    difference, unknown = compare(mine, theirs)
    return Comparison(None if difference is None else f"for {difference}", unknown)
