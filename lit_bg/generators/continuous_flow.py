"""Flows along the solutions of an ordinary differential equation."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.bases.normal import Normal
from lit_bg.energies.base import Energy
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.generators.transport import Transport
from lit_bg.nets.divergence import Divergence, ExactDivergence
from lit_bg.nets.field import VectorField
from lit_bg.solvers.base import OdeState, Solver
from lit_bg.solvers.fixed_step import RungeKutta4


class ContinuousFlow(FieldGenerator, Transport):
    r"""Integrates $\dot y = v(y, t)$ from a base density at t = 0 to $x = a + b\, y(1)$, with log q in the same pass.

    $\frac{d}{dt} \log q = -\nabla \cdot v$, with coordinates y in `Units` of the data. On translation-invariant systems
    neither base nor field moves the centre of mass, and density and divergence are those of the centre-of-mass-free subspace.

    The field gets the conditions of the energy (temperature, say), scaled to [-1, 1].

    The map of a finite number of steps is not quite the flow whose density is written down; weights are as good as log q,
    so check that more steps change nothing that matters. Maximum likelihood through few steps makes it matter: it finds
    fields on which the solver errs in its favour, and then a held-out NLL below the entropy of the data gives it away.

    Args:
        field: v.
        prior: the base density; by default a standard normal.
        solver: of the equation; by default RungeKutta4(20).
        divergence: exact or estimated, by default exact.
        scale: width of the data, where no data will say.

    Raises:
        ValueError: a scale that is not positive; from `build`, coordinates on circles or intervals, a field that moves
            the centre of mass, or a divergence that does not fit the field; from all others, conditions that are missing
            or too many.

    References:
        Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv:1806.07366.
        Koehler, Klein, Noe, ICML 2020, arXiv:2006.02425, for densities without a centre of mass.
    """

    prior: BaseDensity

    def __init__(
        self,
        field: VectorField,
        prior: BaseDensity | None = None,
        solver: Solver | None = None,
        divergence: Divergence | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(field, Normal() if prior is None else prior, scale)
        self.solver: Solver = RungeKutta4() if solver is None else solver
        self.divergence: Divergence = ExactDivergence() if divergence is None else divergence

    def build(self, energy: Energy) -> Self:
        super().build(energy)
        self.divergence.check(self.field)
        return self

    @property
    def exact_density(self) -> bool:
        return self.divergence.exact

    def _integrate(
        self, y: Tensor, start: float, end: float, noise: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return y at the end and the integral of the divergence on the way."""
        conditions = self.scale_context(context, y)
        evaluations = 0

        def rate(t: Tensor, state: OdeState) -> OdeState:
            nonlocal evaluations
            evaluations += 1
            return self.divergence(self.field, t.to(y).expand(len(y)), state[0], noise, conditions)

        end_state = self.solver.integrate(rate, (y, y.new_zeros(len(y))), start, end, self.field)
        self.evaluations = evaluations
        return end_state[0], end_state[1]

    def _noise(self, y: Tensor, rng: torch.Generator | None = None) -> Tensor | None:
        if self.divergence.exact:
            return None
        return self.divergence.draw(y, torch.Generator(y.device).manual_seed(0) if rng is None else rng)

    def _push(self, z: Tensor, noise: Tensor | None, context: Tensor | None) -> tuple[Tensor, Tensor]:
        y, ladj = self._integrate(z, 0.0, 1.0, noise, context)
        return self.units.outward(y), ladj + self.units.log_scale

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._push(z, self._noise(z), context)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = self.units.inward(x)
        z, ladj = self._integrate(y, 1.0, 0.0, self._noise(y), context)
        return z, ladj - self.units.log_scale

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_p = self.prior.sample(n, rng)
        x, ladj = self._push(z, self._noise(z, rng), context)
        return x, log_p - ladj

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        z, ladj = self.inverse(x, context)
        return self.prior.log_prob(z) + ladj

    def log_prob_variance(self, x: Tensor, rng: torch.Generator, context: Tensor | None = None) -> Tensor | None:
        if self.exact_density:
            return None
        y = self.units.inward(x)
        first, second = (self._integrate(y, 1.0, 0.0, self._noise(y, rng), context)[1] for _ in range(2))
        return 0.5 * (first - second).square()
