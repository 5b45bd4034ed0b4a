"""Pair interactions by an expression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, Untranslatable, total
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse
from lit_bg.forces.nonbonded import switching


class CustomNonbonded(Force):
    """OpenMM's CustomNonbondedForce: an expression in the distance r and the parameters of both atoms.

    Exclusions, interaction groups, cutoff, switching function and computed values are OpenMM's. The expression may have
    any value where a pair is excluded or beyond the cutoff: r is set to 1 nm there before it is evaluated.
    """

    needs_pairs = True
    kept: Tensor | None  # (P, 1) bool; None: all pairs

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        n = system.n
        method = force.getNonbondedMethod()
        if method == force.CutoffPeriodic and force.getUseLongRangeCorrection():
            raise Untranslatable("CustomNonbondedForce with a long-range correction")
        self.cutoff = None if method == force.NoCutoff else force.getCutoffDistance()._value
        self.switch = force.getSwitchingDistance()._value if self.cutoff and force.getUseSwitchingFunction() else None
        rows = [force.getParticleParameters(m) for m in range(n)]
        shared = global_parameters(force)
        single = columns(parameter_names(force, "Particle"), rows)
        for k in range(force.getNumComputedValues()):
            name, text = force.getComputedValueParameters(k)
            value = parse(force, text).bind(single | shared, [])({})
            single[name] = value.expand(n, 1)
        i, j = torch.triu_indices(n, n, 1)
        constants = shared | of_both(single, i, j)
        self.expression = parse(force, force.getEnergyFunction()).bind(constants, ["r"])
        kept = _kept(force, n)[i, j]
        self.register_buffer("kept", None if kept.all() else kept[:, None], persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        r, kept = frame.distance, self.kept
        if self.cutoff is not None:
            near = r < self.cutoff
            kept = near if kept is None else near & kept
        if kept is None:
            return total(self.expression({"r": r}))
        terms = self.expression({"r": torch.where(kept, r, 1.0)})
        if self.switch is not None:
            terms = terms * switching(r, self.switch, self.cutoff)  # type: ignore[arg-type]
        return total(torch.where(kept, terms, 0.0))


def of_both(single: dict[str, Tensor | float], i: Tensor, j: Tensor) -> dict[str, Tensor | float]:
    """Parameters of the atoms of each pair, under the names with 1 and 2 behind them."""
    pairs: dict[str, Tensor | float] = {}
    for name, value in single.items():
        assert isinstance(value, Tensor)
        pairs |= {f"{name}1": value[i], f"{name}2": value[j]}
    return pairs


def _kept(force: Any, n: int) -> Tensor:
    """(N, N) bool: pairs that interact."""
    kept = torch.ones(n, n, dtype=torch.bool)
    if force.getNumInteractionGroups():
        kept[:] = False
        for k in range(force.getNumInteractionGroups()):
            first, second = (torch.tensor(list(group), dtype=torch.long) for group in force.getInteractionGroupParameters(k))
            kept[first[:, None], second] = True
            kept[second[:, None], first] = True
    return kept & ~excluded(force, n)


def excluded(force: Any, n: int) -> Tensor:
    """(N, N) bool: the exclusions of a force."""
    table = torch.zeros(n, n, dtype=torch.bool)
    for k in range(force.getNumExclusions()):
        i, j = force.getExclusionParticles(k)
        table[i, j] = table[j, i] = True
    return table
