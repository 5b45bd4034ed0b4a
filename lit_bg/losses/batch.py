"""The batch that one training step works on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.condition import draw_context
from lit_bg.generators.base import Generator
from lit_bg.losses.proposals import Proposals
from lit_bg.rng import Place

if TYPE_CHECKING:
    from lit_bg.data.sources import Source, WeightedFrames

BEGINNING = Place()


class Batch:
    """Holds proposals and training frames of one step, drawn once, and random numbers by their purpose.

    Everything is drawn when a loss asks for it, and once: all terms of a sum see the same. Every draw has an address of its
    own, (seed, "train/<purpose>", rank, step), so what one term draws does not depend on what another does.

    Args:
        generator: what is trained.
        energy: the system.
        size: proposals, and frames, of this step and rank.
        source: of training frames; None: there are none.
        at: where in the run this is.
        differentiable: whether a loss follows gradients through the proposals; without, no graph is kept.
        per_condition: proposals that share one set of conditions, where the energy has any: as many as a loss compares.
    """

    def __init__(
        self,
        generator: Generator,
        energy: Energy,
        size: int,
        source: Source | None = None,
        at: Place = BEGINNING,
        differentiable: bool = True,
        per_condition: int = 1,
    ) -> None:
        self.size = size
        self.groups = _groups(size, per_condition) if generator.context else 1
        self._generator, self._energy, self._source = generator, energy, source
        self._at, self._term = at, ""
        self._drawn: dict[str, Any] = {}  # shared by all views
        self.proposals = Proposals(generator, energy, size, self._draw_proposals, differentiable)

    def of(self, term: str) -> Self:
        """Return the same batch for a term of a sum, with random numbers of its own."""
        view = copy.copy(self)
        view._term = f"{self._term}{term}/"
        return view

    @property
    def device(self) -> torch.device | str:
        """Return the device on which everything is drawn."""
        return self._at.device

    def _address(self, purpose: str) -> torch.Generator:
        return self._at.stream(f"train/{purpose}")

    def rng(self, purpose: str) -> torch.Generator:
        """Return the stream of a purpose, from its beginning: ask once for each."""
        return self._address(self._term + purpose)

    def _draw_proposals(self) -> tuple[torch.Generator, Tensor | None]:
        return self._address("proposals"), self.context

    @property
    def context(self) -> Float[Tensor, "B C"] | None:
        """Return the conditions of the proposals, (size, C), evenly over their ranges; None where there are none.

        Proposals of one set of conditions follow one another: `size / groups` of them.
        """
        if not self._generator.context:
            return None
        if "context" not in self._drawn:
            drawn = draw_context(self._generator.conditions, self.groups, self._address("context"))
            self._drawn["context"] = drawn.repeat_interleave(self.size // self.groups, 0)
        return self._drawn["context"]

    @property
    def frames(self) -> WeightedFrames:
        """Return training frames, `size` of them, with weights of mean one.

        Raises:
            ValueError: there are none.
        """
        if self._source is None:
            raise ValueError(
                "the loss learns from frames and there are no data: set data.path or data.source, or train from the energy "
                "(ReverseKL)."
            )
        if "frames" not in self._drawn:
            self._drawn["frames"] = self._source.draw(self.size, self._address("frames"))
        return self._drawn["frames"]


def _groups(size: int, per_condition: int) -> int:
    """Return the largest number of equal groups with at least so many members; one where there are too few.

    >>> _groups(1024, 64), _groups(1000, 64), _groups(10, 64)
    (16, 10, 1)
    """
    return next(groups for groups in range(max(size // per_condition, 1), 0, -1) if size % groups == 0)
