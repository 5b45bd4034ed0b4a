"""Free-energy profiles of an evaluation, beside those of the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lit_bg.energies.base import Observable
from lit_bg.estimators import profile
from lit_bg.files import atomic
from lit_bg.samples import Dependence

Curve = tuple[Tensor, Tensor]  # F and its standard error, (K,) [kT]; NaN where a bin is empty


class Profile(NamedTuple):
    """Holds the free energy along an observable, minus the log of a normalised density: nothing is shifted."""

    edges: Tensor  # (K+1,) of the bins
    raw: Curve  # of the proposals
    reweighted: Curve
    reference: Curve | None  # exact, or of reference data, or of exact samples
    exact: bool = False  # whether the reference is


def find_profiles(
    columns: dict[str, tuple[Shaped[Tensor, "*rows"], Observable]],
    log_w: Float[Tensor, "*rows"],
    bins: int,
    reference: dict[str, Curve],
    dependence: Dependence = "draws",
    ancestor: Int[Tensor, "P N"] | None = None,
) -> dict[str, Profile]:
    """Return the profile along every observable; none where no proposal has a finite energy.

    Args:
        columns: values (n,) and the observable, which has a range, by name; of chains (T, W), of populations (P, N).
        log_w: log weights, of the same shape.
        bins: over the range of an observable.
        reference: of `target_curves`.
        dependence: what samples know of each other.
        ancestor: (P, N) long, of populations.
    """
    finite = torch.isfinite(log_w)
    if not finite.any():
        return {}
    found = {}
    for name, (a, observable) in columns.items():
        edges, a = bin_edges(observable, bins), a.contiguous()
        raw = profile(a[finite], None, edges, observable.periodic)
        reweighted = profile(a, log_w, edges, observable.periodic, dependence, ancestor)
        found[name] = Profile(edges, raw, reweighted, reference.get(name), observable.exact_bins is not None)
    return found


def target_curves(
    observables: dict[str, Observable], bins: int, series: Callable[[Observable], Shaped[Tensor, "T W"]] | None
) -> dict[str, Curve]:
    """Return the profile of the target along every observable, to be found once: exact where it is known, else of frames.

    Args:
        observables: those that have a range.
        bins: over that.
        series: its values in frames of the target, (T, W); None where there are none.
    """
    found = {}
    for name, observable in observables.items():
        exact = exact_curve(observable, bin_edges(observable, bins))
        if exact is not None:
            found[name] = exact
        elif series is not None:
            found[name] = reference_curve(series(observable), observable, bins)
    return found


def exact_curve(observable: Observable, edges: Float[Tensor, "E"]) -> Curve | None:
    """Return the exact profile in bins of an observable, without errors; None where it is not known."""
    if observable.exact_bins is None:
        return None
    f = -(observable.exact_bins(edges) / edges.diff()).log()
    return torch.where(f.isfinite(), f, torch.nan), torch.where(f.isfinite(), 0.0, torch.nan)


def bin_edges(observable: Observable, bins: int) -> Float[Tensor, "E"]:
    """Return the edges of the bins over the range of an observable, (bins + 1,)."""
    assert observable.range is not None  # the caller asks for profiles of what has a range
    return torch.linspace(*observable.range, bins + 1, dtype=torch.float64)


def reference_curve(a: Shaped[Tensor, "T W"], observable: Observable, bins: int) -> Curve:
    """Return the profile of possibly correlated frames of the target, with their error.

    Args:
        a: values, (T, W): frames of walkers, or (1, W) independent ones.
        observable: it has a range.
        bins: over that.
    """
    return profile(a, None, bin_edges(observable, bins), observable.periodic, "chains")


def save_profiles(profiles: dict[str, Profile], path: Path) -> None:
    """Write one npz: for each observable the bin edges, and F and error [kT] of each curve."""
    arrays: dict[str, Any] = {}
    for name, p in profiles.items():
        arrays[f"{name}/edges"] = p.edges.numpy()
        for label in ("raw", "reweighted", "reference"):
            curve = getattr(p, label)
            if curve is not None:
                arrays[f"{name}/{label}"], arrays[f"{name}/{label}_err"] = curve[0].numpy(), curve[1].numpy()
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)
