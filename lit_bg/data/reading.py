"""Readers of configurations from files of other programs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.simulators.base import Trajectory

if TYPE_CHECKING:
    from lit_bg.molecules.structure import Structure

HDF5 = (".h5", ".hdf5", ".lh5")
NAMED = (".pdb", ".ent", ".gro")  # formats that name their atoms


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file, or the one of an npy file as `x`, in the byte order of this machine; nothing is executed.

    Raises:
        ValueError: not such a file, no array `x`, or one that holds no numbers.
    """
    arrays = read_archive(path)
    if "x" not in arrays:
        raise ValueError(f"{path} has no array `x` but {sorted(arrays)}: save configurations under the name x.")
    if arrays["x"].dtype.kind not in "fiu":
        raise ValueError(f"x in {path} has the type {arrays['x'].dtype}, which are no numbers: save coordinates as float32.")
    if "card" not in arrays:
        arrays["x"] = arrays["x"].astype(np.float32 if arrays["x"].dtype.itemsize <= 4 else np.float64)
    return {name: a.astype(a.dtype.newbyteorder("=")) for name, a in arrays.items()}


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read whatever arrays an npz file holds, or the one of an npy file as `x`; nothing is executed.

    Raises:
        ValueError: not such a file.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        return {"x": archive} if isinstance(archive, np.ndarray) else {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy raises whatever the damage suggests
        raise ValueError(f"{path} is no readable {path.suffix[1:]} file ({error}).") from error


def read_trajectory(path: Path, energy: Energy) -> Tensor:
    """Read frames of any MD format mdtraj reads, (T, N, 3) [nm]; the topology is that of the energy.

    Frames of files that name their atoms (PDB, GRO) are put into the order of the topology, and molecules that a periodic box
    has cut are made whole where the file has its cell.

    Raises:
        ValueError: an energy without a topology, another number of atoms or other names, or a file mdtraj cannot read.
    """
    structure = energy.structure
    if structure is None:
        raise ValueError(
            f"{path} is a molecular trajectory, and {type(energy).__name__} has no topology to read it with: "
            "give an npz file with an array `x`."
        )
    import mdtraj

    from lit_bg.molecules.writing import mdtraj_topology

    if path.suffix in HDF5 and importlib.util.find_spec("tables") is None:
        raise ValueError(f"{path} is an HDF5 file, which mdtraj reads with PyTables: pip install tables, or convert it to xtc.")
    topology = mdtraj_topology(structure)
    try:
        if path.suffix in NAMED:
            frames = _in_order(mdtraj.load(str(path), standard_names=False), structure, path)
            frames.topology = topology
        else:
            frames = mdtraj.load(str(path), top=topology)
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise _unreadable(path, energy, error) from error
    except Exception as error:  # one class per format
        raise _unreadable(path, energy, error) from error
    if frames.unitcell_vectors is not None and structure.bonds:
        frames = frames.make_molecules_whole()
    return torch.from_numpy(np.ascontiguousarray(frames.xyz))


def _unreadable(path: Path, energy: Energy, error: Exception) -> ValueError:
    return ValueError(f"mdtraj cannot read {path} with the {len(energy.space.types or ())} atoms of {energy.name} ({error}).")


def _in_order(frames: Any, structure: Structure, path: Path) -> Any:
    """Return frames with their atoms in the order of the topology, by residue and name.

    Raises:
        ValueError: another number of atoms, or a name that the other side does not have.
    """
    theirs = [(atom.residue.index, atom.name) for atom in frames.topology.atoms]
    ours = list(zip(structure.residue_of, structure.names, strict=True))
    if len(theirs) != len(ours):
        raise ValueError(f"{path} has {len(theirs)} atoms and the topology {len(ours)}: they must be of one molecule.")
    if len(set(ours)) < len(ours) or theirs == ours:
        return frames  # names that repeat order nothing
    place = {key: i for i, key in enumerate(theirs)}
    missing = next((key for key in ours if key not in place), None)
    if missing is not None:
        residue = structure.residue_labels[missing[0]]
        there = ", ".join(name for r, name in theirs if r == missing[0])
        raise ValueError(
            f"{path} has no atom {missing[1]} in residue {residue} (there: {there or 'no such residue'}): name its atoms as "
            "the topology does, or give frames in the order of the topology in a format without names (xtc, dcd, npz)."
        )
    return frames.atom_slice([place[key] for key in ours])


def as_trajectory(x: Tensor, energy: Energy, path: Path) -> Trajectory:
    """Return frames of one walker, or (T, W, ...) of several, as a trajectory of this system.

    Raises:
        ValueError: configurations of another shape, no frames, or frames that are not finite.
    """
    shape = energy.space.shape
    extra = x.ndim - len(shape)
    if extra not in (1, 2) or tuple(x.shape[extra:]) != shape:
        raise ValueError(
            f"{path} holds an array of shape {tuple(x.shape)}, but a frame of {type(energy).__name__} has shape {shape}"
            f"{' (atoms, 3)' if energy.space.types is not None else ''}: give (frames, {', '.join(map(str, shape))})."
        )
    if x.shape[0] == 0:
        raise ValueError(f"{path} holds no frames.")
    flat = x.reshape(-1, *shape)
    check_finite(flat, path)
    energy.check_configurations(flat)
    return Trajectory(x if extra == 2 else x[:, None], time_unit="frames")


def check_finite(x: Tensor, path: Path) -> None:
    """Refuse frames whose coordinates are not all finite.

    Raises:
        ValueError: NaN or infinite coordinates, with the number of frames and the first.
    """
    bad = torch.nonzero(~torch.isfinite(x).flatten(1).all(-1)).flatten()
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(x)} frames in {path} have coordinates that are NaN or infinite, the first is frame "
            f"{int(bad[0])}: remove them, or find out what went wrong before it."
        )
