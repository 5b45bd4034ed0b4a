"""Samples of a system from a file: weighted draws, frames of walkers, or populations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_bg.data.dataset import Dataset, check_energies
from lit_bg.data.reading import read_arrays
from lit_bg.energies.base import Energy
from lit_bg.samples import Chains, Populations, Samples

COMPARED = 100  # configurations whose energy is evaluated again


def read_samples(path: str | Path, energy: Energy) -> Samples | Chains | Populations:
    """Read samples of a system with what reweighting needs.

    What they are follows from the arrays: x, log_q and u are weighted draws, as `python -m lit_bg.sample` writes them; x,
    log_w, u and ancestor populations; anything else reference data, by `python -m lit_bg.simulate` or in any MD format, frames
    of walkers in order of time.

    Args:
        path: file to read.
        energy: the system, at the temperature of the samples.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, of another shape, or with energies that are not those of the system at its temperature.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}': write it with `python -m lit_bg.sample`, or leave out --samples.")
    arrays = read_arrays(path) if path.suffix == ".npz" else {}
    if not arrays.keys() & {"log_q", "log_w"}:
        data = Dataset.load(path, energy)
        order = data.series(torch.arange(len(data)))
        return Chains(data.x[order.flatten()].reshape(*order.shape, *data.x.shape[1:]), data.series(data.u))
    drawn = "log_q" in arrays
    names = ("log_q", "u") if drawn else ("log_w", "u", "ancestor")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(
            f"{path} has no array {' and '.join(missing)} but {sorted(arrays)}: draw with `python -m lit_bg.sample`."
        )
    found = {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in ("x", *names)}
    x, leading = found["x"], found["u"].shape
    if (
        x.shape[len(leading) :] != energy.space.shape
        or len(leading) != (1 if drawn else 2)
        or x.shape[: len(leading)] != leading
    ):
        raise ValueError(
            f"{path} holds x of shape {tuple(x.shape)} and u of shape {tuple(leading)}, and {type(energy).__name__} takes "
            f"configurations of shape {tuple(energy.space.shape)}: draw from a run of this system."
        )
    for name in names:
        if found[name].shape != leading:
            raise ValueError(
                f"{name} in {path} has the shape {tuple(found[name].shape)}, and must have that of u, {tuple(leading)}."
            )
    _compare(x.reshape(-1, *energy.space.shape), found["u"].flatten(), energy, path)
    if drawn:
        return Samples(x, found["log_q"], found["u"])
    return Populations(x, found["log_w"], found["u"], found["ancestor"].long())


def _compare(x: Tensor, u: Tensor, energy: Energy, path: Path) -> None:
    """Look at the lowest energies: clashes are huge, and rounding with them."""
    lowest = torch.where(torch.isfinite(u), u, torch.inf).argsort()[: min(COMPARED, int(torch.isfinite(u).sum()))]
    if len(lowest):
        check_energies(x[lowest].to(energy.device), u[lowest].to(energy.device), energy, str(path))
