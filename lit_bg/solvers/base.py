"""Contract of solvers of ordinary differential equations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

OdeState = tuple[Tensor, ...]
Rate = Callable[[Tensor, OdeState], OdeState]  # time (), state -> d state / dt


class Solver(ABC):
    """Integrates the equation of a batch of trajectories; a new method is a subclass."""

    @abstractmethod
    def integrate(self, rate: Rate, state: OdeState, start: float, end: float, module: nn.Module) -> OdeState:
        """Return the state at `end`.

        Args:
            rate: the right-hand side.
            state: at `start`; tensors of any shapes, the batch first.
            start, end: times, in either order.
            module: holds the parameters of `rate`, for methods that must know them.

        Raises:
            FloatingPointError: the step became too small, or the state is not finite.
        """
