"""Contract of forces: a force is a term of the potential energy over a batch of configurations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from lit_bg.forces.selection import Differences
from lit_bg.forces.squared_distances import SquaredDistances, minimum_image


class Frame:
    """Holds configurations as forces see them: the batch last, so that every term is one row of contiguous numbers.

    Args:
        x: positions, (N, 3, B) [nm], contiguous.
        box: (3, 3) lower triangular box vectors [nm]; None without a box.
        all_pairs: whether there are forces between all atoms.
    """

    pairs: Tensor  # squared distances of all atoms from all, (N, N, B) [nm^2], of nearest images where there is a box
    inverse_distance: Tensor  # 1 / r of all pairs [1/nm]
    distance: Tensor  # r of all pairs [nm]

    def __init__(self, x: Tensor, box: Tensor | None, all_pairs: bool) -> None:
        self.x, self.box = x, box
        if all_pairs:  # not cached properties, whose locks the compiler cannot follow
            self.pairs = SquaredDistances.apply(x, box)
            self.inverse_distance = self.pairs.rsqrt()
            self.distance = self.pairs * self.inverse_distance

    def differences(self, between: Differences, periodic: bool = False) -> Tensor:
        """Return x_i - x_j, (M, 3, B); with `periodic` those of the nearest images."""
        d = between(self.x)
        if not periodic or self.box is None:
            return d
        return minimum_image(d, self.box)


class System(NamedTuple):
    """Holds what the forces of a System share."""

    n: int  # number of atoms
    masses: tuple[float, ...]  # [amu]
    box: Tensor | None  # (3, 3) float64 [nm], lower triangular


class Force(nn.Module, ABC):
    """Evaluates one kind of interaction, with its parameters as float64 buffers; `.to(dtype)` fits them to the configurations.

    A subclass reads an object of the class of OpenMM that it stands for, once: `__init__(force, system)`.

    Raises:
        Untranslatable: from the constructor, when the object asks for something that is not translated.
    """

    needs_pairs: bool = False  # whether `energy` uses Frame.pairs
    sees_positions: bool = False  # whether it may depend on positions in space, and not on distances and angles alone
    group: int = 0  # force group, for energies by group
    name: str = ""

    @abstractmethod
    def energy(self, frame: Frame) -> Tensor:
        """Return the energy of every configuration, (B,) float64 [kJ/mol]."""


class Bonded(Force):
    """Evaluates terms between a few atoms each, whose energies and gradients have a closed form."""

    atoms: Tensor  # (M, k) of the terms
    periodic: bool = False  # whether distances are those to the nearest images: then without closed form

    @abstractmethod
    def closed_form(self, *x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the energies of the terms, (M, B), and their gradients by the positions of the k atoms, (M, 3, B) each.

        Args:
            x: positions of the k atoms, (M, 3, B) each.
        """

    def constant_energy(self) -> Tensor | float:
        """Return the constant that the energies of the terms leave out [kJ/mol]."""
        return 0.0


class Untranslatable(Exception):
    """Says that only OpenMM can evaluate something in a System; the message names it."""


def total(terms: Tensor) -> Tensor:
    """Sum (M, B) or (N, N, B) over all but the last dimension, (B,) float64.

    Rows are added in their own precision, in a cascade whose error hardly grows with their number; a conversion of
    all terms, forward and backward, would take as long as the forces themselves. Sums of different forces are added
    in float64.
    """
    if terms.dim() == 3:
        terms = terms.sum(1)
    return terms.sum(0).double()
