"""Chirality: which configurations are mirror images of the right one."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.molecules.isomers import BondedComponent, bonded_components
from lit_bg.molecules.structure import NO_ELEMENT, Structure

FLAT = 2e-4  # [nm^3] spanned by four substituents; those of a tetrahedron of bonds of 0.1 nm span five times as much
PYRAMIDAL = ("P", "S", "As", "Se", "Sb", "Te")  # a lone pair is their fourth neighbour; unlike nitrogen they do not swing over

Corners = tuple[int, int, int, int]


class Chirality:
    r"""Knows the hand of every stereocentre of a molecule, as its topology file has it.

    The hand is the sign of the volume that the four substituents span, $(r_1 - r_4) \times (r_2 - r_4) \cdot (r_3 - r_4)$;
    of a pyramid (sulfoxides, phosphines) the atom itself is the fourth corner. It is read from the geometry alone, so that it
    means the same in peptides, sugars, nucleotides and anything else. A stereocentre is an atom whose other hand makes another
    molecule (`lit_bg.molecules.isomers`): CA of amino acids, CB of ILE and THR, carbons of sugars, thiophosphates. Centres that
    lie flat in the topology file define no hand, beads without an element and atoms of five or more neighbours have none.

    Exchanges of equivalent atoms are no matter of it: hydrogens of a methyl, methyls of valine. Nor is the mirror image of a
    molecule that has an inner mirror plane (a meso compound), which is the molecule itself with other labels.

    Attributes:
        centres: indices of the stereocentres, ascending within each molecule.
        corners: for each, the four atoms whose volume is its hand.
        names: for each, what to call it, such as "CA of ALA2".
    """

    def __init__(self, structure: Structure) -> None:
        corners = find_pyramids(structure)
        volume = dict(zip(corners, _file_volumes(structure, tuple(corners.values())), strict=True))
        self.centres: tuple[int, ...] = ()
        self._achiral: list[list[int]] = []  # columns of the centres of each molecule that is its own mirror image
        for atoms in bonded_components(structure):
            hands = {i: 1 if volume[a] > 0 else -1 for i, a in enumerate(atoms) if a in volume}
            if not hands:
                continue
            component = BondedComponent(structure, atoms)
            found = [atoms[i] for i in component.find_stereogenic(hands)]
            if found and component.is_achiral(hands):
                self._achiral.append(list(range(len(self.centres), len(self.centres) + len(found))))
            self.centres += tuple(found)
        self.corners: tuple[Corners, ...] = tuple(corners[c] for c in self.centres)
        self.names = _names(structure, self.centres)
        positive = torch.tensor([volume[c] > 0 for c in self.centres])
        self._on_device = {torch.device("cpu"): (torch.tensor(self.corners).reshape(-1, 4).long(), positive)}

    def find_wrong(self, x: Tensor) -> Tensor:
        """Say which stereocentres have another hand than in the topology file, (B, N, 3) -> (B, M) bool.

        What is flat or NaN has no hand, and is not of the other one.
        """
        if not self.centres:
            return torch.zeros(len(x), 0, dtype=torch.bool, device=x.device)
        if x.device not in self._on_device:  # a copy to a device costs more than what it is for
            corners, positive = self._on_device[torch.device("cpu")]
            self._on_device[x.device] = (corners.to(x.device), positive.to(x.device))
        corners, positive = self._on_device[x.device]
        volume = _volume(x, corners)
        wrong = torch.where(positive, volume < 0, volume > 0)
        for own in self._achiral:
            wrong[:, own] &= ~wrong[:, own].all(1, keepdim=True)
        return wrong

    def is_mirrored(self, x: Tensor) -> Tensor:
        """Say which configurations have a stereocentre of the other hand, (B, N, 3) -> (B,) bool."""
        return self.find_wrong(x).any(-1)


def find_pyramids(structure: Structure) -> dict[int, Corners]:
    """Return the four corners around every atom that no motion turns inside out: its neighbours, or three of them and itself.

    Those that lie flat in the topology file tell nothing and are left out.
    """
    found: dict[int, Corners] = {}
    for i, near in enumerate(structure.neighbours):
        element = structure.elements[i]
        if len(near) == 4 and element != NO_ELEMENT:
            found[i] = (near[0], near[1], near[2], near[3])
        elif len(near) == 3 and element in PYRAMIDAL:
            found[i] = (near[0], near[1], near[2], i)
    volume = _file_volumes(structure, tuple(found.values()))
    return {i: corners for (i, corners), v in zip(found.items(), volume, strict=True) if abs(v) > FLAT}


def is_mirrored(x: Tensor, structure: Structure) -> Tensor:
    """Say whether any stereocentre has the other hand than in the topology file (`Chirality`), (B, N, 3) -> (B,) bool.

    Internal and mixed coordinates keep the hand; a generator in Cartesian coordinates also makes mirror images, which a
    potential cannot tell apart (`lit_bg.molecules.folding`).
    """
    return Chirality(structure).is_mirrored(x)


def stereocentres(structure: Structure) -> tuple[Corners, ...]:
    """Return the four corners of every stereocentre (`Chirality`), its substituents."""
    return Chirality(structure).corners


def describe_hands(structure: Structure) -> dict[str, str]:
    """Return the hand of every stereocentre of the topology file by name, such as {"CA of THR2": "N, C, CB clockwise from HA"}.

    The centre is seen from its lightest neighbour (the first of equal ones), or from its lone pair; the others are named in the
    order of the file. Of L amino acids N, C and CB follow each other clockwise seen from HA.

    References:
        the CORN rule, IUPAC-IUB, Eur. J. Biochem. 138, 9 (1984), doi:10.1111/j.1432-1033.1984.tb07877.x, sees CO, R, N
        clockwise from H.
    """
    chirality = Chirality(structure)
    found = {}
    for name, atom, corners in zip(chirality.names, chirality.centres, chirality.corners, strict=True):
        pyramid = atom in corners
        eye = atom if pyramid else min(corners, key=lambda i: (structure.masses[i], i))
        a, b, c = sorted(i for i in corners if i != eye)
        (volume,) = _file_volumes(structure, ((a, b, c, eye),))
        sense = "clockwise" if volume > 0 else "anticlockwise"
        where = "its lone pair" if pyramid else structure.names[eye]
        found[name] = f"{', '.join(structure.names[i] for i in (a, b, c))} {sense} from {where}"
    return found


def sides(x: Tensor, structure: Structure, centres: tuple[Corners, ...]) -> Tensor:
    """Return 1 where the four atoms around a centre lie as in the topology file, -1 where they are mirrored, (B, M)."""
    atoms = torch.tensor(centres, dtype=torch.long, device=x.device).reshape(-1, 4)
    file = torch.from_numpy(structure.positions)[None].to(x.device, x.dtype)
    return (_volume(x, atoms) * _volume(file, atoms)).sign()


def _names(structure: Structure, atoms: tuple[int, ...]) -> tuple[str, ...]:
    """Return atom and residue, with the number of the atom where several have one name."""
    names = [f"{structure.names[i]} of {structure.residue_labels[structure.residue_of[i]]}" for i in atoms]
    return tuple(f"{n} (atom {i + 1})" if names.count(n) > 1 else n for i, n in zip(atoms, names, strict=True))


def _file_volumes(structure: Structure, corners: tuple[Corners, ...]) -> list[float]:
    atoms = torch.tensor(corners, dtype=torch.long).reshape(-1, 4)
    return [float(v) for v in _volume(torch.from_numpy(structure.positions)[None].double(), atoms)[0]]


def _volume(x: Tensor, atoms: Tensor) -> Tensor:
    a, b, c, d = x[:, atoms.T].unbind(1)
    return (torch.linalg.cross(a - d, b - d) * (c - d)).sum(-1)
