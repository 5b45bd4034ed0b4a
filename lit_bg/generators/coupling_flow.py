"""Normalizing flows of coupling layers: RealNVP and neural spline flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.bases.canonical import Canonical
from lit_bg.bases.through_chart import ThroughChart
from lit_bg.energies.base import Energy
from lit_bg.generators.transport import Transport
from lit_bg.transforms.affine import Affine
from lit_bg.transforms.base import Chart, Layer
from lit_bg.transforms.chain import Chain
from lit_bg.transforms.compiled import pull, push
from lit_bg.transforms.conditional import ConditionalMap
from lit_bg.transforms.coupling import Coupling
from lit_bg.transforms.elementwise import Elementwise
from lit_bg.transforms.periodic_cell import PeriodicCell
from lit_bg.transforms.permutation import Permutation
from lit_bg.transforms.spline import Spline
from lit_bg.transforms.standardize import Standardize


class CouplingFlow(Transport):
    """Chains a prior, blocks of coupling layers on canonical coordinates, and a chart to the system.

    One block is two layers: the coordinates are split at random into halves, each half is moved once as
    the other says, so a block moves every coordinate once. The flow starts as the prior seen through the
    chart. A system of one coordinate has nothing to depend on; its blocks are free elementwise maps. Conditions of the energy
    are further inputs of every network.

    Args:
        blocks: number of blocks.
        transform: "spline" (lines, intervals and circles) or "affine" (RealNVP, lines only).
        hidden: widths of the hidden layers of each network.
        bins: bins of each spline.
        coordinates: the chart; by default Standardize(), of particles in a cell PeriodicCell().
        prior: the base density; by default Canonical(): standard normal on lines, uniform on intervals and circles.
        compile: compile the stack of layers at first use. Each batch size costs a compilation of about a
            minute, so it pays after some thousand steps.

    Raises:
        ValueError: a number that makes no flow, or a system that needs a chart or another transform.

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), arXiv:1605.08803.
        Durkan, Bekasov, Murray, Papamakarios (2019), arXiv:1906.04032.
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147.

    >>> from lit_bg.energies import DoubleWell
    >>> flow = CouplingFlow(blocks=2, hidden=(16,)).build(DoubleWell())
    >>> x, log_q = flow.sample(5, torch.Generator().manual_seed(0))
    >>> torch.allclose(flow.log_prob(x), log_q)
    True
    """

    def __init__(
        self,
        blocks: int = 8,
        transform: Literal["spline", "affine"] = "spline",
        hidden: tuple[int, ...] = (64, 64),
        bins: int = 8,
        coordinates: Chart | None = None,
        prior: BaseDensity | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"CouplingFlow needs at least one block, got blocks={blocks}.")
        self.blocks = blocks
        self.transform = transform
        self.hidden = tuple(hidden)
        self.bins = bins
        self.coordinates: Chart | None = coordinates
        self.prior = Canonical() if prior is None else prior
        self.compile_stack = compile

    def build(self, energy: Energy) -> Self:
        if self.coordinates is None:
            self.coordinates = Standardize() if energy.space.cell is None else PeriodicCell()
        usual = energy.given()  # the system itself, at the conditions that hold where none are given
        chart = self.coordinates.build(usual)
        self.event_shape, self.conditions = energy.space.shape, energy.conditions
        self.prior.build(usual, chart.space)
        if self.prior.space != chart.space:  # a density of configurations
            self.prior = ThroughChart(self.prior, chart)
        self.stack = Chain(self._layers(chart.domain.kinds))
        return self

    @property
    def chart(self) -> Chart:
        """Return the coordinates, which `build` has chosen where none were given."""
        assert self.coordinates is not None, "call build(energy) first"
        return self.coordinates

    def _map(self, kinds: Tensor) -> ConditionalMap:
        return Affine(kinds) if self.transform == "affine" else Spline(kinds, self.bins)

    def _layers(self, kinds: Tensor) -> Iterator[Layer]:
        D = len(kinds)
        if D == 1:
            yield from (Elementwise(self._map(kinds), self.context, self.hidden) for _ in range(self.blocks))
            return
        at = torch.arange(D)  # which coordinate stands where, so that one permutation per block is enough
        for block in range(self.blocks):
            order = torch.randperm(D, generator=torch.Generator().manual_seed(block))
            yield Permutation(at.argsort()[order])
            at = order
            a, b = kinds[order].tensor_split(2)
            yield Coupling(self._map(b), a, self.hidden, conditions=self.context)
            yield Coupling(self._map(a), b, self.hidden, first=False, conditions=self.context)
        yield Permutation(at.argsort())

    def adapt(self, x: Tensor) -> None:
        self.chart.adapt(x)

    def complete(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return self.chart.complete(x, rng)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scaled = self.scale_context(context, z)
        y, ladj = push(self.stack, z, scaled) if self.compile_stack else self.stack(z, scaled)
        x, chart_ladj = self.chart(y)
        return x, ladj + chart_ladj

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scaled = self.scale_context(context, x)
        y, chart_ladj = self.chart.inverse(x)
        z, ladj = pull(self.stack, y, scaled) if self.compile_stack else self.stack.inverse(y, scaled)
        return z, ladj + chart_ladj
