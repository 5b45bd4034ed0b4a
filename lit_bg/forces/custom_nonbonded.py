"""Pair interactions by an expression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, System, Untranslatable, total
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse_expression
from lit_bg.forces.nonbonded import switching
from lit_bg.forces.unordered_pairs import Pairs


class CustomNonbonded(Force):
    """Evaluates OpenMM's CustomNonbondedForce: an expression in the distance r and the parameters of both atoms.

    Exclusions, interaction groups, cutoff, switching function and computed values are OpenMM's. The expression may have
    any value where a pair is excluded or beyond the cutoff: r is set to 1 nm there before it is evaluated. In interaction
    groups the first atom is that of the first set. Without them, of an expression that is not symmetric in the two atoms,
    where OpenMM takes any order, the mean of both counts.
    """

    needs_pairs = True
    kept: Tensor  # (N, N, 1) bool
    times: Tensor | None  # (N, N, 1) how often an ordered pair counts, where there are interaction groups

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
            value = parse_expression(force, text).bind(single | shared, [])({})
            single[name] = value.expand(n, 1)
        self.expression = parse_expression(force, force.getEnergyFunction()).bind(shared | of_both(single), ["r"])
        times = _times(force, n)
        self.register_buffer("kept", (times > 0)[:, :, None], persistent=False)
        self.any_order = bool((times[times > 0] == 0.5).all())
        self.register_buffer("times", None if self.any_order else times[:, :, None], persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        terms = within(self.expression, {}, frame.distance, self.kept, self.cutoff)
        if self.switch is not None and self.cutoff is not None:
            terms = terms * switching(frame.distance, self.switch, self.cutoff)
        return 0.5 * total(terms) if self.times is None else total(terms * self.times)

    def on(self, pairs: Pairs) -> CustomNonbondedPairs:
        """Return the closed form over unordered pairs."""
        return CustomNonbondedPairs(self, pairs)


class CustomNonbondedPairs(nn.Module):
    """Evaluates the expression over unordered pairs, with its derivative by the distance.

    A pair does not see any other, so the derivative of all of them is one pass back through the expression. An expression
    whose constants are symmetric in the two atoms is evaluated once, any other one in both orders.

    Args:
        force: whose expression and tables are taken.
        pairs: the layout.
    """

    tail = 0.0

    def __init__(self, force: CustomNonbonded, pairs: Pairs) -> None:
        super().__init__()
        self.expressions = nn.ModuleList()
        n = len(force.kept)
        times = 0.5 * force.kept.double() if force.times is None else force.times
        full = force.expression.with_constants(lambda value: value.expand(n, n, *value.shape[2:]) if value.dim() else value)
        turned = full.with_constants(lambda value: value.transpose(0, 1) if value.dim() else value)
        symmetric = force.any_order and all(map(torch.equal, full.constants, turned.constants))
        for k, side in enumerate([full] if symmetric else [full, turned]):
            counts = 2 * times if symmetric else (times, times.transpose(0, 1))[k]
            self.register_buffer(f"times{k}", pairs.table(counts), persistent=False)
            self.expressions.append(side.with_constants(lambda value: pairs.table(value) if value.dim() else value))
        self.cutoff, self.switch = force.cutoff, force.switch

    def forward(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the energies of pairs and their push $-U'(r) / r$, (N, K, B), at squared distances of this shape."""
        r = r2.sqrt()
        value, back = torch.func.vjp(self._values, r)[:2]
        return value, -back(torch.ones_like(r))[0] / r

    def _values(self, r: Tensor) -> Tensor:
        values = torch.zeros_like(r)
        for k, expression in enumerate(self.expressions):
            times = self.get_buffer(f"times{k}")
            values = values + times * within(expression, {}, r, times > 0, self.cutoff)
        if self.switch is not None and self.cutoff is not None:
            values = values * switching(r, self.switch, self.cutoff)
        return values


def within(expression: nn.Module, values: dict[str, Tensor], r: Tensor, kept: Tensor, cutoff: float | None) -> Tensor:
    """Evaluate an expression at pair distances r, (N, N, B); zero, without gradient, for pairs not kept or too far apart."""
    if cutoff is not None:
        kept = (r < cutoff) & kept
    return torch.where(kept, expression({**values, "r": torch.where(kept, r, 1.0)}), 0.0)


def of_both(single: dict[str, Any]) -> dict[str, Any]:
    """Return tensors of atoms, (N, ...), as those of the two atoms of each pair, with 1 and 2 appended to their names."""
    sides = (("1", lambda value: value[:, None]), ("2", lambda value: value[None]))
    return {name + side: of_pair(value) for name, value in single.items() for side, of_pair in sides}


def _times(force: Any, n: int) -> Tensor:
    """Return how often an ordered pair counts, (N, N) float64: half for either order, or once for every group that it is in.

    A pair of which both atoms are in both sets of a group counts once, the lower atom first, as in OpenMM.
    """
    times = torch.full((n, n), 0.5, dtype=torch.float64)
    if force.getNumInteractionGroups():
        times[:] = 0
        for k in range(force.getNumInteractionGroups()):
            first, second = (_members(group, n) for group in force.getInteractionGroupParameters(k))
            inside = first[:, None] & second
            times += inside & ~(inside & inside.T).tril()
    return times * ~find_exclusions(force, n)


def _members(atoms: Any, n: int) -> Tensor:
    """Return which atoms are in a group, (N,) bool."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask[list(atoms)] = True
    return mask


def find_exclusions(force: Any, n: int) -> Tensor:
    """Return the exclusions of a force, and every atom with itself, (N, N) bool."""
    table = torch.eye(n, dtype=torch.bool)
    for k in range(force.getNumExclusions()):
        i, j = force.getExclusionParticles(k)
        table[i, j] = table[j, i] = True
    return table
