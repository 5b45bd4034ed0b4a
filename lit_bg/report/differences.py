"""Free energies of modes relative to the first, in every unit that they have."""

from __future__ import annotations

from typing import NamedTuple

from lit_bg.report.energy_units import UNITS, size_of_kT
from lit_bg.report.notation import with_error
from lit_bg.report.origin import TrainedRun
from lit_bg.report.summary import Summary
from lit_bg.report.table import shown_modes


class Difference(NamedTuple):
    """The free energy of a mode relative to the first one."""

    name: str  # of the claim
    values: dict[str, str]  # with standard errors, by unit
    effective: float  # samples in the mode
    word: str


def list_differences(s: Summary) -> list[Difference]:
    """Return what the table shows of free energies, in kT and, at a temperature in kelvin, in kJ/mol and kcal/mol."""
    kT = s.origin.kT if isinstance(s.origin, TrainedRun) else None
    sizes = {unit: size_of_kT(unit, kT) for unit in (UNITS if kT is not None else UNITS[:1])}
    words = {claim.name: claim.word for claim in s.claims}
    modes = s.modes or {}
    first = next(iter(modes), None)
    found = []
    for name in shown_modes(modes):
        if name != first:
            mode, claim = modes[name], f"F({name}) - F({first})"
            values = {u: with_error(mode.free_energy * size, mode.free_energy_err * size) for u, size in sizes.items()}
            found.append(Difference(claim, values, mode.effective, words.get(claim, "-")))
    return found
