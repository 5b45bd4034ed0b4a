"""Flows along the solutions of an ordinary differential equation."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base_density import BaseDensity, StandardNormal
from lit_bg.generators.transport import Transport
from lit_bg.nets.divergence import Divergence, Exact
from lit_bg.nets.field import VectorField, centred
from lit_bg.solvers.base import Solver, State
from lit_bg.solvers.fixed_step import RungeKutta4
from lit_bg.transforms.domain import Kind


class ContinuousFlow(Transport):
    r"""$\dot y = v(y, t)$ from a base density at t = 0 to $x = a + b\, y(1)$, with log q in the same pass.

    $\frac{d}{dt} \log q = -\nabla \cdot v$. The coordinates y are those of the system in units of the width of the data
    (`adapt`), one width for all particles and no shift, so that no symmetry is lost; for systems of shape (D,) mean and
    width of every coordinate. On translation-invariant systems neither base nor field moves the centre of mass, and density and
    divergence are those of the centre-of-mass-free subspace.

    The map of a finite number of steps is not quite the flow whose density is written down; weights are as good as log q,
    so check that more steps change nothing that matters.

    Args:
        field: v.
        prior: the base density; by default a standard normal.
        solver: of the equation; by default RungeKutta4(20).
        divergence: exact or estimated, by default exact.
        scale: width of the data, where no data will say.

    Raises:
        ValueError: a scale that is not positive; from `build`, coordinates on circles or intervals, or a field that moves
            the centre of mass or expects conditions.

    References:
        Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv:1806.07366.
        Koehler, Klein, Noe, ICML 2020, arXiv:2006.02425, for densities without a centre of mass.
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        field: VectorField,
        prior: BaseDensity | None = None,
        solver: Solver | None = None,
        divergence: Divergence | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"ContinuousFlow needs scale > 0, got {scale}.")
        self.field = field
        self.prior: BaseDensity = StandardNormal() if prior is None else prior
        self.solver: Solver = RungeKutta4() if solver is None else solver
        self.divergence: Divergence = Exact() if divergence is None else divergence
        self.start_scale = scale
        self.evaluations = 0  # of the field, per sample, in the last pass

    def build(self, energy: Energy) -> Self:
        name = type(energy).__name__
        if (energy.domain.kinds != Kind.LINEAR).any():
            raise ValueError(
                f"ContinuousFlow lives on lines, and {name} has coordinates on circles or intervals: use CouplingFlow."
            )
        self.field.build(energy)
        if energy.translation_invariant and "translation" not in self.field.symmetries:
            raise ValueError(
                f"{name} does not see translations and {type(self.field).__name__} does: its flow would move the centre of "
                "mass, which has no density; use a field that is translation-invariant (EGNN)."
            )
        if self.field.context:
            raise ValueError(
                f"{type(self.field).__name__} expects {self.field.context} conditions and ContinuousFlow has none to give: "
                "leave its context out."
            )
        self.prior.build(energy)
        self.event_shape, self.degrees_of_freedom = energy.event_shape, energy.degrees_of_freedom
        widths = energy.event_shape if len(energy.event_shape) == 1 else (1,)
        self.register_buffer("loc", torch.zeros(widths))
        self.register_buffer("scale", torch.full(widths, self.start_scale))
        return self

    @property
    def exact_density(self) -> bool:
        return self.divergence.exact

    def adapt(self, x: Tensor) -> None:
        x = x.to(torch.float64)
        if len(self.event_shape) == 1:
            self.loc.copy_(x.mean(0))
            width = x.std(0, correction=0)
        else:
            width = (self.free(x).square().flatten(1).sum(-1).mean() / self.degrees_of_freedom).sqrt()
        if not (width > 1e-10).all():
            raise ValueError(
                f"the {len(x)} frames of data do not vary: ContinuousFlow needs two different values of each coordinate."
            )
        self.scale.copy_(width)

    def to_unit(self, x: Tensor) -> Tensor:
        """Configurations in units of the width of the data, `free`."""
        return self.free((x - self.loc) / self.scale)

    def free(self, y: Tensor) -> Tensor:
        """Without centre of mass, where the field does not see it."""
        return centred(y) if "translation" in self.field.symmetries else y

    @property
    def _log_scale(self) -> Tensor:
        """log|det dx/dy|."""
        repeat = self.degrees_of_freedom / self.scale.numel()
        return repeat * self.scale.log().sum()

    def _integrate(self, y: Tensor, start: float, end: float, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """y at the end and the integral of the divergence on the way."""
        self.evaluations = 0

        def rate(t: Tensor, state: State) -> State:
            self.evaluations += 1
            return self.divergence(self.field, t.to(y).expand(len(y)), state[0], noise)

        end_state = self.solver.integrate(rate, (y, y.new_zeros(len(y))), start, end, self.field)
        return end_state[0], end_state[1]

    def _noise(self, y: Tensor, rng: torch.Generator | None = None) -> Tensor | None:
        if self.divergence.exact:
            return None
        return self.divergence.draw(y, torch.Generator(y.device).manual_seed(0) if rng is None else rng)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._push(z, self._noise(z))

    def _push(self, z: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        y, ladj = self._integrate(z, 0.0, 1.0, noise)
        return self.loc + self.scale * y, ladj + self._log_scale

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.to_unit(x)
        z, ladj = self._integrate(y, 1.0, 0.0, self._noise(y))
        return z, ladj - self._log_scale

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z, log_p = self.prior.sample(n, rng)
        x, ladj = self._push(z, self._noise(z, rng))
        return x, log_p - ladj
