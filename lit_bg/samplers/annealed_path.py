"""The path of states between proposals and target."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.meter import Meter
from lit_bg.kernels.units import in_kelvin, to_kT
from lit_bg.molecules.rotatable import RotatableBonds
from lit_bg.samplers.base import Proposer


class AnnealedPath:
    r"""Defines energies $u_s = -a(s) \log q + b(s)\, u$ from the proposals, s = 0, to the target, s = 1.

    Along the geometric path a = 1 - s and b = s. With `through`, a temperature above that of the target, the first half of the
    way leads to the target at that temperature, $b = kT / kT_{hot}$, and the second half cools it down, with a = 0: there log q
    is not needed any more, and dynamics are as fast as those of the system itself. It suits generators that were trained at
    that temperature, and densities that are expensive.

    Args:
        proposer: generator and system.
        through: a temperature [K], for model energies kT; None: the geometric path.

    Raises:
        ValueError: a temperature that is not above that of the target.

    References:
        Neal, Stat. Comput. 11, 125 (2001), arXiv:physics/9803008, for the geometric path.
    """

    def __init__(self, proposer: Proposer, through: float | None = None) -> None:
        self.proposer, self.through = proposer, through
        self.meter = Meter()  # of log q
        self.hottest = 1.0  # b where a vanishes
        if through is not None:
            energy, unit = proposer.energy, "K" if in_kelvin(proposer.energy) else "kT"
            self.hottest = energy.kT / to_kT(energy, through)
            if not 0 < self.hottest < 1 - 1e-9:
                own = energy.kT / to_kT(energy, 1.0)
                raise ValueError(f"through = {through:g} {unit} must be above the temperature of the target, {own:g} {unit}.")

    def coefficients(self, s: float) -> tuple[float, float]:
        """Return a and b."""
        if self.through is None:
            return 1 - s, s
        return (1 - 2 * s, 2 * s * self.hottest) if s < 0.5 else (0.0, self.hottest + (2 * s - 1) * (1 - self.hottest))

    def u(self, s: float, log_q: Tensor, u: Tensor) -> Tensor:
        """Return u_s from log q and u in the target, (B,) float64; +inf where u is not finite, for every s above 0."""
        a, b = self.coefficients(s)
        found = b * u.double()
        if a > 0:
            found = found - a * log_q.double()
        return torch.where(torch.isfinite(u) & torch.isfinite(log_q), found, torch.inf)

    def at(self, s: float) -> Energy:
        """Return the energy at s; where a vanishes, the system itself at another temperature."""
        a, b = self.coefficients(s)
        energy = self.proposer.energy
        if a <= 0:
            return energy if b == 1 else energy.at(energy.kT / b)
        return Bridge(self, a, b)


class Bridge(Energy):
    r"""Evaluates one state of an `AnnealedPath`: $-a \log q + b\, u$, everything else as the target has it.

    Outside the region of the target its energy is +inf.
    """

    def __init__(self, path: AnnealedPath, a: float, b: float) -> None:
        target = path.proposer.energy
        super().__init__(target.kT)
        self.proposer = path.proposer
        self.meter = path.meter
        self.a, self.b = a, b
        self.space, self.unit, self.name, self.structure = target.space, target.unit, target.name, target.structure
        self.symmetries = target.symmetries

    def potential(self, x: Tensor) -> Tensor:
        target = self.proposer.energy
        u = self.b * target(x) - self.a * self.proposer.log_prob(x)
        return target.kT * torch.where(target.in_region(x), u, torch.inf)

    def in_region(self, x: Tensor) -> Tensor:
        return self.proposer.energy.in_region(x)

    def repartitioned_masses(self, hydrogen_mass: float) -> Tensor:
        return self.proposer.energy.repartitioned_masses(hydrogen_mass)

    @property
    def device(self) -> torch.device:
        return self.proposer.energy.device

    @property
    def masses(self) -> Tensor | None:
        return self.proposer.energy.masses

    @property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        return self.proposer.energy.bonds

    @property
    def rotatable_bonds(self) -> RotatableBonds | None:
        return self.proposer.energy.rotatable_bonds

    @property
    def modes(self) -> Modes | None:
        return self.proposer.energy.modes

    @property
    def observables(self) -> dict[str, Observable]:
        return self.proposer.energy.observables
