"""Frames of one system at several temperatures, weighted to one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lit_bg.data.dataset import Dataset
from lit_bg.estimators.multistate import MOST_SAMPLES, mbar, mbar_log_weights


def pool_temperatures(sets: Sequence[Dataset]) -> tuple[Dataset, Tensor]:
    r"""Join frames of several temperatures and weigh them to the first, by MBAR.

    $w_n \propto e^{-u_1(x_n)} / \sum_k N_k e^{f_k - u_k(x_n)}$ with $u_k = U / kT_k$. A state that is rare at the first
    temperature is often less so at a higher one, whose frames then say how it looks, as far as both overlap.

    Args:
        sets: of one system, the first at the temperature that is asked for; energies are those of each one's own.

    Returns:
        all frames, with energies and the card of the first, and their weights, (n,) float64 of sum one.

    Raises:
        ValueError: temperatures that do not overlap.

    References:
        Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008), doi:10.1063/1.2978177.
    """
    first = sets[0]
    kT = torch.tensor([data.card["kT"] for data in sets], dtype=torch.float64)
    U = torch.cat([data.u.double() * own for data, own in zip(sets, kT, strict=True)])
    u = U / kT[:, None]
    every = max(1, math.ceil(len(U) / MOST_SAMPLES))
    start, few = 0, []
    for data in sets:  # evenly over each: frames close in time say the same
        few.append(torch.arange(start, start + len(data), every))
        start += len(data)
    f = mbar(u[:, torch.cat(few)], torch.tensor([len(part) for part in few]))
    log_w = mbar_log_weights(u, u[0], torch.tensor([len(data) for data in sets]), f)
    x, walker, frame = (torch.cat([getattr(data, name) for data in sets]) for name in ("x", "walker", "frame"))
    return replace(first, x=x, u=u[0].to(first.u.dtype), walker=walker, frame=frame), log_w.softmax(0)
