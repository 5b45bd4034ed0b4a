"""Bonds, angles and torsions of a molecule."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.molecules.structure import Structure
from lit_bg.molecules.zmatrix import ZMatrix
from lit_bg.transforms.zmatrix_chart import ZMatrixChart


class InternalCoordinates(ZMatrixChart):
    r"""Uses bonds, angles and torsions along a Z-matrix made from the bonds of the molecule.

    3N - 6 coordinates: bonds, angles, impropers and torsions of small rings are linear, all other torsions
    circular (see `ZMatrix` for which is which; it depends on the bond graph alone). Impropers are narrow
    and keep their sign, so chirality and the labels of equivalent hydrogens are those of the topology file:
    a flow in these coordinates covers one enantiomer, and its log Z is that of this enantiomer. (What
    generators in Cartesian coordinates propose is sorted by `lit_bg.molecules.chirality.is_mirrored`.)

    Scales come from the force field ($s = \sqrt{kT / k}$) until `adapt` takes them from data, which also
    moves the cut $\phi_0 \pm \pi$ of each torsion to where there are fewest data.

    The atoms to start from are b, in the middle, and its neighbours a and c, with the bonds b-a and b-c and
    the angle c-b-a among the coordinates: $J_0 = r_a^2 \, r_c^2 \sin\theta_c$ in the measure of `ZMatrixChart`.

    Args:
        torsions: the base of the torsions: "uniform", or the marginals of the "data" (uniform without data),
            which leaves a flow only what torsions have to do with each other.

    Raises:
        ValueError: from `build`, when the energy has no bonds, or they do not make one molecule, or three
            atoms lie on a line.

    References:
        Parsons, Holmes, Rojas, Tsai, Strauss, J. Comput. Chem. 26, 1063 (2005), doi:10.1002/jcc.20237,
        for the placement; Go, Scheraga, Macromolecules 9, 535 (1976), doi:10.1021/ma60052a001, for J.
    """

    def _zmatrix(self, structure: Structure) -> ZMatrix:
        return ZMatrix.of(structure)

    def _frame_terms(self, start: tuple[int, ...]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        b, a, c = start
        return [(a, b), (c, b)], [(c, b, a)]

    def _shape(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_zeros(len(x), 0), x.new_zeros(len(x))

    def _starting(self, z: Tensor, r: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        zero = torch.zeros_like(r[:, 0])
        c = [r[:, 1] * theta[:, 0].sin(), zero, r[:, 1] * theta[:, 0].cos()]
        x = torch.stack([zero, zero, c[0], zero, zero, c[1], zero, r[:, 0], c[2]]).reshape(3, 3, -1)
        return x, zero, torch.ones_like(zero, dtype=torch.bool)
