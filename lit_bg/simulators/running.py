"""The running state of a simulation, and what is kept of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Kernel
from lit_bg.simulators.packing import pack, pack_extra, with_prefix


class Running(NamedTuple):
    """Holds everything that changes while a simulation runs."""

    kernel: Kernel[Any]
    state: Any
    measured: dict[str, Tensor]  # sums over production
    move: int
    seconds: float
    paid: tuple[int, int] = (0, 0)  # energies, and gradients, with all that was done before it was interrupted


def record(energy: Energy, now: Running) -> dict[str, Tensor]:
    """Return everything that a simulation needs to go on."""
    return {
        **with_prefix("state", pack(now.state)),
        **with_prefix("memory", now.kernel.memory()),
        **with_prefix("measured", now.measured),
        "x": now.state.x,
        "u": now.state.u,
        "step": torch.tensor(now.move),
        "seconds": torch.tensor(now.seconds, dtype=torch.float64),
        "paid": torch.tensor(now.paid),
        "energy": pack_extra(energy),
    }


def check_state(packed: dict[str, Tensor], kernel: Kernel[Any], move: int) -> None:
    """Refuse to go on with walkers that have blown up.

    Raises:
        ValueError: walkers whose energy is not finite.
    """
    u = packed["rows.u"] if "rows.u" in packed else packed["u"]
    fine = torch.isfinite(u)
    if not fine.all():
        bad = torch.nonzero(~fine).flatten()
        raise ValueError(
            f"{len(bad)} of {len(u)} walkers blew up (walker {int(bad[0])} is the first) before step {move}: {kernel.advice}."
        )
