"""Implicit solvents by expressions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse_expression
from lit_bg.forces.custom_nonbonded import find_exclusions, of_both, within
from lit_bg.forces.expressions import Expression


class CustomGB(Force):
    """Evaluates OpenMM's CustomGBForce: values of every atom, computed one from the other, and energies that depend on them.

    HCT, OBC, GBn and GBn2 of the `implicit/` force-field files are of this kind. A value may be a sum over all other atoms
    of an expression that is not symmetric; parameters that depend on the pair alone are folded together beforehand.
    """

    needs_pairs = True
    kept: Tensor  # (N, N, 1) bool: not excluded
    others: Tensor  # (N, N, 1) bool: two atoms

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        n = system.n
        self.cutoff = None if force.getNonbondedMethod() == force.NoCutoff else force.getCutoffDistance()._value
        rows = [force.getParticleParameters(m) for m in range(n)]
        single, shared = columns(parameter_names(force, "Particle"), rows), global_parameters(force)
        self.register_buffer("kept", ~find_exclusions(force, n)[:, :, None], persistent=False)
        self.register_buffer("others", ~torch.eye(n, dtype=torch.bool)[:, :, None], persistent=False)
        of_pair = shared | of_both(single)

        def for_atoms(expression: Expression, known: list[str]) -> nn.Module:
            self.sees_positions |= not {"x", "y", "z"}.isdisjoint(expression.variables)
            return expression.bind(single | shared, [*known, "x", "y", "z"])

        self.names: list[str] = []  # of the values computed so far
        self.values, self.energies = nn.ModuleList(), nn.ModuleList()
        self.kinds: tuple[list[int], list[int]] = ([], [])
        for k in range(force.getNumComputedValues()):
            name, text, kind = force.getComputedValueParameters(k)
            expression = parse_expression(force, text)
            bound = for_atoms(expression, self.names) if kind == force.SingleParticle else expression.bind(of_pair, ["r"])
            self.values.append(bound)
            self.kinds[0].append(kind)
            self.names.append(name)
        both = [f"{name}{side}" for name in self.names for side in "12"]
        for k in range(force.getNumEnergyTerms()):
            text, kind = force.getEnergyTermParameters(k)
            expression = parse_expression(force, text)
            self.energies.append(
                for_atoms(expression, self.names) if kind == force.SingleParticle else expression.bind(of_pair, ["r", *both])
            )
            self.kinds[1].append(kind)
        self.single, self.pair = force.SingleParticle, force.ParticlePair

    def energy(self, frame: Frame) -> Tensor:
        x, y, z = frame.x.unbind(1)
        of_atoms: dict[str, Tensor] = {"x": x, "y": y, "z": z}
        for name, kind, value in zip(self.names, self.kinds[0], self.values, strict=True):
            of_atoms[name] = value(of_atoms) if kind == self.single else self._within(value, {}, frame, kind).sum(1)
        of_pairs = of_both({name: of_atoms[name] for name in self.names})
        energy = frame.x.new_zeros(frame.x.shape[-1], dtype=torch.float64)
        for kind, expression in zip(self.kinds[1], self.energies, strict=True):
            if kind == self.single:
                energy = energy + total(expression(of_atoms))
            else:
                energy = energy + 0.5 * total(self._within(expression, of_pairs, frame, kind))
        return energy

    def _within(self, expression: nn.Module, values: dict[str, Tensor], frame: Frame, kind: int) -> Tensor:
        """Return a term of every pair, (N, N, B), zero where the pair does not count."""
        kept = self.kept if kind == self.pair else self.others
        return within(expression, values, frame.distance, kept, self.cutoff)
