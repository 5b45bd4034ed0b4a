"""Contract of pairings: which sample of the base goes to which configuration of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.nets.field import VectorField


class Pairing(ABC):
    """Pairs samples so that both ends keep their distributions and the paths between them are short."""

    def build(self, energy: Energy) -> Self:
        """Read what is needed of the system; by default nothing is.

        Raises:
            ValueError: pairing and energy do not fit, with the way out.
        """
        return self

    def check(self, base: BaseDensity, field: VectorField) -> None:
        """Refuse a base or a field that lacks what the pairing takes for granted; by default nothing is.

        Raises:
            ValueError: they do not fit, with the way out.
        """

    @abstractmethod
    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        """Return samples of the base and of the data, (B, *event_shape) each, so that row goes to row."""


class Independent(Pairing):
    """Pairs samples as they were drawn."""

    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        return x0, x1
