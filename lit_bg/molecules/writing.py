"""Configurations as files that molecular viewers and MD programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lit_bg.files import atomic
from lit_bg.molecules.structure import NO_ELEMENT

if TYPE_CHECKING:
    from mdtraj import Topology, Trajectory

    from lit_bg.molecules.structure import Structure

FORMATS = (".pdb", ".xtc", ".dcd")


def mdtraj_topology(structure: Structure) -> Topology:
    """Convert the topology of a molecule to that of mdtraj."""
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    residues = [topology.add_residue(name, chain, resSeq=k + 1) for k, name in enumerate(structure.residues)]
    atoms = [
        topology.add_atom(name, _element(symbol), residues[r])
        for name, symbol, r in zip(structure.names, structure.elements, structure.residue_of, strict=True)
    ]
    for i, j in structure.bonds:
        topology.add_bond(atoms[i], atoms[j])
    return topology


def _element(symbol: str) -> Any:
    """Return what mdtraj calls an element; a bead without one is a virtual site to it."""
    import mdtraj

    return mdtraj.element.virtual if symbol == NO_ELEMENT else mdtraj.element.get_by_symbol(symbol)


def save_structures(structure: Structure, x: Tensor, path: str | Path) -> None:
    """Write configurations (B, N, 3) [nm] of a molecule as pdb, xtc or dcd, whole or not at all.

    xtc rounds to 1e-3 nm: good to look at, too coarse to evaluate energies from.

    Raises:
        ValueError: a suffix that is none of these, configurations of another shape, or NaN in one.
        OSError: the file does not fit on the disk.
    """
    import mdtraj

    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"configurations are written as {', '.join(FORMATS)} (or npz), not as '{path.suffix}'.")
    n = structure.n_atoms
    if x.ndim != 3 or x.shape[1:] != (n, 3):
        raise ValueError(f"a molecule of {n} atoms has configurations (B, {n}, 3), got {tuple(x.shape)}.")
    bad = int((~x.isfinite().all(-1).all(-1)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(x)} configurations are not finite: keep those with finite energy.")
    frames = mdtraj.Trajectory(x.detach().cpu().double().numpy(), mdtraj_topology(structure))
    with atomic(path) as temporary:
        if path.suffix == ".pdb":
            frames.save(str(temporary))
        else:
            _save_binary(frames, temporary, path)


def _save_binary(frames: Trajectory, temporary: Path, path: Path) -> None:
    """Write a file by C code, and check that it is there.

    mdtraj says RuntimeError or TypeError where a write fails, and nothing where the end of a file does.

    Raises:
        OSError: the file is not whole.
    """
    import mdtraj

    whole, cause = False, None
    try:
        frames.save(str(temporary))
        with mdtraj.open(str(temporary)) as file:
            whole = len(file.read()[0]) == len(frames)
    except (RuntimeError, TypeError, OSError, EOFError) as error:
        cause = error
    if not whole:
        raise OSError(f"'{path}' could not be written whole: make room on the disk.") from cause


def save_topology(structure: Structure, path: str | Path) -> None:
    """Write the names and bonds of a molecule as a PDB with which mdtraj opens its xtc and dcd files."""
    save_structures(structure, torch.from_numpy(structure.positions)[None], path)


def pdb_text(structure: Structure, x: Tensor) -> str:
    """Return one configuration (N, 3) [nm] as the text of a PDB file, with bonds."""
    s = structure
    lines = []
    for i, (a, b, c) in enumerate((10 * x.detach().double().cpu()).tolist()):
        name = s.names[i] if len(s.names[i]) > 3 or len(s.elements[i]) > 1 else f" {s.names[i]}"
        r = s.residue_of[i]
        lines.append(
            f"ATOM  {i + 1:5d} {name:<4s} {s.residues[r]:>3s} A{r + 1:4d}    {a:8.3f}{b:8.3f}{c:8.3f}  1.00  0.00"
            f"          {s.elements[i]:>2s}"
        )
    lines += [f"CONECT{i + 1:5d}{j + 1:5d}" for i, j in s.bonds]
    return "\n".join([*lines, "END", ""])
