"""Configurations from files that others wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.samplers.base import Trajectory


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file; nothing in it is executed.

    Raises:
        ValueError: not an npz file with an array `x`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy raises whatever the damage suggests
        raise ValueError(f"{path} is no readable npz file ({error}).") from error
    if "x" not in arrays:
        raise ValueError(f"{path} has no array `x` but {sorted(arrays)}: save configurations under the name x.")
    return arrays


def read_trajectory(path: Path, energy: Energy) -> Tensor:
    """Frames of any MD format mdtraj reads, (T, N, 3) [nm]; the topology is that of the energy.

    Raises:
        ValueError: an energy without a topology, another number of atoms, or a file mdtraj cannot read.
    """
    structure = getattr(energy, "structure", None)
    if structure is None:
        raise ValueError(
            f"{path} is a molecular trajectory, and {type(energy).__name__} has no topology to read it with: "
            "give an npz file with an array `x`."
        )
    import mdtraj

    from lit_bg.molecules.writing import mdtraj_topology

    try:
        x = mdtraj.load(str(path), top=mdtraj_topology(structure)).xyz
    except Exception as error:  # one class per format
        raise ValueError(
            f"mdtraj cannot read {path} with the {energy.event_shape[0]} atoms of {energy.name} ({error})."
        ) from error
    return torch.from_numpy(np.ascontiguousarray(x))


def as_trajectory(x: Tensor, energy: Energy, path: Path) -> Trajectory:
    """Frames of one walker, or (T, W, ...) of several, as a trajectory of this system.

    Raises:
        ValueError: configurations of another shape, no frames, or frames that are not finite.
    """
    shape = energy.event_shape
    extra = x.ndim - len(shape)
    if extra not in (1, 2) or tuple(x.shape[extra:]) != shape:
        raise ValueError(
            f"{path} holds an array of shape {tuple(x.shape)}, but a frame of {type(energy).__name__} has shape {shape}"
            f"{' (atoms, 3)' if len(shape) == 2 else ''}: give (frames, {', '.join(map(str, shape))})."
        )
    if x.shape[0] == 0:
        raise ValueError(f"{path} holds no frames.")
    flat = x.reshape(-1, *shape)
    check_finite(flat, path)
    energy.check_configurations(flat)
    return Trajectory(x if extra == 2 else x[:, None], time_unit="frames")


def check_finite(x: Tensor, path: Path) -> None:
    """
    Raises:
        ValueError: NaN or infinite coordinates, with the number of frames and the first.
    """
    bad = torch.nonzero(~torch.isfinite(x).flatten(1).all(-1)).flatten()
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(x)} frames in {path} have coordinates that are NaN or infinite, the first is frame "
            f"{int(bad[0])}: remove them, or find out what went wrong before it."
        )
