"""Contract of losses: what a generator minimises in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from jaxtyping import Float
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses.batch import Batch


class Loss(nn.Module, ABC):
    """Defines a scalar to minimise, the mean over the local batch (DDP averages over ranks).

    It is described by its constructor and learns from `build(generator, energy)` what it trains and on what; then
    `forward(batch)` is its value on one `Batch`.
    """

    needs_data: bool = False
    needs_log_prob: bool = False  # the density of configurations that the generator did not just draw
    follows_proposals: bool = True  # whether gradients go through the proposals, as in the reparametrisation trick
    per_condition: int = 1  # proposals under the same conditions that it compares with each other

    def build(self, generator: Generator, energy: Energy) -> Self:
        """Take what is trained and on what, and refuse what cannot work, before training starts.

        Raises:
            ValueError: generator, energy and loss do not fit, with the way out.
        """
        if self.needs_log_prob and not generator.has_log_prob:
            raise ValueError(
                f"{type(self).__name__} needs the density of given configurations and {type(generator).__name__} has no "
                "log_prob: train it from the energy (ReverseKL), or use a flow."
            )
        # In a tuple, where nn.Module does not look: they are not the loss's own, in no state dict, checkpoint or device twice.
        self._about = (generator, energy)
        return self

    @property
    def generator(self) -> Generator:
        """Return what is trained."""
        return self._built()[0]

    @property
    def energy(self) -> Energy:
        """Return the system."""
        return self._built()[1]

    def _built(self) -> tuple[Generator, Energy]:
        about: tuple[Generator, Energy] | None = vars(self).get("_about")
        if about is None:
            raise RuntimeError(f"{type(self).__name__} was not built: call build(generator, energy) first.")
        return about

    def at_step(self, step: int) -> None:
        """Take the global step before each training step, which a schedule uses."""

    @abstractmethod
    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss, a scalar."""

    def parts(self) -> dict[str, Float[Tensor, ""]]:
        """Return named terms of the last call, for the log; by default none."""
        return {}
