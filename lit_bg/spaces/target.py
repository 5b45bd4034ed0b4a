"""What a system tells of itself to what is built for it."""

from __future__ import annotations

from typing import Any, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from lit_bg.spaces.base import Space, Symmetry


class Target(Protocol):
    """Says where a system lives, what it does not see and what it depends on, as every `Energy` does.

    Fields, charts, samples and estimators need no more, so they stand below the energies and do not import them.
    """

    @property
    def space(self) -> Space:
        """Return where configurations live."""

    @property
    def symmetries(self) -> frozenset[Symmetry]:
        """Return the moves of all particles at once that leave the energy as it is."""

    @property
    def conditions(self) -> tuple[Any, ...]:
        """Return what the energy depends on besides the configuration."""

    @property
    def default_context(self) -> Float[Tensor, "C"] | None:
        """Return the conditions that hold where none are given, (C,); None: there are none."""

    def __call__(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return the reduced energies of configurations (B, *shape), (B,) [kT]."""

    def conditioned(self, x: Float[Tensor, "B *shape"], context: Float[Tensor, "... C"] | None = None) -> Float[Tensor, "B"]:
        """Return reduced energies with conditions for each row, (B, C), or for all, (C,): (B,) [kT]."""

    def in_region(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        """Say which configurations the target covers, (B,) bool."""
