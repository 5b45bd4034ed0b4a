"""Normalizing flows of coupling layers: RealNVP and neural spline flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.prior import Prior
from lit_bg.generators.transport import Transport
from lit_bg.transforms.affine import Affine
from lit_bg.transforms.base import Chart, Layer
from lit_bg.transforms.chain import Chain
from lit_bg.transforms.compiled import pull, push
from lit_bg.transforms.conditional import ConditionalMap
from lit_bg.transforms.coupling import Coupling
from lit_bg.transforms.elementwise import Elementwise
from lit_bg.transforms.permutation import Permutation
from lit_bg.transforms.spline import Spline
from lit_bg.transforms.standardize import Standardize


class CouplingFlow(Transport):
    """A prior, blocks of coupling layers on canonical coordinates, and a chart to the system.

    One block is two layers: the coordinates are split at random into halves, each half is moved once as
    the other says, so a block moves every coordinate once. The flow starts as the prior seen through the
    chart. A system of one coordinate has nothing to depend on; its blocks are free elementwise maps. Conditions of the energy
    are further inputs of every network.

    Args:
        blocks: number of blocks.
        transform: "spline" (lines, intervals and circles) or "affine" (RealNVP, lines only).
        hidden: widths of the hidden layers of each network.
        bins: bins of each spline.
        coordinates: the chart; by default Standardize() for systems of shape (D,).
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
        compile: bool = False,
    ) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"CouplingFlow needs at least one block, got blocks={blocks}.")
        self.blocks = blocks
        self.transform = transform
        self.hidden = tuple(hidden)
        self.bins = bins
        self.coordinates: Chart = Standardize() if coordinates is None else coordinates
        self.compile_stack = compile

    def build(self, energy: Energy) -> Self:
        if isinstance(self.coordinates, Standardize) and len(energy.event_shape) > 1:
            raise ValueError(
                f"CouplingFlow has {energy.dim} dimensions, {_describe(energy)} has shape {energy.event_shape}: put an "
                "InternalCoordinates transform between them (coordinates: InternalCoordinates), or use a generator for "
                "particles."
            )
        self.coordinates.build(energy.given())  # the system itself, at the conditions that hold where none are given
        self.event_shape, self.conditions = energy.event_shape, energy.conditions
        domain = self.coordinates.domain
        self.prior = Prior(domain)
        self.stack = Chain(self._layers(domain.kinds))
        return self

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
        self.coordinates.adapt(x)

    def complete(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return self.coordinates.complete(x, rng)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scaled = self.scaled(context, z)
        y, ladj = push(self.stack, z, scaled) if self.compile_stack else self.stack(z, scaled)
        x, chart_ladj = self.coordinates(y)
        return x, ladj + chart_ladj

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scaled = self.scaled(context, x)
        y, chart_ladj = self.coordinates.inverse(x)
        z, ladj = pull(self.stack, y, scaled) if self.compile_stack else self.stack.inverse(y, scaled)
        return z, ladj + chart_ladj


def _describe(energy: Energy) -> str:
    name, shape = type(energy).__name__, energy.event_shape
    return f"{name}({shape[0]} atoms)" if shape[-1] == 3 else name
