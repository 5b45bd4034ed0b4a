"""Energies of replicas in different states, as one energy of all their rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.molecules.rotatable import RotatableBonds


class Group(NamedTuple):
    """Joins neighbouring states that are views of one system: one evaluation serves all their rows."""

    energy: Energy
    rows: slice


class Replicas(Energy):
    r"""Stacks R states of W walkers each: row r W + w has the reduced energy of state r, $u_r(x) = U_r(x) / kT_r$.

    `kT` has one value per row. Rows of states that are one system at several temperatures are evaluated together, once, and the
    energies and gradients are scaled. Everything else (space, masses, bonds) is that of the first state.

    Args:
        energies: of the states.
        walkers: W.

    Raises:
        ValueError: states in different spaces.
    """

    def __init__(self, energies: Sequence[Energy], walkers: int) -> None:
        first = energies[0]
        super().__init__(first.kT)
        for energy in energies[1:]:
            if not energy.space.shares_measure_with(first.space):
                raise ValueError(
                    f"states that exchange must share a space and its measure, and {type(first).__name__} has {first.space}, "
                    f"{type(energy).__name__} {energy.space}, with another shape, cell, domain or centre of mass."
                )
        self.states, self.walkers = tuple(energies), walkers
        self.space, self.unit, self.meter = first.space, first.unit, first.meter
        kT = torch.tensor([energy.kT for energy in energies], dtype=torch.float64, device=first.device)
        self.kT = kT.repeat_interleave(walkers)  # type: ignore[assignment]
        self.system = group(energies)  # number of its system, for every state
        self._groups, start = [], 0
        for _, members in groupby(self.system):
            stop = start + len(list(members))
            self._groups.append(Group(energies[start], slice(start * walkers, stop * walkers)))
            start = stop

    @property
    def masses(self) -> Tensor | None:
        return self.states[0].masses

    @property
    def rotatable_bonds(self) -> RotatableBonds | None:
        return self.states[0].rotatable_bonds

    def repartitioned_masses(self, hydrogen_mass: float) -> Tensor:
        return self.states[0].repartitioned_masses(hydrogen_mass)

    @property
    def device(self) -> torch.device:
        return self.states[0].device

    def in_region(self, x: Tensor) -> Tensor:
        self._check_rows(x)
        parts = zip(self.states, x.split(self.walkers), strict=True)
        return torch.cat([energy.in_region(part) for energy, part in parts])

    def _check_rows(self, x: Tensor) -> None:
        if len(x) != len(self.states) * self.walkers:
            raise ValueError(f"{len(self.states)} states of {self.walkers} walkers have as many rows, got {len(x)}.")

    def potential(self, x: Tensor) -> Tensor:
        self._check_rows(x)
        return torch.cat([energy(x[rows]) * energy.kT for energy, rows in self._groups])

    def forward(self, x: Tensor) -> Tensor:
        u = self.potential(x)  # counted by the systems themselves
        return u / self.kT.to(u)  # type: ignore[attr-defined]

    def potential_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check_rows(x)
        if len(self._groups) == 1:
            return self._groups[0].energy.potential_and_gradient(x)
        found = [energy.potential_and_gradient(x[rows]) for energy, rows in self._groups]
        return torch.cat([u for u, _ in found]), torch.cat([gradient for _, gradient in found])

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        potential, gradient = self.potential_and_gradient(x)
        scale = (1 / self.kT).to(potential)  # type: ignore[attr-defined]
        return potential * scale, gradient * scale.to(gradient).reshape(-1, *[1] * (x.ndim - 1))


def group(energies: Sequence[Energy]) -> list[int]:
    """Return the number of the system of every state: views of one system share it."""
    found: list[Energy] = []
    numbers = []
    for energy in energies:
        number = next((k for k, other in enumerate(found) if energy.is_view_of(other)), len(found))
        if number == len(found):
            found.append(energy)
        numbers.append(number)
    return numbers


def cross_energies(energies: Sequence[Energy], x: Tensor, u: Tensor) -> Tensor:
    """Return the reduced energies of walkers of one state in all states, (K, n).

    Args:
        energies: of the states; the first is that in which u is known.
        x: (n, *shape).
        u: (n,) in the first state; states that are views of it follow by scaling.
    """
    own = energies[0]
    with torch.no_grad():
        return torch.stack([u.double() * (own.kT / e.kT) if e.is_view_of(own) else e(x).double() for e in energies])
