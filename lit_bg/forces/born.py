"""Generalised Born solvation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, total
from lit_bg.forces.unordered_pairs import Pairs


class Neck(NamedTuple):
    """Holds what the neck between two atoms, where no water fits, adds to the integral of the first, (N, N)."""

    reach: Tensor  # up to which distance [nm]
    depth: Tensor  # [1/nm]
    distance: Tensor  # where it is deepest [nm]


NO_NECK: dict[str, Tensor | None] = {"reach": None, "depth": None, "distance": None}


class Born(Force):
    r"""Solvates charges: $U = C \left[\tfrac12 \sum_i q_i^2 / R_i + \sum_{i<j} q_i q_j / f_{ij}\right] + \sum_i s_i / R_i^6$.

    Here $f^2 = r^2 + R_i R_j e^{-r^2 / 4 R_i R_j}$, with the Born radii R of the atoms' surroundings.

    The integral of an atom sums what every other takes from its surroundings, a sphere of radius $s_j$ at distance r outside
    of one of radius $o_i$, with $l = \max(|r - s_j|, o_i)$, $u = r + s_j$, where $u > o_i$:

    $2 I_{ij} = \frac1l - \frac1u + \frac14 \left(r - \frac{s_j^2}{r}\right)\left(\frac1{u^2} - \frac1{l^2}\right)
    + \frac{1}{2r} \ln\frac{l}{u}$, and $2 (1/o_i - 1/l)$ more where the other sphere holds all of this one (`swallows`);
    with necks (GBn) also $m / (1 + 100 (r - d)^2 + 3 \cdot 10^5 (r - d)^6)$.

    Then $\psi = o_i I_i$ and $1 / R_i = 1 / o_i - \tanh(\alpha\psi - \beta\psi^2 + \gamma\psi^3) / \rho_i$. HCT is without the
    tangent (`saturates` is false), $1 / R_i = 1 / o_i - I_i$.

    In the derivative what comes of l, u and the swallowed term cancels, so that it is the same in every branch,
    $2 I' = \frac14 \left(1 + \frac{s^2}{r^2}\right)\left(\frac1{u^2} - \frac1{l^2}\right) - \frac{1}{2r^2} \ln\frac{l}{u}$;
    only where the other sphere holds all of this one and the model does not say so, $2 / l^2$ is left.

    Args:
        charges: q, (N,) [e].
        reduced: o, (N,) [nm], radii less an offset.
        scaled: s, (N,) [nm].
        radius: rho, (N,) [nm].
        coefficients: alpha, beta, gamma, (3, N).
        constant: C [kJ/mol nm / e^2], negative in water.
        surface: s_i of the last sum, (N,) [kJ/mol nm^6].
        cutoff: of both pair sums [nm]; None: none.
        shift: that is taken from 1 / f of pairs within the cutoff [1/nm].
        swallows, saturates: see above.
        neck: see above.

    References:
        Hawkins, Cramer, Truhlar, Chem. Phys. Lett. 246, 122 (1995), doi:10.1016/0009-2614(95)01082-K.
        Onufriev, Bashford, Case, Proteins 55, 383 (2004), doi:10.1002/prot.20033.
        Mongan, Simmerling, McCammon, Case, Onufriev, J. Chem. Theory Comput. 3, 156 (2007), doi:10.1021/ct600085e, necks.
        Schaefer, Bartels, Karplus, J. Mol. Biol. 284, 835 (1998), doi:10.1006/jmbi.1998.2172, for the surface.
    """

    needs_pairs = True
    reduced: Tensor  # (N, 1), as all tables of atoms
    scaled: Tensor
    radius: Tensor
    coefficients: Tensor  # (3, N, 1)
    self_qq: Tensor  # [kJ/mol nm]
    surface: Tensor
    qq: Tensor  # (N, N, 1), zero of an atom with itself [kJ/mol nm]
    others: Tensor  # (N, N, 1), zero of an atom with itself, else 1
    reach: Tensor | None  # (N, N, 1), as the other two of the neck
    depth: Tensor | None
    distance: Tensor | None

    def __init__(
        self,
        charges: Tensor,
        reduced: Tensor,
        scaled: Tensor,
        radius: Tensor,
        coefficients: Tensor,
        constant: float,
        surface: Tensor,
        cutoff: float | None = None,
        shift: float = 0.0,
        swallows: bool = False,
        saturates: bool = True,
        neck: Neck | None = None,
    ) -> None:
        super().__init__()
        others = 1 - torch.eye(len(charges), dtype=torch.float64)
        tables = {
            "reduced": reduced,
            "scaled": scaled,
            "radius": radius,
            "coefficients": coefficients,
            "self_qq": 0.5 * constant * charges**2,
            "surface": surface,
            "qq": constant * others * charges[:, None] * charges,
            "others": others,
            **(NO_NECK if neck is None else {**neck._asdict(), "depth": others * neck.depth}),
        }
        for name, value in tables.items():
            self.register_buffer(name, None if value is None else value.double()[..., None], persistent=False)
        self.cutoff, self.shift, self.swallows, self.saturates = cutoff, shift, swallows, saturates

    def energy(self, frame: Frame) -> Tensor:
        r2, near = frame.pairs, None if self.cutoff is None else frame.pairs < self.cutoff**2
        scaled = self.others * self.scaled  # an atom takes nothing from itself
        twice, _ = self.overlap(frame.distance, frame.inverse_distance, self.reduced[:, None], scaled)
        if self.depth is not None:
            assert self.distance is not None
            assert self.reach is not None
            neck = 2 * self.depth / _well(frame.distance - self.distance)
            twice = twice + torch.where(frame.distance <= self.reach, neck, 0.0)
        inverse_born, _ = self.inverse_radii((twice if near is None else torch.where(near, twice, 0.0)).sum(1))
        born = 1 / inverse_born
        # Divisions are what the pair terms cost: those that can be made of atoms are
        falls = (r2 * (-0.25 * inverse_born[:, None] * inverse_born)).exp()
        pair = self.qq * (r2 + born[:, None] * born * falls).rsqrt()
        if near is not None:
            pair = torch.where(near, pair - self.shift * self.qq, 0.0)
        return 0.5 * total(pair) + total(self.self_qq * inverse_born + self.surface * inverse_born**6)

    def overlap(self, r: Tensor, inverse: Tensor, reduced: Tensor, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Return twice what a sphere (`scaled`) takes of the integral of another (`reduced`), and its derivative divided by r.

        `inverse` is 1 / r.
        """
        upper = 1 / (r + scaled)
        nearest = torch.maximum((r - scaled).abs(), reduced)
        lower = 1 / nearest
        squares, logarithm, s = 0.25 * (upper**2 - lower**2), 0.5 * inverse * (upper * nearest).log(), scaled * inverse
        value = lower - upper + (r - scaled * s) * squares + logarithm
        slope = ((1 + s * s) * squares - logarithm * inverse) * inverse
        swallowed = reduced < scaled - r
        if self.swallows:
            value = torch.where(swallowed, value + 2 * (1 / reduced - lower), value)
        else:
            slope = torch.where(swallowed, slope + 2 * lower**2 * inverse, slope)
        meet = reduced < r + scaled
        return torch.where(meet, value, 0.0), torch.where(meet, slope, 0.0)

    def inverse_radii(self, twice: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 / R of atoms, (N, B), of twice their integrals, and its derivative by these."""
        alpha, beta, gamma = self.coefficients
        psi = 0.5 * self.reduced * twice
        value = psi * (alpha - psi * (beta - gamma * psi))
        rise = alpha - psi * (2 * beta - 3 * gamma * psi)
        if self.saturates:
            value = value.tanh()
            rise = rise * (1 - value**2)
        return 1 / self.reduced - value / self.radius, -0.5 * self.reduced / self.radius * rise

    def on(self, pairs: Pairs) -> BornPairs:
        """Return the closed form over unordered pairs."""
        return BornPairs(self, pairs)


def _well(a: Tensor) -> Tensor:
    a2 = a * a
    return 1 + a2 * (100 + 3e5 * a2 * a2)


class BornPairs(nn.Module):
    """Evaluates generalised Born over unordered pairs in three passes.

    These are the integrals, energies at fixed radii, and the chain of forces through the radii.

    Args:
        force: whose tables are taken, and what it says of single atoms.
        pairs: the layout.
    """

    qq: Tensor  # (N, K, 1)

    def __init__(self, force: Born, pairs: Pairs) -> None:
        super().__init__()
        self.force, self.pairs = force, pairs
        self.register_buffer("qq", pairs.table(force.qq), persistent=False)
        self.has_necks = force.depth is not None
        for name in ("reach", "depth", "distance") if self.has_necks else ():
            table = force.get_buffer(name)
            self.register_buffer(f"{name}_first", pairs.table(table), persistent=False)
            self.register_buffer(f"{name}_second", pairs.table(table.transpose(0, 1)), persistent=False)

    def integrals(self, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return twice the integrals of atoms, (N, B), and for the chain (2 I')/r of both atoms of pairs, (N, K, B)."""
        inverse = r2.rsqrt()
        r = r2 * inverse
        first, second = self.pairs.first, self.pairs.second
        spheres = {
            "first": (first(self.force.reduced), second(self.force.scaled)),
            "second": (second(self.force.reduced), first(self.force.scaled)),
        }
        values, slopes = [], []
        for side, (reduced, scaled) in spheres.items():
            value, slope = self.force.overlap(r, inverse, reduced, scaled)
            if self.has_necks:
                reach, depth, distance = (getattr(self, f"{name}_{side}") for name in ("reach", "depth", "distance"))
                a = r - distance
                neck, within = 2 * depth / _well(a), r <= reach
                fall = -neck / _well(a) * a * (200 + 1.8e6 * a**2 * a**2) * inverse
                value, slope = value + torch.where(within, neck, 0.0), slope + torch.where(within, fall, 0.0)
            if self.force.cutoff is not None:
                near = r2 < self.force.cutoff**2
                value, slope = torch.where(near, value, 0.0), torch.where(near, slope, 0.0)
            values.append(value)
            slopes.append(slope)
        return self.pairs.to_atoms(*values), slopes[0], slopes[1]

    def forward(self, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return the energy of atoms, (N, B), that of pairs and their push $-U'(r) / r$, (N, K, B), radii and all."""
        twice, slope_first, slope_second = self.integrals(r2)
        inverse_born, fall = self.force.inverse_radii(twice)
        born = 1 / inverse_born
        energy = self.force.self_qq * inverse_born + self.force.surface * inverse_born**6
        first, second = self.pairs.first, self.pairs.second
        product = first(born) * second(born)
        falls = (-0.25 * r2 * first(inverse_born) * second(inverse_born)).exp()
        inverse_f = (r2 + product * falls).rsqrt()
        value = self.qq * inverse_f
        per_f2 = value * inverse_f**2
        of_radii, push = -0.5 * per_f2 * falls * (product + 0.25 * r2), per_f2 * (1 - 0.25 * falls)  # R dU/dR, -U'(r) / r
        if self.force.cutoff is not None:
            near = r2 < self.force.cutoff**2
            value = torch.where(near, value - self.force.shift * self.qq, 0.0)
            of_radii, push = torch.where(near, of_radii, 0.0), torch.where(near, push, 0.0)
        pull = self.pairs.to_atoms(of_radii, of_radii)
        chain = fall * (self.force.self_qq + 6 * self.force.surface * inverse_born**5 - born * pull)  # dU/d(2 I)
        return energy, value, push - first(chain) * slope_first - second(chain) * slope_second
