"""The ladder of temperatures of replica exchange."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lit_bg.energies.base import Energy
from lit_bg.kernels.units import in_kelvin, to_kT
from lit_bg.simulators.ladder import equal_acceptance, with_rungs_at


@dataclass(frozen=True)
class Temperatures:
    """Defines a ladder of temperatures from that of the energy up, spaced so that neighbours exchange equally often.

    Temperatures are in kelvin for energies in kJ/mol, kT for model energies.

    Args:
        max_temperature: the highest rung. Between it and the lowest, rungs are placed for equal acceptance.
        rungs: how many temperatures; null: as few as give acceptance 0.35.
        pilot: moves of a short simulation in which the mean energy at every temperature is measured, to place the rungs; 0
            takes it to be that of harmonic motion, which gives a geometric ladder.
        temperatures: all rungs, instead of `max_temperature`, `rungs` and `pilot`.
        also: temperatures whose frames are wanted too; rungs are put there, and files <name>_600K.npz hold them.

    Raises:
        ValueError: a number out of range; from `first`, temperatures that do not fit the energy's.
    """

    max_temperature: float | None = None
    rungs: int | None = None
    pilot: int = 100
    temperatures: list[float] | None = None
    also: list[float] | None = None

    def __post_init__(self) -> None:
        if (self.max_temperature is None) == (self.temperatures is None):
            raise ValueError("a ladder needs either max_temperature or the list of all temperatures, and not both.")
        if self.rungs is not None and (self.rungs < 2 or self.temperatures is not None):
            raise ValueError(f"rungs = {self.rungs} must be at least 2, and left out where all temperatures are given.")
        if self.pilot < 0:
            raise ValueError(f"pilot = {self.pilot} moves must not be negative.")
        given = self.temperatures
        if given is not None and (len(given) < 2 or sorted(set(given)) != list(given)):
            raise ValueError(f"temperatures must be two or more, ascending, got {given}.")

    @property
    def piloted(self) -> bool:
        """Return whether a pilot simulation places the rungs."""
        return self.pilot > 0 and self.temperatures is None

    def others(self, energy: Energy) -> dict[str, float]:
        """Return kT of the temperatures whose frames are wanted too, by a label for the file name such as "600K"."""
        return {f"{t:g}K" if in_kelvin(energy) else f"kT{t:g}": to_kT(energy, t) for t in self.also or []}

    def first(self, energy: Energy) -> list[float]:
        """Return kT of all rungs, before a pilot simulation.

        Raises:
            ValueError: temperatures that do not fit the energy's.
        """
        unit = "K" if in_kelvin(energy) else "kT"
        own = energy.kT / to_kT(energy, 1.0)
        given = [self.max_temperature] if self.max_temperature is not None else self.temperatures or []
        for t in [*given[-1:], *(self.also or [])]:
            if not t > own * (1 + 1e-9):
                raise ValueError(
                    f"{t:g} {unit} is not above the temperature of the energy, {own:g} {unit}: leave it out or raise it."
                )
            if t > given[-1] * (1 + 1e-9):
                raise ValueError(
                    f"{t:g} {unit} lies above the ladder, which ends at {given[-1]:g} {unit}: raise its highest rung."
                )
        if self.temperatures is None:
            return self.space_evenly(energy, lambda kT: 0.5 * energy.space.dof * kT)
        if not math.isclose(self.temperatures[0], own, rel_tol=1e-6):
            raise ValueError(
                f"the lowest of the temperatures, {self.temperatures[0]:g} {unit}, must be that of the energy, {own:g} {unit}."
            )
        ladder = [energy.kT, *(to_kT(energy, t) for t in self.temperatures[1:])]
        wanted = self.others(energy).values()
        return sorted([*ladder, *(t for t in wanted if not any(math.isclose(t, rung, rel_tol=1e-9) for rung in ladder))])

    def space_evenly(self, energy: Energy, mean_energy: Callable[[float], float]) -> list[float]:
        """Return kT of rungs between which swaps are accepted equally often, given the mean potential energy at kT."""
        assert self.max_temperature is not None  # for the type checker
        highest = to_kT(energy, self.max_temperature)
        inner = [t for t in self.others(energy).values() if not math.isclose(t, highest, rel_tol=1e-9)]
        rungs = equal_acceptance(energy.kT, highest, mean_energy, self.rungs)
        if self.rungs is None and len(rungs) < len(inner) + 2:
            rungs = equal_acceptance(energy.kT, highest, mean_energy, len(inner) + 2)
        return with_rungs_at(rungs, inner)
