"""An equivariant graph network over all pairs of particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor, nn

from lit_bg.nets.egnn_layer import EGNNLayer, Pairs, Tangent, Values
from lit_bg.nets.particle_field import ParticleField
from lit_bg.nets.time_features import TIMES, time_features

if TYPE_CHECKING:
    from lit_bg.energies.base import Energy

CHUNK = 2**25  # numbers in the largest tensor of the divergence, at most: 128 MiB in float32


class EGNN(ParticleField):
    """Velocities of particles from messages between all pairs; it starts as v = 0.

    It follows rotations, reflections and exchanges of particles of one type, does not see translations and does not move the
    centre of mass; in a trap the origin is one more node, which stays where it is, and then it sees translations. The density
    of a flow with it is the same for mirror images: chiral molecules need a `TensorProductField`.

    The exact divergence is propagated forward by hand. Of L layers the first is linear in what any direction needs and the
    last needs one row of each, so that L - 2 layers are left that cost N d passes. With the velocity it cost 3.5, 10 and 25
    velocities of 13, 22 and 55 particles for two layers, and 12 and 41 of 13 and 22 for four (width 32, one core,
    tests/benchmarks/test_divergence_speed.py); `vmap(jacrev)` took 8.5 and 17 times as long as two layers, 2.7 and 2.0 as four.

    Args:
        layers: number of layers.
        width: features of particles and messages.
        context: number of conditions C.

    Raises:
        ValueError: a number below one; from `build`, a system that is not of particles or lacks the symmetries.

    References:
        Satorras, Hoogeboom, Fuchs, Posner, Welling, NeurIPS 2021, arXiv:2105.09016.
    """

    def __init__(self, layers: int = 4, width: int = 64, context: int = 0) -> None:
        super().__init__()
        if min(layers, width) < 1 or context < 0:
            raise ValueError(f"EGNN needs layers, width >= 1 and context >= 0, got {layers=}, {width=}, {context=}.")
        self.depth, self.width, self.context = layers, width, context

    def build(self, energy: Energy) -> Self:
        super().build(energy)
        self.embedding = nn.Embedding(int(self.types.max()) + 1, self.width)
        self.conditions = nn.Linear(TIMES + self.context, self.width)
        layers = [EGNNLayer(self.width, fixed=int(self.trapped)) for _ in range(self.depth)]
        for layer in layers:
            nn.init.zeros_(layer.weight2.weight)
        self.layers = nn.ModuleList(layers)
        return self

    @property
    def _layers(self) -> list[EGNNLayer]:
        return [cast(EGNNLayer, layer) for layer in self.layers]

    def _features(self, t: Tensor, context: Tensor | None) -> Tensor:
        known = [] if context is None else [context]
        conditions = self.conditions(torch.cat([time_features(t), *known], -1))
        return self.embedding(self.types) + conditions[:, None]

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        nodes = self.nodes(x)
        h, moved, start = self._features(t, context), nodes, Pairs.of(nodes)
        for layer in self._layers:
            h, moved, _, _ = layer(h, moved, start)
        return self.of_particles(moved - nodes)

    def with_divergence(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        nodes = self.nodes(x)
        h, moved, start = self._features(t, context), nodes, Pairs.of(nodes)
        passed: list[tuple[Pairs, Values]] = []
        layers = self._layers
        for layer in layers:
            h, moved, pairs, left = layer(h, moved, start)
            passed.append((pairs, left.values()))
        B, n, d = nodes.shape
        moving = torch.arange(x.shape[1], device=x.device)
        first = layers[0].first_tangent(*passed[0]) if self.depth > 1 else None
        per_atom = B * d * n * n * self.width if self.depth > 2 else B * d * n * self.width
        traces = []
        for atoms in moving.split(max(1, CHUNK // per_atom)):
            directions = (d * atoms[:, None] + torch.arange(d, device=x.device)).flatten()
            unit = _unit(atoms, n, d, x)
            along = Tangent(h.new_zeros(B, len(directions), n, self.width), unit.expand(B, -1, -1, -1))
            dr2 = 2 * torch.einsum("bijd,kijd->bkij", start.away, unit[0, :, :, None] - unit[0, :, None])
            ds0 = dr2 / (1 + start.r2[:, None])
            if first is not None:
                along = Tangent(first.h[:, directions], first.x[:, directions])
            for layer, (pairs, values) in zip(layers[1:-1], passed[1:-1], strict=True):
                along = layer.tangent(along, ds0, pairs, values)
            traces.append(layers[-1].last_trace(along, ds0, atoms, *passed[-1]))
        # Taking the mean velocity away changes nothing: no direction of a common translation has a derivative.
        return self.of_particles(moved - nodes), torch.stack(traces).sum(0) - x[0].numel()


def _unit(atoms: Tensor, n: int, d: int, like: Tensor) -> Tensor:
    """Unit displacements of the coordinates of some particles, (1, A d, N, d)."""
    rows = torch.eye(n, device=like.device, dtype=like.dtype)[atoms]
    axes = torch.eye(d, device=like.device, dtype=like.dtype)
    return torch.einsum("ai,kl->akil", rows, axes).reshape(1, -1, n, d)
