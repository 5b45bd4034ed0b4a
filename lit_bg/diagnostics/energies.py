"""Comparison of energies of samples with those of reference data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.diagnostics.averages import Mean
from lit_bg.estimators import mean_of_walkers, wasserstein


class EnergyDistance(NamedTuple):
    """Compares two distributions of the reduced energy [kT].

    `distance` is the mean of the Wasserstein distances W1 to two halves of the reference, `floor` that between the halves:
    perfect samples, as many as there are in a half, are at the floor.
    """

    mean: float
    error: float
    reference: float
    reference_error: float
    distance: float
    floor: float


def compare_energies(
    u: Float[Tensor, "*rows"],
    mean: Mean,
    reference: Float[Tensor, "n"],
    walkers: int,
    log_w: Float[Tensor, "*rows"] | None = None,
) -> EnergyDistance | None:
    """Compare energies with those of reference frames; None where there are too few of these to be halved.

    Args:
        u: reduced energies of the samples, of the shape that `mean` averages; finite where they have weight.
        mean: average and standard error of the samples.
        reference: (n,) of reference frames, one walker after the other, in order of time.
        walkers: of the reference; they are halved, or the time of a single one is, so that the halves are independent.
        log_w: log weights of the samples, of the shape of u; None: all equal.
    """
    series = reference.double().cpu().reshape(walkers, -1)
    if series.numel() < 4:
        return None
    halves = (series[: walkers // 2], series[walkers // 2 :]) if walkers > 1 else series.chunk(2, 1)
    weights = None if log_w is None else log_w.flatten()
    flat = u.flatten()
    distances = [wasserstein(flat, half.flatten(), weights) for half in halves]
    floor = wasserstein(halves[0].flatten(), halves[1].flatten())
    return EnergyDistance(*mean(u), *mean_of_walkers(series.T), torch.tensor(distances).mean().item(), floor)
