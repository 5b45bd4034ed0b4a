"""The virial of samples, which reveals their temperature."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lit_bg.diagnostics.averages import Mean
from lit_bg.energies.base import Energy
from lit_bg.estimators import virial_terms

MOST = 20_000  # configurations: forces cost more than energies
CHUNK = 4096


class Virial(NamedTuple):
    """Holds the mean of x du/dx, its standard error and what it is in equilibrium [kT]."""

    value: float
    error: float
    exact: float


def find_virial(energy: Energy, x: Float[Tensor, "..."], mean: Mean) -> Virial | None:
    """Return the virial of configurations; None where the identity does not hold, or nothing can be differentiated.

    Args:
        energy: the system; one gradient per configuration is counted.
        x: (..., *event_shape), 20000 or a few more: see `thin`.
        mean: average and standard error of values (...).
    """
    if not (energy.space.continuous and energy.space.unbounded):
        return None
    shape = energy.space.shape
    lead = x.shape[: x.ndim - len(shape)]
    try:
        terms = [virial_terms(energy, part.to(energy.device)).cpu() for part in x.reshape(-1, *shape).split(CHUNK)]
    except RuntimeError:  # not differentiable
        return None
    found = torch.cat(terms).reshape(lead)
    if not torch.isfinite(found).all():
        return None
    return Virial(*mean(found), float(energy.space.dof))


def thin(x: Shaped[Tensor, "n ..."], rest: int = 1) -> Shaped[Tensor, "m ..."]:
    """Return every k-th of the first axis, so that with `rest` of each they are about `MOST`."""
    return x[:: max(1, len(x) * rest // MOST)]
