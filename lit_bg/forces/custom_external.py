"""External fields by an expression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse_expression


class CustomExternal(Force):
    """Evaluates OpenMM's CustomExternalForce: an expression in x, y and z of single atoms."""

    sees_positions = True
    atoms: Tensor  # (M,)

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        terms = [force.getParticleParameters(m) for m in range(force.getNumParticles())]
        constants = columns(parameter_names(force, "Particle"), [t[1] for t in terms]) | global_parameters(force)
        self.register_buffer("atoms", torch.tensor([t[0] for t in terms], dtype=torch.long), persistent=False)
        self.expression = parse_expression(force, force.getEnergyFunction()).bind(constants, ["x", "y", "z"])

    def energy(self, frame: Frame) -> Tensor:
        x, y, z = frame.x[self.atoms].unbind(1)
        return total(self.expression({"x": x, "y": y, "z": z}))
