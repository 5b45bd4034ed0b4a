"""The common part of generators that move coordinates by a vector field."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.units import Units
from lit_bg.nets.field import VectorField


class FieldGenerator(Generator):
    """Joins a base density and a field that carries it to the target, on lines and in `Units` of the data.

    Args:
        field: what moves the coordinates.
        prior: the base density.
        scale: width of the data, where no data will say.
    """

    units: Units

    def __init__(self, field: VectorField, prior: BaseDensity, scale: float) -> None:
        super().__init__()
        self.field, self.prior, self.start_scale = field, prior, scale

    def build(self, energy: Energy) -> Self:
        """Build field and base on what they see of the system.

        Raises:
            ValueError: coordinates on circles or intervals, a field that moves a centre of mass that has no density, or one
                that does not follow the conditions of the energy.
        """
        name, system = type(self).__name__, type(energy).__name__
        if not energy.space.unbounded:
            spins = "no gradient, so that no flow applies"
            where = spins if not energy.space.continuous else "coordinates on circles or intervals: use CouplingFlow"
            raise ValueError(f"{name} lives on lines, and {system} has {where}.")
        seen = self.view_target(energy)
        self.field.build(seen)
        if energy.space.dof != energy.space.dim and "translation" not in self.field.symmetries:
            raise ValueError(
                f"{system} does not see translations and {type(self.field).__name__} does: its flow would move the centre of "
                "mass, which has no density; use a field that is translation-invariant (EGNN)."
            )
        if self.field.context != len(energy.conditions):
            known = ", ".join(map(str, energy.conditions)) or "none"
            raise ValueError(
                f"{system} has {len(energy.conditions)} conditions ({known}) and {type(self.field).__name__} takes "
                f"{self.field.context}: a field takes those of `energy.conditions` in its `build`."
            )
        self.conditions = energy.conditions
        self.prior.build(seen)
        self.event_shape, self.units = energy.space.shape, Units(energy, self.start_scale)
        return self

    def view_target(self, energy: Energy) -> Energy:
        """Return the system as field, base and pairings see it, which is as it is unless the density is folded.

        Raises:
            ValueError: a system that cannot be folded.
        """
        return energy

    def adapt(self, x: Tensor) -> None:
        self.units.adapt(x)
