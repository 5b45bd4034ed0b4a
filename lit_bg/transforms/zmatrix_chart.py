"""The common part of charts of molecules, which place atoms one from another."""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor

from lit_bg.molecules.geometry import angle, arms, dihedral, distance, place, random_rotations, wrap
from lit_bg.molecules.structure import Structure
from lit_bg.molecules.zmatrix import Dihedral, ZMatrix
from lit_bg.spaces.domain import Domain, Kind
from lit_bg.transforms.base import Chart
from lit_bg.transforms.marginals import CircularMarginals
from lit_bg.transforms.placement import KINDS, Placement

if TYPE_CHECKING:
    from lit_bg.molecules.target import MolecularTarget

BOND_WIDTH = 0.004  # [nm], where the force field has no harmonic term for it
ANGLE_WIDTH = 0.08  # [rad]
PLANAR_WIDTH = 0.1  # [rad], impropers and rings of atoms with three neighbours at most
PUCKER_WIDTH = 0.4  # [rad], other rings
FRAMES_AT_ONCE = 4096  # a trajectory is measured in pieces


class ZMatrixChart(Chart):
    r"""Takes coordinates of a few atoms to start from, then bond, angle and dihedral of each further atom (`ZMatrix`).

    A subclass says which atoms start and what their coordinates are. The others are v = (bonds, angles,
    dihedrals): bonds, angles, impropers and torsions of small rings are linear, $z = (v - \bar v) / s$; torsions
    are circular, $u = (\phi - \phi_0) / \pi$ in [-1, 1), and z is u or $2F(u) - 1$ with the distribution function
    of the data. A standard normal z, uniform on the circles, therefore has Gaussian bonds and angles.

    The volume element of all 3N Cartesian coordinates is
    $d^{3N}x = d^3 r \; d\Omega \; J_0 \, dc \; \prod_i r_i^2 \sin\theta_i \; dv$
    with r the position of one atom, $d\Omega$ the rotations, of volume $8 \pi^2$, and $J_0 \, dc$ the shape that the
    starting atoms make. In an orthonormal basis that holds the centre of geometry $\bar x$,
    $d^{3N}x = N^{3/2} \, d^3\bar x \; d^{3N-3}y$, and $d^3 r = d^3\bar x$ at fixed shape and $\Omega$. A uniform orientation
    (`complete`) has density $1 / 8\pi^2$, therefore

    $\mathrm{ladj} = \log|d(c, v)/dz| + \log J_0 + \sum_i \log r_i^2 \sin\theta_i + \log 8\pi^2 - \tfrac{3}{2} \log N$

    and `log p(z) - ladj` is the density on the centre-of-mass-free subspace. Of a molecule in an external field position and
    orientation are coordinates, too, the first six (`Placement`), and the density is one on all 3N.

    A z beyond the range of its coordinate (bond below zero, angle outside (0, pi), a narrow dihedral more
    than pi from its mean) is no configuration: x is NaN there, so its energy is infinite and its weight
    zero, which keeps log q proper. More than ten standard deviations away, it is practically never met.
    """

    start: Tensor  # (M,) atoms
    bonds: Tensor  # (n, 2) atoms
    angles: Tensor  # (n, 3)
    rows: Tensor  # (R, 4) dihedrals as measured
    references: Tensor  # (3, R) what each atom is placed from, as numbers among the atoms at hand
    sibling: Tensor  # (R,) row whose torsion an improper is added to, -1: none
    order: Tensor  # (N,) where each atom stands among start and rows
    torsion: Tensor  # (D,) bool: a proper torsion, circular; D bonds, angles and dihedrals
    circular: Tensor  # columns that are
    mean: Tensor  # (D,) [nm], [rad]; of a torsion, the middle between its cuts
    scale: Tensor  # (D,)

    def __init__(self, torsions: Literal["uniform", "data"] = "uniform") -> None:
        super().__init__()
        if torsions not in ("uniform", "data"):
            raise ValueError(f"torsions={torsions}: the base of a torsion is 'uniform', or has the marginal of the 'data'.")
        self.torsions = torsions

    @abstractmethod
    def _zmatrix(self, structure: Structure) -> ZMatrix:
        """Return the atoms to start from, and how the others follow."""

    @abstractmethod
    def _shape(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates of the starting atoms that are not bonds and angles, with log|dz/dc| - log J_0."""

    @abstractmethod
    def _starting(self, z: Tensor, r: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the starting atoms (3, M, B) in a frame of their own, log|dc/dz| + log J_0, whether they exist."""

    def build(self, energy: MolecularTarget) -> Self:
        structure = energy.structure
        if structure is None:
            raise ValueError(
                f"{type(self).__name__} needs a molecule with bonds, and {type(energy).__name__}, {energy.space}, has none: "
                "leave the coordinates out, or use a generator for particles."
            )
        self.n_atoms, self.event_shape = structure.n_atoms, energy.space.shape
        z = self._zmatrix(structure)
        pairs, corners = self._frame_terms(z.start)
        pairs += [row[:2] for row in z.rows]
        corners += [row[:3] for row in z.rows]
        torsion = [False] * (len(pairs) + len(corners)) + [kind is Dihedral.TORSION for kind in z.kinds]
        row_of = {row[0]: n for n, row in enumerate(z.rows)}
        # an improper against a sibling is placed by the sum of both angles, so that a depth is one step
        sibling = [
            row_of.get(row[3], -1) if kind is Dihedral.IMPROPER else -1 for row, kind in zip(z.rows, z.kinds, strict=True)
        ]
        depths = sorted(set(z.depth))
        self.levels = [z.depth.index(d) for d in depths] + [len(z.rows)]
        placed = list(z.start) + [row[0] for row in z.rows]
        graph = {
            "start": torch.tensor(z.start),
            "bonds": torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
            "angles": torch.tensor(corners, dtype=torch.long).reshape(-1, 3),
            "rows": torch.tensor(z.rows, dtype=torch.long).reshape(-1, 4),
            "references": torch.tensor(_references(z, sibling, self.levels), dtype=torch.long).reshape(-1, 3).T.contiguous(),
            "sibling": torch.tensor(sibling, dtype=torch.long),
            "order": torch.tensor(placed).argsort(),
            "torsion": torch.tensor(torsion, dtype=torch.bool),
            "circular": torch.tensor([n for n, turns in enumerate(torsion) if turns], dtype=torch.long),
        }
        for name, value in graph.items():  # follows from the molecule, so no checkpoint needs it
            self.register_buffer(name, value, persistent=False)
        mean, scale = self._from_force_field(structure, energy.kT, z.kinds)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.marginals = CircularMarginals(len(self.circular)) if self.torsions == "data" else None
        self.placement = None if energy.space.centred else Placement(energy, z.start)
        return self

    def _frame_terms(self, start: tuple[int, ...]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Return bonds and angles among the starting atoms that are coordinates."""
        return [], []

    def _from_force_field(self, structure: Structure, kT: float, kinds: tuple[Dihedral, ...]) -> tuple[Tensor, Tensor]:
        """Return equilibrium values and thermal widths; what the force field does not say is taken from the file."""
        mean = self._values(torch.from_numpy(structure.positions)[None])[0]
        neighbours = torch.bincount(torch.tensor(structure.bonds).flatten(), minlength=structure.n_atoms)
        rings = torch.tensor([kind is Dihedral.RING for kind in kinds], dtype=torch.bool)
        puckers = rings & (neighbours[self.rows[:, 1:3]] > 3).any(-1)
        scale = torch.cat(
            [
                torch.full((len(self.bonds),), BOND_WIDTH),
                torch.full((len(self.angles),), ANGLE_WIDTH),
                torch.where(puckers, PUCKER_WIDTH, PLANAR_WIDTH),
            ]
        ).double()
        terms: list[tuple[float, float] | None] = []
        terms += [structure.harmonic_bonds.get((min(i, j), max(i, j))) for i, j in self.bonds.tolist()]
        terms += [structure.harmonic_angles.get((min(i, k), j, max(i, k))) for i, j, k in self.angles.tolist()]
        for n, term in enumerate(terms):
            if term is not None and term[1] > 0:
                mean[n], scale[n] = term[0], math.sqrt(kT / term[1])
        mean[self.torsion], scale[self.torsion] = 0.0, math.pi
        return mean.to(torch.get_default_dtype()), scale.to(torch.get_default_dtype())

    @property
    def domain(self) -> Domain:
        kinds = torch.where(self.torsion, int(Kind.CIRCULAR), int(Kind.LINEAR))
        free = 3 * self.n_atoms - 6 - len(kinds)
        placed = kinds.new_tensor(KINDS if self.placement is not None else [])
        return Domain.canonical(torch.cat([placed, kinds.new_full((free,), int(Kind.LINEAR)), kinds]))

    def adapt(self, x: Tensor) -> None:
        v = torch.cat([self._values(part.to(self.mean.dtype)) for part in x.split(FRAMES_AT_ONCE)])
        periodic = torch.arange(v.shape[1], device=v.device) >= len(self.bonds) + len(self.angles)
        centre = torch.where(periodic, torch.atan2(v.sin().mean(0), v.cos().mean(0)), v.mean(0))
        deviation = torch.where(periodic, wrap(v - centre), v - centre)
        # the average of wrapped deviations corrects the circular mean to the plain one of a narrow coordinate
        mean, std = centre + deviation.mean(0), deviation.std(0)
        turned = v[:, self.circular]
        mean[self.circular] = _emptiest(turned) + torch.pi
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(self.torsion, torch.pi, std.clamp(min=1e-4)))
        if self.placement is not None:
            self.placement.adapt(x)
        if self.marginals is not None:
            self.marginals.adapt(wrap(turned - self.mean[self.circular]) / torch.pi)

    def _values(self, x: Tensor) -> Tensor:
        """Return bonds [nm], angles and dihedrals [rad]: (B, N, 3) -> (B, D)."""
        return torch.cat([distance(x, self.bonds), angle(x, self.angles), dihedral(x, self.rows)], -1)

    def _log_measure(self, r: Tensor, theta: Tensor) -> Tensor:
        """Return log|dx/dz| of the internal part in the centre-of-mass-free measure, (B,)."""
        jacobian = 2 * r.abs().log().sum(-1) + theta.sin().abs().log().sum(-1)
        # of the rotations, and of pinning an atom instead of the centre of geometry
        return jacobian + math.log(8 * math.pi**2) - 1.5 * math.log(self.n_atoms) + self.scale.log().sum()

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape, ladj = self._shape(x)
        v = self._values(x)
        nb, na = len(self.bonds), len(self.angles)
        ladj = ladj - self._log_measure(v[:, :nb], v[:, nb : nb + na])
        deviation = v - self.mean
        z = torch.cat([deviation[:, : nb + na], wrap(deviation[:, nb + na :])], -1) / self.scale
        if self.marginals is not None:
            uniform, more = self.marginals.inverse(z[:, self.circular])
            z, ladj = z.index_copy(1, self.circular, uniform), ladj + more
        if self.placement is None:
            return torch.cat([shape, z], -1), ladj
        placed, more = self.placement.inverse(x)
        return torch.cat([placed, shape, z], -1), ladj + more

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        nb, na, nr = len(self.bonds), len(self.angles), len(self.rows)
        placed = z[:, : 6 if self.placement is not None else 0]
        shape, z = z[:, placed.shape[1] :].split([z.shape[1] - placed.shape[1] - nb - na - nr, nb + na + nr], 1)
        turned: Tensor | float = 0.0
        if self.marginals is not None:
            angles, turned = self.marginals(z[:, self.circular])
            z = z.index_copy(1, self.circular, angles)
        deviation = self.scale * z
        r, theta, phi = (self.mean + deviation).split([nb, na, nr], 1)
        narrow = ~self.torsion[nb + na :]
        off = (r <= 0).any(-1) | (theta <= 0).any(-1) | (theta >= torch.pi).any(-1)
        off = off | ((deviation[:, nb + na :].abs() > torch.pi) & narrow).any(-1)

        start, ladj, exists = self._starting(shape, r, theta)
        ladj = ladj + turned + self._log_measure(r, theta)
        phi = phi + torch.where(self.sibling >= 0, phi.index_select(1, self.sibling.clamp(min=0)), 0.0) if nr else phi
        x = self._place(start, r[:, nb - nr :].T, theta[:, na - nr :].T, phi.T)
        x = x - x.mean(1, keepdim=True)
        x = torch.where(off | ~exists, torch.nan, x).permute(2, 1, 0).contiguous()
        if self.placement is None:
            return x, ladj
        x, more = self.placement(placed, x)
        return x, ladj + more

    def _place(self, start: Tensor, r: Tensor, theta: Tensor, phi: Tensor) -> Tensor:
        """Return all atoms in the order of the topology, (3, N, B), from those of the start and r, theta, phi (R, B)."""
        arm = arms(r, theta, phi)
        blocks = [start]
        for first, end in pairwise(self.levels):
            at_hand = torch.cat([start, *blocks[1:][-3:]], 1)
            j, k, l = (at_hand.index_select(1, n) for n in self.references[:, first:end])  # noqa: E741
            blocks.append(place(j, k, l, arm[:, first:end]))
        return torch.cat(blocks, 1).index_select(1, self.order)

    def complete(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Turn every configuration by a uniform random rotation about its centre of geometry, where that is no coordinate."""
        return x if self.placement is not None else x @ random_rotations(len(x), rng, dtype=x.dtype).mT


def _references(z: ZMatrix, sibling: list[int], levels: list[int]) -> list[list[int]]:
    """Return j, k, l of every row, counted among the starting atoms and those of the last three levels.

    A torsion reaches back three bonds and no further, so the work of a level does not grow with the molecule.
    """
    found = []
    for depth, (first, end) in enumerate(pairwise(levels)):
        recent = [row[0] for row in z.rows[levels[max(depth - 3, 0)] : first]]
        number = {atom: n for n, atom in enumerate([*z.start, *recent])}
        for row, s in zip(z.rows[first:end], sibling[first:end], strict=True):
            # what the sibling is measured against is what the sum is measured against
            found.append([number[row[1]], number[row[2]], number[row[3] if s < 0 else z.rows[s][3]]])
    return found


def _emptiest(phi: Tensor, bins: int = 36) -> Tensor:
    """Return the middle of the bin with fewest angles (smoothed over neighbours), (B, M) -> (M,)."""
    k = ((phi + torch.pi) / (2 * torch.pi) * bins).long().clamp(0, bins - 1)
    counts = torch.zeros(bins, phi.shape[1], dtype=phi.dtype, device=phi.device)
    counts.scatter_add_(0, k, torch.ones_like(phi))
    smooth = counts + 0.5 * (counts.roll(1, 0) + counts.roll(-1, 0))
    return (smooth.argmin(0).to(phi.dtype) + 0.5) * (2 * torch.pi / bins) - torch.pi
