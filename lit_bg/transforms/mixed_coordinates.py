"""Cartesian coordinates of a backbone, internal coordinates of what hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lit_bg.molecules.structure import Structure
from lit_bg.molecules.zmatrix import ZMatrix
from lit_bg.transforms.whitening import Whitening
from lit_bg.transforms.zmatrix_chart import ZMatrixChart

if TYPE_CHECKING:
    from lit_bg.molecules.target import MolecularTarget

ANCHOR_WIDTH = 0.02  # [nm], until there are data


class MixedCoordinates(ZMatrixChart):
    r"""Combines whitened Cartesian coordinates of M anchors, bonds, angles and torsions of all other atoms.

    In a folded protein a torsion of the backbone moves half the molecule, so internal coordinates turn small
    errors into clashes far away. Here the backbone keeps its Cartesian coordinates, and only what hangs on it,
    mostly side chains and hydrogens, is placed by a Z-matrix. Chirality and hydrogen labels are kept as in
    `InternalCoordinates`, because what hangs on an anchor does so by narrow impropers.

    Coordinates of the anchors. The frame is pinned to three of them: a is the origin, b lies on the z axis,
    c in the half plane x > 0 of the xz plane. What is left is $c = (r_{ab}, z_c, \rho_c, y_4, \dots, y_M)$,
    3M - 6 numbers with

    $d^{3M}x = d^3 r_a \; d\Omega \; J_0 \, dc, \quad J_0 = r_{ab}^2 \, \rho_c,$

    and $c = \mu + V \sigma z$ with the principal components V of the data, all of which are kept (`Whitening`).
    Superposing every configuration on a reference, as in the reference below, has smaller lever arms, but the
    superposed coordinates have six constraints of rank that the map itself makes: its volume element is
    not that of the 3M coordinates, and log q not exact. The pinned frame is exact; a, b and c are far apart, so that
    the motion of one turns the others little, and in the inner half of the anchors, which moves least.

    Before data, mu is the topology file and sigma 0.02 nm in every direction. The anchors should not unfold:
    for peptides that do, `InternalCoordinates` is better.

    Args:
        anchors: "backbone" (N, CA, C of peptides, and CB, SG of disulfide bridges, whose cycles otherwise close badly),
            or names of atoms ("CA") or of atoms in residues ("CYX:SG").
        torsions: the base of the torsions, as in `InternalCoordinates`.

    Raises:
        ValueError: from `build`, when there are no bonds, fewer than three anchors or all on a line, a name that no atom
            has, atoms that hang on no anchor or on a group of fewer than three; from `adapt`, when the data have fewer
            frames than anchors have coordinates.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147, for BPTI.
    """

    def __init__(
        self, anchors: Literal["backbone"] | list[str] = "backbone", torsions: Literal["uniform", "data"] = "uniform"
    ) -> None:
        super().__init__(torsions)
        self.anchors = anchors

    def build(self, energy: MolecularTarget) -> Self:
        super().build(energy)
        positions = torch.from_numpy(energy.structure.positions)[None]  # type: ignore[union-attr]
        mean = self._pinned(positions)[0].to(torch.get_default_dtype())
        self.whitening = Whitening().start(mean, torch.full_like(mean, ANCHOR_WIDTH))
        return self

    def adapt(self, x: Tensor) -> None:
        self.whitening.adapt(self._pinned(x))
        super().adapt(x)

    def _zmatrix(self, structure: Structure) -> ZMatrix:
        chosen = _backbone(structure) if self.anchors == "backbone" else _named(structure, self.anchors)
        if len(chosen) < 3:
            raise ValueError(
                f"MixedCoordinates needs at least three anchors, anchors={self.anchors} are {len(chosen)} atoms: "
                "name other atoms, or use InternalCoordinates."
            )
        frame = _far_apart(structure.positions, chosen)
        return ZMatrix.of(structure, [*frame, *(i for i in chosen if i not in frame)])

    def _pinned(self, x: Tensor) -> Tensor:
        """Return (r_ab, z_c, rho_c, y_4 ... y_M), (B, 3M - 6) [nm]."""
        y = x[:, self.start[1:]] - x[:, self.start[:1]]
        r = torch.linalg.vector_norm(y[:, 0], dim=-1)
        e_z = normalize(y[:, 0], dim=-1)
        z_c = (y[:, 1] * e_z).sum(-1)
        across = y[:, 1] - z_c[:, None] * e_z
        e_x = normalize(across, dim=-1)
        axes = torch.stack([e_x, torch.linalg.cross(e_z, e_x), e_z], -1)
        return torch.cat(
            [torch.stack([r, z_c, torch.linalg.vector_norm(across, dim=-1)], -1), (y[:, 2:] @ axes).flatten(1)], -1
        )

    def _shape(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c = self._pinned(x)
        z, ladj = self.whitening.inverse(c)
        return z, ladj - _log_volume(c)

    def _starting(self, z: Tensor, r: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c, ladj = self.whitening(z)
        zero = torch.zeros_like(c[:, 0])
        frame = torch.stack([zero, zero, zero, zero, zero, c[:, 0], c[:, 2], zero, c[:, 1]], -1)
        x = torch.cat([frame, c[:, 3:]], -1).reshape(len(z), -1, 3)
        return x.permute(2, 1, 0), ladj + _log_volume(c), (c[:, 0] > 0) & (c[:, 2] > 0)


def _log_volume(c: Tensor) -> Tensor:
    """Return log J_0."""
    return 2 * c[:, 0].abs().log() + c[:, 2].abs().log()


def _backbone(structure: Structure) -> list[int]:
    """Return N, CA and C of every peptide, and CB, SG of every disulfide bridge."""
    atoms = {i for torsion in structure.backbone_torsions.values() for i in torsion}
    bridges = [(i, j) for i, j in structure.bonds if structure.elements[i] == structure.elements[j] == "S"]
    for sulfur in (i for bridge in bridges for i in bridge):
        beta = structure.atom(structure.residue_of[sulfur], "CB")
        atoms |= {sulfur} if beta is None else {sulfur, beta}
    return sorted(atoms)


def _named(structure: Structure, selections: Sequence[str]) -> list[int]:
    """Return the atoms of the given names; "RESIDUE:NAME" only in residues of that name."""
    atoms: set[int] = set()
    for selection in selections:
        residue, _, name = selection.rpartition(":")
        found = {
            i
            for i, own in enumerate(structure.names)
            if own == name and residue in ("", structure.residues[structure.residue_of[i]])
        }
        if not found:
            raise ValueError(
                f"no atom is called '{selection}': an anchor is the name of atoms ('CA'), or 'RESIDUE:NAME' ('CYX:SG')."
            )
        atoms |= found
    return sorted(atoms)


def _far_apart(positions: np.ndarray, anchors: list[int]) -> tuple[int, int, int]:
    """Return three anchors to pin the frame to, of the half nearest to the middle: chain ends move most."""
    x = positions[anchors] - positions[anchors].mean(0)
    inner = np.argsort((x**2).sum(-1), kind="stable")[: max(3, len(anchors) // 2)]
    y = x[inner]
    a = int((y**2).sum(-1).argmax())
    b = int(((y - y[a]) ** 2).sum(-1).argmax())
    off_line = np.linalg.norm(np.cross(y - y[a], y[b] - y[a]), axis=-1) / max(np.linalg.norm(y[b] - y[a]), 1e-9)
    c = int(off_line.argmax())
    if not off_line[c] > 0.02:
        raise ValueError(
            f"the anchors lie within {off_line[c]:.3f} nm of a line and fix no orientation: name others, or use "
            "InternalCoordinates."
        )
    return anchors[inner[a]], anchors[inner[b]], anchors[inner[c]]
