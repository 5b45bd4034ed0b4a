"""What a molecule tells of itself to what is built for it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from lit_bg.molecules.structure import Structure
from lit_bg.spaces.target import Target


class MolecularTarget(Target, Protocol):
    """Knows atoms and bonds, where the system is a molecule, besides what every `Target` knows."""

    @property
    def kT(self) -> float:
        """Return the temperature in the unit of `potential`."""

    @property
    def structure(self) -> Structure | None:
        """Return atoms, bonds and starting positions; None: it is no molecule."""

    @property
    def initial(self) -> Tensor | None:
        """Return configurations to start from, (K, N, 3) [nm]."""

    def potential(self, x: Tensor) -> Tensor:
        """Return the potential of configurations (B, N, 3), (B,), which is not counted."""
