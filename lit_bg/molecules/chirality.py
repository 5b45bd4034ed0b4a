"""Which configurations are of the other hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.molecules.structure import Structure

FLAT = 2e-4  # [nm^3] spanned by four substituents; those of a tetrahedron of bonds of 0.1 nm span five times as much


def stereocentres(structure: Structure) -> tuple[tuple[int, int, int, int], ...]:
    """Return the four substituents of every tetrahedral atom that are all different: CA of amino acids, CB of ILE and THR.

    A centre that lies flat in the topology file defines no hand and is left out.

    Substituents are alike when the bond graph with its elements looks the same from both (Morgan's refinement:
    the class of an atom is its element, and then again and again its class and those of its neighbours).

    References:
        Morgan, J. Chem. Doc. 5, 107 (1965), doi:10.1021/c160017a018.
    """
    classes = _numbered(list(structure.elements))
    while True:
        finer = _numbered([(classes[i], sorted(classes[j] for j in around)) for i, around in enumerate(structure.neighbours)])
        if max(finer) == max(classes):  # a refinement only ever splits classes
            break
        classes = finer
    found = [n for n in structure.neighbours if len(n) == 4 and len({classes[i] for i in n}) == 4]
    centres = tuple((n[0], n[1], n[2], n[3]) for n in found)
    if not centres:
        return ()
    volume = _volume(torch.from_numpy(structure.positions)[None], torch.tensor(centres))[0].abs()
    return tuple(four for four, v in zip(centres, volume.tolist(), strict=True) if v > FLAT)


def name_centres(structure: Structure, centres: tuple[tuple[int, int, int, int], ...]) -> tuple[str, ...]:
    """Return what to call stereocentres, such as "CA of ALA2", in the order of `stereocentres`."""
    middle = {frozenset(around): i for i, around in enumerate(structure.neighbours)}
    atoms = [middle[frozenset(four)] for four in centres]
    return tuple(f"{structure.names[i]} of {structure.residue_labels[structure.residue_of[i]]}" for i in atoms)


def is_mirrored(x: Tensor, structure: Structure) -> Tensor:
    r"""Whether any stereocentre has the other hand than in the topology file, (B, N, 3) -> (B,) bool.

    The hand is the sign of the volume that the four substituents span, $(r_1 - r_4) \times (r_2 - r_4) \cdot (r_3 - r_4)$.

    Internal and mixed coordinates keep the hand; a generator in Cartesian coordinates also makes mirror images, which a
    potential cannot tell apart (`lit_bg.molecules.folding`).
    """
    return (sides(x, structure, stereocentres(structure)) < 0).any(-1)


def sides(x: Tensor, structure: Structure, centres: tuple[tuple[int, int, int, int], ...]) -> Tensor:
    """For M centres, by the four atoms around each, 1 where they lie as in the topology file, -1 where mirrored, (B, M)."""
    atoms = torch.tensor(centres, dtype=torch.long, device=x.device).reshape(-1, 4)
    file = torch.from_numpy(structure.positions)[None].to(x.device, x.dtype)
    return (_volume(x, atoms) * _volume(file, atoms)).sign()


def _volume(x: Tensor, atoms: Tensor) -> Tensor:
    a, b, c, d = x[:, atoms.T].unbind(1)
    return (torch.linalg.cross(a - d, b - d) * (c - d)).sum(-1)


def _numbered(labels: list) -> list[int]:
    """Equal numbers for equal labels, 0, 1, 2, ..."""
    number = {str(label): n for n, label in enumerate(sorted({str(label) for label in labels}))}
    return [number[str(label)] for label in labels]
