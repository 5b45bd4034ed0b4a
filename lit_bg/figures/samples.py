"""All pictures of given samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.profiles import find_profiles, target_curves
from lit_bg.energies.base import Energy
from lit_bg.estimators import ess, pareto_k, tail
from lit_bg.figures.configurations import draw_configurations
from lit_bg.figures.energies import draw_energies
from lit_bg.figures.plane import find_plane, in_plane
from lit_bg.figures.profiles import draw_profile
from lit_bg.figures.style import EXACT, as_drawn, with_unit
from lit_bg.figures.weights import draw_weights
from lit_bg.samples import Dependence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 60
FRAMES = 50_000  # of the reference, at most


def draw_samples(
    energy: Energy,
    x: Tensor,
    u: Tensor,
    log_w: Tensor | None,
    data: Dataset | None = None,
    dependence: Dependence = "draws",
    ancestor: Tensor | None = None,
) -> dict[str, Figure]:
    """Return figures of configurations, energies, profiles and, where there are any, weights, by file name.

    Args:
        energy: the system.
        x: configurations, (n, *event_shape); of chains (T, W, *event_shape), of populations (P, N, *event_shape).
        u: their energies, of the leading shape [kT].
        log_w: their log weights, of the leading shape; None: all equal.
        data: reference data.
        dependence: what samples know of each other, for the bands of profiles.
        ancestor: (P, N) long, of populations.
    """
    lead = u.shape
    x, u = x.reshape(-1, *energy.space.shape), u.flatten()
    log_w = None if log_w is None else log_w.flatten()
    equal = log_w is None
    log_w = torch.where(torch.isfinite(u), 0.0, -torch.inf).double() if log_w is None else log_w.double()
    some = torch.isfinite(log_w).any()
    w = torch.softmax(log_w, 0) if some else torch.zeros_like(log_w)
    name = energy.name if energy.structure is None else Path(energy.name).stem
    detail = f"n = {len(x)}" + ("" if equal else f", ESS {ess(log_w):.3g}, k-hat {pareto_k(log_w):.2f}")
    target_plane = target_u = None
    if data is not None:
        pick = torch.linspace(0, len(data) - 1, min(len(data), FRAMES)).long()
        target_plane = in_plane(energy, data.x[pick].to(energy.device)).cpu().numpy()
        target_u = data.u[pick].double().numpy()
    source = "reference data"
    with torch.no_grad():
        points = in_plane(energy, x.to(energy.device)).cpu()
    plane = find_plane(energy, target_plane, points, energy.device)
    weights = None if equal else w.numpy()
    figures = {
        "configurations": draw_configurations(plane, points.numpy(), weights, target_plane, name, detail, source),
        "energies": draw_energies(u.double().numpy(), weights, target_u, f"{name}: energies", detail, source),
    }
    if not equal:
        figures["weights"] = draw_weights(log_w.numpy(), tail(log_w), f"{name}: weight tail", detail)
    ranged = {n: o for n, o in energy.observables.items() if o.range is not None}
    with torch.no_grad():
        columns = {n: (o.function(x.to(energy.device)).cpu().double().reshape(lead), o) for n, o in ranged.items()}
        values = None if data is None else lambda o: data.series(o.function(data.x.to(energy.device)).cpu())
        curves = target_curves(ranged, BINS, values)
    for key, p in find_profiles(columns, log_w.reshape(lead), BINS, curves, dependence, ancestor).items():
        figures[f"profile_{file_name(key)}"] = draw_profile(
            with_unit(key, ranged[key].unit),
            as_drawn(p.edges.numpy(), ranged[key].unit),
            raw=None if equal else (p.raw[0].numpy(), p.raw[1].numpy()),
            reweighted=(p.reweighted[0].numpy(), p.reweighted[1].numpy()),
            reference=None if p.reference is None else (p.reference[0].numpy(), p.reference[1].numpy()),
            title=f"{name}: free energy along {key}",
            detail=detail,
            source=EXACT if p.exact else source,
            label="frames" if equal else "reweighted",
        )
    return figures


def file_name(name: str) -> str:
    """Return a name of letters, digits, dots, signs and underscores.

    >>> file_name("P(x1<0)")
    'P_x1lt0'
    """
    return re.sub(r"[^\w.<>+-]+", "_", name).strip("_").replace("<", "lt").replace(">", "gt")
