"""Coulomb and Lennard-Jones interactions between all pairs of atoms."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Bonded, Force, Frame, System, Untranslatable, total
from lit_bg.forces.bonded import Distances
from lit_bg.forces.unordered_pairs import Pairs

COULOMB = 138.93545764438198  # e^2 / 4 pi epsilon_0 [kJ/mol nm], CODATA 2018 as in OpenMM 8
LATTICE_SUMS = {3: "Ewald", 4: "PME", 5: "LJPME"}


class Nonbonded(Force):
    r"""Sums Coulomb and Lennard-Jones energies of pairs of atoms.

    $U = \sum_{i<j} \frac{q_i q_j}{4\pi\epsilon_0 r} + 4\epsilon_{ij}\left[(\sigma_{ij}/r)^{12} - (\sigma_{ij}/r)^6\right]$.

    OpenMM's NonbondedForce without lattice sums: Lorentz-Berthelot rules, and a list of exceptional pairs with
    parameters of their own. With a cutoff $r_c$ the Coulomb term of all other pairs is that of a reaction field,
    $q_i q_j (1/r + k r^2 - c)$, $k = \frac{\epsilon - 1}{(2\epsilon + 1) r_c^3}$, $c = \frac{3\epsilon}{(2\epsilon + 1) r_c}$
    (Tironi et al., J. Chem. Phys. 102, 5451 (1995), doi:10.1063/1.469273): the constants change the energy even where no
    pair is beyond the cutoff. In a box distances are to the nearest image, and the attraction beyond the cutoff
    is added as a mean (Shirts et al., J. Phys. Chem. B 111, 13052 (2007), doi:10.1021/jp0735987).

    In closed form the force on atom i is $\sum_j p_{ij} (x_i - x_j)$ with the push $p = -U'(r) / r$,
    $r^2 p = 12 c_{12} r^{-12} - 6 c_6 r^{-6} + q_i q_j / r$, less $2 k r^2 q_i q_j$ of a reaction field; with a switching
    function S the derivative of the Lennard-Jones part is $S U' + S' U$.
    """

    needs_pairs = True
    qq: Tensor  # (N, N, 1), half: every pair is there twice [kJ/mol nm]
    c6: Tensor  # (N, N, 1) half of 4 epsilon sigma^6
    c12: Tensor
    exceptional: Tensor  # (N, N, 1) bool: without cutoff and reaction field

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        n = system.n
        method = force.getNonbondedMethod()
        if method > force.CutoffPeriodic:
            raise Untranslatable(f"NonbondedForce with the lattice sum {LATTICE_SUMS[method]}")
        self.cutoff = None if method == force.NoCutoff else force.getCutoffDistance()._value
        self.periodic = method == force.CutoffPeriodic
        self.switch = force.getSwitchingDistance()._value if force.getUseSwitchingFunction() and self.cutoff else None
        charge, sigma, epsilon = _particles(force).unbind(1)
        table = torch.stack([charge[:, None] * charge, (sigma[:, None] + sigma) / 2, (epsilon[:, None] * epsilon).sqrt()])
        exceptional = torch.zeros(n, n, dtype=torch.bool)

        # An exception is the same pair with other numbers, and without a cutoff
        pairs, values = _exceptions(force)
        i, j = pairs.T
        apart = self.periodic and not force.getExceptionsUsePeriodicBoundaryConditions()
        for a, b in ((i, j), (j, i)):
            exceptional[a, b] = True
            table[:, a, b] = 0.0 if apart else values.T
        # distances of these exceptions are not those to the nearest image
        self.apart = PairsApart(pairs, n, *_strengths(*values.T)) if apart else None
        others = 1 - torch.eye(n, dtype=torch.float64)
        for name, value in zip(("qq", "c6", "c12"), _strengths(*table), strict=True):
            self.register_buffer(name, (0.5 * others * value)[..., None], persistent=False)
        self.register_buffer("exceptional", exceptional[:, :, None], persistent=False)

        self.k_rf = self.c_rf = self.tail = 0.0
        if self.cutoff is not None:
            dielectric = force.getReactionFieldDielectric()
            self.k_rf = (dielectric - 1) / (2 * dielectric + 1) / self.cutoff**3
            self.c_rf = 3 * dielectric / (2 * dielectric + 1) / self.cutoff
        if self.periodic and force.getUseDispersionCorrection():
            assert system.box is not None
            assert self.cutoff is not None
            self.tail = _dispersion_beyond(sigma, epsilon, self.cutoff, self.switch) / float(system.box.diagonal().prod())

    def energy(self, frame: Frame) -> Tensor:
        inverse = frame.inverse_distance
        lennard_jones = _lennard_jones_and_push(inverse * inverse, self.c12, self.c6)[0]
        if self.cutoff is None:
            return total(self.qq * inverse + lennard_jones)
        if self.switch is not None:
            s = switching(frame.distance, self.switch, self.cutoff)
            lennard_jones = lennard_jones * torch.where(self.exceptional, 1.0, s)
        field = torch.where(self.exceptional, 0.0, self.k_rf * frame.pairs - self.c_rf)
        terms = self.qq * (inverse + field) + lennard_jones
        energy = total(torch.where(self.exceptional | (frame.pairs < self.cutoff**2), terms, 0.0)) + self.tail
        return energy if self.apart is None else energy + self.apart.energy(frame)

    def on(self, pairs: Pairs) -> NonbondedPairs:
        """Return the closed form over unordered pairs."""
        return NonbondedPairs(self, pairs)


class PairsApart(Bonded):
    """Evaluates Coulomb and Lennard-Jones interactions of single pairs, without cutoff and images.

    Args:
        atoms: (E, 2).
        n: number of all atoms.
        qq, c6, c12: (E,) [kJ/mol] times powers of nm.
    """

    qq: Tensor  # (E, 1), as all tables
    c6: Tensor
    c12: Tensor

    def __init__(self, atoms: Tensor, n: int, qq: Tensor, c6: Tensor, c12: Tensor) -> None:
        super().__init__()
        self.register_buffer("atoms", atoms, persistent=False)
        self.distances = Distances(atoms, n)
        for name, value in {"qq": qq, "c6": c6, "c12": c12}.items():
            self.register_buffer(name, value[:, None], persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        inverse = 1 / self.distances(frame)
        return total(self.qq * inverse + _lennard_jones_and_push(inverse * inverse, self.c12, self.c6)[0])

    def closed_form(self, *x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        d = x[0] - x[1]
        inverse2 = 1 / d.square().sum(1)
        value, push = _lennard_jones_and_push(inverse2, self.c12, self.c6)
        coulomb = self.qq * inverse2.sqrt()
        gradient = -(push + coulomb * inverse2)[:, None] * d
        return value + coulomb, (gradient, -gradient)


class NonbondedPairs(nn.Module):
    """Evaluates the closed form over unordered pairs, except for those `apart`.

    Args:
        force: whose tables are taken.
        pairs: the layout.
    """

    qq: Tensor  # (N, K, 1), as all tables
    c6: Tensor
    c12: Tensor
    exceptional: Tensor

    def __init__(self, force: Nonbonded, pairs: Pairs) -> None:
        super().__init__()
        for name in ("qq", "c6", "c12"):
            self.register_buffer(name, pairs.table(2 * getattr(force, name)), persistent=False)
        self.register_buffer("exceptional", pairs.table(force.exceptional), persistent=False)
        self.cutoff, self.switch, self.k_rf, self.c_rf = force.cutoff, force.switch, force.k_rf, force.c_rf
        self.tail = force.tail  # a constant [kJ/mol]

    def forward(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the energies of pairs and their push $-U'(r) / r$, (N, K, B), at squared distances of this shape."""
        inverse2 = 1 / r2
        inverse = inverse2.sqrt()
        value, push = _lennard_jones_and_push(inverse2, self.c12, self.c6)
        coulomb = self.qq * inverse
        if self.cutoff is None:
            return value + coulomb, push + coulomb * inverse2
        if self.switch is not None:
            r = r2 * inverse
            on, fall = switching(r, self.switch, self.cutoff), switching_slope(r, self.switch, self.cutoff)
            switched = push * on - value * fall * inverse
            value, push = (torch.where(self.exceptional, *both) for both in ((value, value * on), (push, switched)))
        field = torch.where(self.exceptional, 0.0, self.k_rf * r2 - self.c_rf)
        value = value + coulomb + self.qq * field
        push = push + coulomb * inverse2 - torch.where(self.exceptional, 0.0, 2 * self.k_rf * self.qq)
        near = self.exceptional | (r2 < self.cutoff**2)
        return torch.where(near, value, 0.0), torch.where(near, push, 0.0)


def _lennard_jones_and_push(inverse2: Tensor, c12: Tensor, c6: Tensor) -> tuple[Tensor, Tensor]:
    r6 = inverse2 * inverse2 * inverse2
    attraction, repulsion = c6 * r6, c12 * r6 * r6
    return repulsion - attraction, (12 * repulsion - 6 * attraction) * inverse2


def _strengths(qq: Tensor, sigma: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return charge products in kJ/mol nm, c6 and c12 of pairs with these parameters."""
    return COULOMB * qq, 4 * epsilon * sigma**6, 4 * epsilon * sigma**12


def switching(r: Tensor, start: float, end: float) -> Tensor:
    """Return 1 below `start`, 0 beyond `end`, with two continuous derivatives between: 1 - 10 t^3 + 15 t^4 - 6 t^5."""
    t = ((r - start) / (end - start)).clamp(0, 1)
    return 1 - t**3 * (10 - t * (15 - 6 * t))


def switching_slope(r: Tensor, start: float, end: float) -> Tensor:
    """Return the derivative of `switching`: - 30 t^2 (1 - t)^2 / (end - start)."""
    t = ((r - start) / (end - start)).clamp(0, 1)
    return -30 / (end - start) * t**2 * (1 - t) ** 2


def _particles(force: Any) -> Tensor:
    """Return (N, 3) charge [e], sigma [nm], epsilon [kJ/mol], parameter offsets at their defaults."""
    table = [[p._value for p in force.getParticleParameters(m)] for m in range(force.getNumParticles())]
    values = torch.tensor(table, dtype=torch.float64).reshape(-1, 3)
    defaults = _global_defaults(force)
    for m in range(force.getNumParticleParameterOffsets()):
        name, atom, *scales = force.getParticleParameterOffset(m)
        values[atom] += defaults[name] * torch.tensor(scales, dtype=torch.float64)
    return values


def _exceptions(force: Any) -> tuple[Tensor, Tensor]:
    """Return (E, 2) atoms i < j, and (E, 3) charge product [e^2], sigma [nm], epsilon [kJ/mol]."""
    table = [force.getExceptionParameters(m) for m in range(force.getNumExceptions())]
    pairs = torch.tensor([sorted(t[:2]) for t in table], dtype=torch.long).reshape(-1, 2)
    values = torch.tensor([[p._value for p in t[2:]] for t in table], dtype=torch.float64).reshape(-1, 3)
    defaults = _global_defaults(force)
    for m in range(force.getNumExceptionParameterOffsets()):
        name, index, *scales = force.getExceptionParameterOffset(m)
        values[index] += defaults[name] * torch.tensor(scales, dtype=torch.float64)
    return pairs, values


def _global_defaults(force: Any) -> dict[str, float]:
    count = range(force.getNumGlobalParameters())
    return {force.getGlobalParameterName(k): force.getGlobalParameterDefaultValue(k) for k in count}


def _dispersion_beyond(sigma: Tensor, epsilon: Tensor, cutoff: float, switch: float | None) -> float:
    r"""Return $2 \pi N^2 \langle \int_{r_c}^\infty U(r) r^2 dr \rangle$ over all pairs, with themselves too [kJ/mol nm^3]."""
    n = len(sigma)
    s6 = ((sigma[:, None] + sigma) / 2) ** 6
    e = (epsilon[:, None] * epsilon).sqrt()
    weight = torch.ones(n, n, dtype=torch.float64).triu() / (n * (n + 1) / 2)
    c12, c6 = float((weight * 4 * e * s6**2).sum()), float((weight * 4 * e * s6).sum())
    integral = c12 / (9 * cutoff**9) - c6 / (3 * cutoff**3)
    if switch is not None:  # what the switching function takes away below the cutoff
        r = torch.linspace(switch, cutoff, 2001, dtype=torch.float64)
        lost = (c12 / r**12 - c6 / r**6) * (1 - switching(r, switch, cutoff)) * r**2
        step = (cutoff - switch) / 2000
        simpson = step / 3 * (lost[0] + 4 * lost[1:-1:2].sum() + 2 * lost[2:-1:2].sum() + lost[-1])
        integral += float(simpson)
    return 2 * math.pi * n**2 * integral
