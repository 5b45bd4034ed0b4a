"""One system at any temperature of a range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.condition import Condition, check_context
from lit_bg.identity import identify


class Tempered(Energy):
    r"""Makes the temperature of a system a condition: $u(x | kT) = U(x) / kT$ for any kT from `lowest` to `highest`.

    A generator that takes conditions learns the whole range at once. Without a word about conditions everything is asked at
    the kT of the system itself: energies, exact values, and what a run is judged by.

    Args:
        energy: the system, at a kT inside the range.
        lowest, highest: the range of kT, in the unit of the energy; of a molecule, kT = RT [kJ/mol].

    Raises:
        ValueError: a range that is empty or does not hold the system's own kT, or a system that has conditions already.

    >>> from lit_bg.energies import DoubleWell
    >>> wells = Tempered(DoubleWell(), 0.5, 4.0)
    >>> round(wells.log_Z, 6), round(wells.given([2.0]).log_Z, 6)
    (11.020467, 6.509507)
    """

    def __init__(self, energy: Energy, lowest: float, highest: float) -> None:
        super().__init__(energy.kT)
        name = type(energy).__name__
        if energy.conditions:
            known = ", ".join(map(str, energy.conditions))
            raise ValueError(f"{name} has conditions already ({known}): give the system itself.")
        condition = Condition("kT", float(lowest), float(highest), "" if energy.unit == "kT" else energy.unit, log=True)
        if not condition.contains(torch.tensor(energy.kT)):
            raise ValueError(
                f"Tempered covers {condition}, and {name} is at kT = {energy.kT:.6g}, where it would be judged: give it a kT "
                "inside the range."
            )
        self.energy = energy
        self.meter = energy.meter
        self.conditions = (condition,)
        self.space, self.unit = energy.space, energy.unit
        self.symmetries, self.finds_modes = energy.symmetries, energy.finds_modes
        self.structure, self.name = energy.structure, energy.name

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments | {"energy": identify(arguments["energy"])}  # whose kT is that of the whole

    def potential(self, x: Tensor) -> Tensor:
        return self.energy.potential(x)

    def at(self, kT: float) -> Self:
        (condition,) = self.conditions
        return type(self)(self.energy.at(kT), condition.lowest, condition.highest)

    def is_view_of(self, other: Energy) -> bool:
        return type(self) is type(other) and self.conditions == other.conditions and self.energy.is_view_of(other.energy)

    @property
    def default_context(self) -> Tensor:
        return torch.tensor([self.kT], dtype=torch.float64)

    def given(self, context: Tensor | Sequence[float] | None = None) -> Energy:
        if context is None:
            return self.energy
        context = torch.as_tensor(context, dtype=torch.float64)
        check_context(self.conditions, context, type(self).__name__)
        if context.ndim != 1:
            raise ValueError(f"one system has one kT, got conditions of shape {tuple(context.shape)}: pass (1,).")
        return self.energy.at(context.item())

    def conditioned(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            return self(x)
        return self._reduced(x, context.to(x)[..., 0])

    def check_configurations(self, x: Tensor) -> None:
        self.energy.check_configurations(x)

    def in_region(self, x: Tensor) -> Tensor:
        return self.energy.in_region(x)

    def find_faults(self, x: Tensor) -> dict[str, Tensor]:
        return self.energy.find_faults(x)

    def find_modes(self, x: Tensor) -> dict[str, Any] | None:
        return self.energy.find_modes(x)

    def adopt_modes(self, found: dict[str, Any]) -> None:
        self.energy.adopt_modes(found)

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        return self.energy.exact_samples(n, rng)

    @property
    def has_exact_samples(self) -> bool:
        return self.energy.has_exact_samples

    @property
    def log_Z(self) -> float | None:
        return self.energy.log_Z

    @property
    def modes(self) -> Modes | None:
        return self.energy.modes

    @property
    def observables(self) -> dict[str, Observable]:
        return self.energy.observables

    @property
    def box(self) -> Tensor | None:
        return self.energy.box

    @property
    def initial(self) -> Tensor | None:
        return self.energy.initial

    @property
    def masses(self) -> Tensor | None:
        return self.energy.masses

    @property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        return self.energy.bonds
