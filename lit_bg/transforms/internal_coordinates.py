"""Bonds, angles and torsions of a molecule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.molecules.geometry import angle, dihedral, distance, place, random_rotations, wrap
from lit_bg.molecules.structure import Structure
from lit_bg.molecules.zmatrix import ZMatrix
from lit_bg.transforms.base import Chart
from lit_bg.transforms.domain import Domain, Kind

if TYPE_CHECKING:
    from lit_bg.energies.base import Energy

BOND_WIDTH = 0.004  # [nm], where the force field has no harmonic term for it
ANGLE_WIDTH = 0.08  # [rad]
IMPROPER_WIDTH = 0.1  # [rad]


class InternalCoordinates(Chart):
    r"""Bonds, angles and torsions along a Z-matrix made from the bonds of the molecule.

    3N - 6 coordinates z: bonds, angles and improper dihedrals are linear, $z = (v - \bar v) / s$; proper
    torsions are circular, $z = (\phi - \phi_0) / \pi$ in [-1, 1) (see `ZMatrix` for which is which; it
    depends on the bond graph alone). Impropers are narrow and keep their sign, so chirality and the
    labels of equivalent hydrogens are those of the topology file: a flow in these coordinates covers one
    enantiomer, and its log Z is that of this enantiomer.

    Scales come from the force field ($s = \sqrt{kT / k}$) until `adapt` takes them from data, which also
    moves the cut $\phi_0 \pm \pi$ of each torsion to where there are fewest data.

    Reference measure. Let x place the root at the origin and the next two atoms in a fixed frame. All
    3N Cartesian coordinates then are

    $d^{3N}x = d^3 r \; d\Omega \; J(v) \, dv, \quad J = r_a^2 \; r_c^2 \sin\theta_c \prod_i r_i^2 \sin\theta_i,$

    with r the position of the root and $d\Omega$ the rotations, of volume $8 \pi^2$. In an orthonormal basis that
    holds the centre of geometry $\bar x$, $d^{3N}x = N^{3/2} \, d^3\bar x \; d^{3N-3}y$, and
    $d^3 r = d^3\bar x$ at fixed v and $\Omega$. A uniform orientation (`complete`) has density $1 / 8\pi^2$, therefore

    $\mathrm{ladj} = \log|dv/dz| + \log J + \log 8\pi^2 - \tfrac{3}{2} \log N$

    and `log p(z) - ladj` is the density on the centre-of-mass-free subspace.

    A z beyond the range of its coordinate (bond below zero, angle outside (0, pi), an improper more than
    pi from its mean) is no configuration: x is NaN there, so its energy is infinite and its weight zero,
    which keeps log q proper. More than ten standard deviations away, it is practically never met.

    Raises:
        ValueError: from `build`, when the energy has no bonds, or they do not make one molecule.

    References:
        Parsons, Holmes, Rojas, Tsai, Strauss, J. Comput. Chem. 26, 1063 (2005), doi:10.1002/jcc.20237,
        for the placement; Go, Scheraga, Macromolecules 9, 535 (1976), doi:10.1021/ma60052a001, for J.
    """

    frame: Tensor  # (3,) root and its two neighbours
    bonds: Tensor  # (N - 1, 2) atoms
    angles: Tensor  # (N - 2, 3)
    rows: Tensor  # (N - 3, 4) dihedrals as measured
    anchor: Tensor  # (N - 3,) fourth atom of the dihedral as placed
    sibling: Tensor  # (N - 3,) row whose torsion an improper is added to, -1: none
    torsion: Tensor  # (3N - 6,) bool: a proper torsion, circular
    mean: Tensor  # (3N - 6,) [nm], [rad]; of a torsion, the middle between its cuts
    scale: Tensor  # (3N - 6,)

    def build(self, energy: Energy) -> Self:
        structure = getattr(energy, "structure", None)
        if not isinstance(structure, Structure):
            raise ValueError(
                f"InternalCoordinates needs a molecule with bonds, "
                f"{type(energy).__name__}{energy.event_shape} has none: "
                "leave the coordinates out, or use a generator for particles."
            )
        z = ZMatrix.of(structure)
        self.event_shape = (structure.n_atoms, 3)
        b, a, c = z.frame
        pairs = [(a, b), (c, b)] + [row[:2] for row in z.rows]
        angles = [(c, b, a)] + [row[:3] for row in z.rows]
        self.levels = [z.depth.index(d) for d in sorted(set(z.depth))] + [len(z.rows)]  # depths are sorted
        # torsion of the first atom around the same bond, which an improper is added to; -1: nothing to add
        row_of = {row[0]: k for k, row in enumerate(z.rows)}
        sibling = [-1 if p else row_of.get(row[3], -1) for row, p in zip(z.rows, z.proper, strict=True)]
        # what the torsion of that first atom is measured against is what the sum is measured against
        anchor = [row[3] if s < 0 else z.rows[s][3] for row, s in zip(z.rows, sibling, strict=True)]
        torsion = [False] * (len(pairs) + len(angles)) + list(z.proper)
        graph = {
            "frame": torch.tensor(z.frame),
            "bonds": torch.tensor(pairs),
            "angles": torch.tensor(angles),
            "rows": torch.tensor(z.rows, dtype=torch.long).reshape(-1, 4),
            "anchor": torch.tensor(anchor, dtype=torch.long),
            "sibling": torch.tensor(sibling, dtype=torch.long),
            "torsion": torch.tensor(torsion),
        }
        for name, value in graph.items():  # follows from the molecule, so no checkpoint needs it
            self.register_buffer(name, value, persistent=False)
        mean, scale = self._from_force_field(structure, energy.kT)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        return self

    def _from_force_field(self, structure: Structure, kT: float) -> tuple[Tensor, Tensor]:
        """Equilibrium values and thermal widths; what the force field does not say is taken from the file."""
        mean = self._values(torch.from_numpy(structure.positions)[None])[0]
        scale = torch.cat(
            [
                torch.full((len(self.bonds),), BOND_WIDTH),
                torch.full((len(self.angles),), ANGLE_WIDTH),
                torch.full((len(self.rows),), IMPROPER_WIDTH),
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
        return Domain.canonical(torch.where(self.torsion, int(Kind.CIRCULAR), int(Kind.LINEAR)))

    def adapt(self, x: Tensor) -> None:
        v = self._values(x.to(self.mean.dtype))
        periodic = torch.arange(v.shape[1], device=v.device) >= len(self.bonds) + len(self.angles)
        centre = torch.where(periodic, torch.atan2(v.sin().mean(0), v.cos().mean(0)), v.mean(0))
        deviation = torch.where(periodic, wrap(v - centre), v - centre)
        # the average of wrapped deviations corrects the circular mean to the plain one of a narrow coordinate
        mean, std = centre + deviation.mean(0), deviation.std(0)
        self.mean.copy_(torch.where(self.torsion, _emptiest(v) + torch.pi, mean))
        self.scale.copy_(torch.where(self.torsion, torch.pi, std.clamp(min=1e-4)))

    def _values(self, x: Tensor) -> Tensor:
        """Bonds [nm], angles and dihedrals [rad]: (B, N, 3) -> (B, 3N - 6)."""
        return torch.cat([distance(x, self.bonds), angle(x, self.angles), dihedral(x, self.rows)], -1)

    def _log_measure(self, r: Tensor, theta: Tensor) -> Tensor:
        """log|dx/dv| in the centre-of-mass-free measure, (B,)."""
        jacobian = 2 * r.abs().log().sum(-1) + theta.sin().abs().log().sum(-1)
        # of the pinned frame, the rotations, and pinning an atom instead of the centre of geometry
        return jacobian + math.log(8 * math.pi**2) - 1.5 * math.log(self.event_shape[0]) + self.scale.log().sum()

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v = self._values(x)
        nb, na = len(self.bonds), len(self.angles)
        ladj = -self._log_measure(v[:, :nb], v[:, nb : nb + na])
        deviation = v - self.mean
        deviation = torch.cat([deviation[:, : nb + na], wrap(deviation[:, nb + na :])], -1)
        return deviation / self.scale, ladj

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        nb, na = len(self.bonds), len(self.angles)
        deviation = self.scale * z
        v = self.mean + deviation
        r, theta, phi = v[:, :nb], v[:, nb : nb + na], v[:, nb + na :]
        # Impropers are angles from a sibling about the same axis, so torsions add up and a depth is one step.
        phi = phi + torch.where(self.sibling >= 0, phi[:, self.sibling], 0.0)

        zero = torch.zeros_like(r[:, 0])
        at_a = torch.stack([zero, zero, r[:, 0]], -1)
        at_c = torch.stack([r[:, 1] * theta[:, 0].sin(), zero, r[:, 1] * theta[:, 0].cos()], -1)
        x = torch.zeros(len(z), *self.event_shape, dtype=z.dtype, device=z.device)
        x = x.index_copy(1, self.frame, torch.stack([torch.zeros_like(at_a), at_a, at_c], 1))
        for start, end in zip(self.levels[:-1], self.levels[1:], strict=True):
            i, j, k, _ = self.rows[start:end].unbind(-1)
            new = place(
                x[:, j], x[:, k], x[:, self.anchor[start:end]],
                r[:, start + 2 : end + 2], theta[:, start + 1 : end + 1], phi[:, start:end],
            )  # fmt: skip
            x = x.index_copy(1, i, new)
        x = x - x.mean(1, keepdim=True)

        linear = ~self.torsion[nb + na :]
        off = (r <= 0).any(-1) | (theta <= 0).any(-1) | (theta >= torch.pi).any(-1)
        off = off | ((deviation[:, nb + na :].abs() > torch.pi) & linear).any(-1)
        x = torch.where(off[:, None, None], torch.nan, x)
        return x, self._log_measure(r, theta)

    def complete(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Turn every configuration by a uniform random rotation about its centre of geometry."""
        return x @ random_rotations(len(x), rng, dtype=x.dtype).mT


def _emptiest(phi: Tensor, bins: int = 36) -> Tensor:
    """Middle of the bin with fewest angles (smoothed over neighbours), (B, M) -> (M,)."""
    k = ((phi + torch.pi) / (2 * torch.pi) * bins).long().clamp(0, bins - 1)
    counts = torch.zeros(bins, phi.shape[1], dtype=phi.dtype, device=phi.device)
    counts.scatter_add_(0, k, torch.ones_like(phi))
    smooth = counts + 0.5 * (counts.roll(1, 0) + counts.roll(-1, 0))
    return (smooth.argmin(0).to(phi.dtype) + 0.5) * (2 * torch.pi / bins) - torch.pi
