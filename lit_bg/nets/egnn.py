"""An equivariant graph network over all pairs of particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor, nn

from lit_bg.nets.egnn_layer import Displacements, EGNNLayer, Passed, RadialTangent, Tangent
from lit_bg.nets.particle_field import ParticleField
from lit_bg.nets.time_features import TIMES, time_features

if TYPE_CHECKING:
    from lit_bg.spaces import Target

PAIRS = 2**17  # on a CPU, numbers in a tensor of all pairs: with those of a few directions it stays in the cache
DIRECTIONS = 2**20, 2**27  # numbers in a tensor of pairs and directions on a CPU and elsewhere


class EGNN(ParticleField):
    """Computes velocities of particles from messages between all pairs; it starts as v = 0.

    It follows rotations, reflections and exchanges of particles of one type, does not see translations and does not move the
    centre of mass; in a trap the origin is one more node, which stays where it is, and then it sees translations. The density
    of a flow with it is the same for mirror images: chiral molecules need a `TensorProductField`.

    The exact divergence is propagated forward by hand. Of L layers the first is linear in what any direction needs and the
    last needs one row of each, so that L - 2 layers are left with a matrix product per pair and direction. With the velocity
    it cost 3.3, 3.9 and 5.5 velocities of 13, 22 and 55 particles for two layers, and 8, 16 and 60 for four (width 32, one core
    beside another job, tests/benchmarks/test_divergence_speed.py). `vmap(jacrev)` took 11, 18 and 34 times as long for two
    layers and 2.5, 3.5 and 4.7 times for four, and 18, 29, 86 and 3.6, 5.2, 7.1 times as long as the
    compiled one.

    Args:
        layers: number of layers.
        width: features of particles and messages.

    Raises:
        ValueError: a number below one; from `build`, a system that is not of particles or lacks the symmetries.

    References:
        Satorras, Hoogeboom, Fuchs, Posner, Welling, NeurIPS 2021, arXiv:2105.09016.
    """

    def __init__(self, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        if min(layers, width) < 1:
            raise ValueError(f"EGNN needs layers, width >= 1, got {layers=}, {width=}.")
        self.depth, self.width = layers, width

    def build(self, energy: Target) -> Self:
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
        h, moved, start = self._features(t, context), nodes, Displacements.of(nodes)
        for layer in self._layers:
            h, moved, _ = layer(h, moved, start)
        return self.of_particles(moved - nodes)

    def at_once(self, x: Tensor) -> int:
        n = len(self.types)
        return max(1, PAIRS // (n * n * self.width)) if x.device.type == "cpu" else len(x)

    def with_divergence(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        nodes = self.nodes(x)
        h, moved, start = self._features(t, context), nodes, Displacements.of(nodes)
        passed: list[Passed] = []
        layers = self._layers
        for layer in layers:
            h, moved, left = layer(h, moved, start)
            passed.append(left)
        first = layers[0].radial_tangent(passed[0]) if self.depth > 1 else None
        shared = [layer.slopes(p) for layer, p in zip(layers[1:-1], passed[1:-1], strict=True)]
        by = layers[-1].weight_slope(passed[-1])
        B, n, d = nodes.shape
        per_atom = B * d * n * (n * self.width if self.depth > 2 else d)
        at_once = max(1, DIRECTIONS[x.device.type != "cpu"] // per_atom)
        traces = []
        for atoms in torch.arange(x.shape[1], device=x.device).split(at_once):
            unit = _unit(atoms, n, d, x)  # (A, d, N, d)
            dr2 = 2 * torch.einsum("bijl,akijl->bakij", start.away, unit[..., :, None, :] - unit[..., None, :, :])
            ds0 = dr2 / (1 + start.r2[:, None, None])
            along: Tangent | RadialTangent
            if first is None:
                along = Tangent(h.new_zeros(B, len(atoms), d, n, self.width), unit.expand(B, -1, -1, -1, -1))
                dx = along.x
            elif self.depth == 2:
                along, dx = first, first.moved(atoms)
            else:
                along = first.tangent(atoms)
                for layer, p, slopes in zip(layers[1:-1], passed[1:-1], shared, strict=True):
                    along = layer.tangent(along, ds0, p, slopes)
                dx = along.x
            here = torch.arange(len(atoms), device=x.device)
            ds0_own = ds0[:, here, :, atoms].movedim(0, 1)
            traces.append(layers[-1].last_trace(along, dx, ds0_own, atoms, passed[-1], by))
        # Taking the mean velocity away changes nothing: no direction of a common translation has a derivative.
        return self.of_particles(moved - nodes), torch.stack(traces).sum(0) - x[0].numel()


def _unit(atoms: Tensor, n: int, d: int, like: Tensor) -> Tensor:
    """Return unit displacements of the coordinates of some particles, (A, d, N, d)."""
    rows = torch.eye(n, device=like.device, dtype=like.dtype)[atoms]
    axes = torch.eye(d, device=like.device, dtype=like.dtype)
    return torch.einsum("ai,kl->akil", rows, axes)
