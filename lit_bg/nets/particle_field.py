"""The common part of fields of particles: types of particles, and an origin where there is a trap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.nets.field import VectorField, centre

if TYPE_CHECKING:
    from lit_bg.spaces import Symmetry, Target

TRANSLATION: frozenset[Symmetry] = frozenset({"translation"})


class ParticleField(VectorField):
    """Has the particles as nodes, and one node that stays at the origin if the system is in a trap.

    Where the energy sees translations, distances between particles do not say where the trap is. Then the origin is the last
    node, of a type of its own: it takes part in all that the particles do, but does not move, and the field neither declares
    translations nor takes the mean velocity away.
    """

    symmetries: frozenset[Symmetry] = frozenset({"translation", "rotation", "reflection"})
    exchangeable = True
    types: Tensor  # (M,) of the nodes

    def build(self, energy: Target) -> Self:
        """Take the types, and an origin if one is needed.

        Raises:
            ValueError: the system is not of particles, or lacks a symmetry other than translation.
        """
        self.symmetries = (self.symmetries - TRANSLATION) | (energy.symmetries & TRANSLATION)
        self.check_symmetries(energy)
        self.event_shape, self.context = energy.space.shape, len(energy.conditions)
        types = torch.tensor(energy.space.types)
        if self.trapped:
            types = torch.cat([types, types.max()[None] + 1])
        self.register_buffer("types", types, persistent=False)
        return self

    @property
    def trapped(self) -> bool:
        """Return whether the last node is the origin."""
        return "translation" not in self.symmetries

    def nodes(self, x: Tensor) -> Tensor:
        """Return the positions of the nodes, (B, N, d) -> (B, M, d)."""
        return torch.cat([x, torch.zeros_like(x[:, :1])], 1) if self.trapped else x

    def of_particles(self, v: Tensor) -> Tensor:
        """Return the velocities of the particles from those of the nodes, (B, M, d) -> (B, N, d)."""
        return v[:, :-1] if self.trapped else centre(v)
