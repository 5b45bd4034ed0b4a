"""An equivariant network that distinguishes mirror images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from lit_bg.nets.particle_field import ParticleField
from lit_bg.nets.radial_basis import RadialBasis
from lit_bg.nets.tensor_product_layer import Edges, TensorProductLayer
from lit_bg.nets.time_features import TIMES, time_features
from lit_bg.spaces import Particles

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class TensorProductField(ParticleField):
    r"""Computes velocities of particles in space from tensor products of features and edges; it starts as v = 0.

    Features are scalars and vectors. Vectors grow from directions of edges, meet in cross products $v \times y$, and those in
    turn in scalars $u \cdot (v \times y)$, which change sign in the mirror: the field follows rotations but not reflections.
    So it fits chiral molecules, where a density that covers L amino acids need not cover D as well.

    It follows exchanges of particles of one type, does not see translations and does not move the centre of mass; in a trap
    the origin is one more node. Messages run between all pairs; directions $y = (x_i - x_j) / \sqrt{r_0^2 + r^2}$ and
    functions of the distance are smooth where particles meet.

    Args:
        layers: number of layers; the second is the first to see handedness.
        width: number of scalars, of half as many vectors, and of hidden units of the radial networks.
        reflection: leave the cross products out, so that it follows reflections as well.
        basis: number of functions of the distance.
        nearest, farthest: range of distances [length] that is resolved, see `RadialBasis`.

    Raises:
        ValueError: a number that is too small; from `build`, a system that is not of particles in three dimensions or lacks
            the symmetries.

    References:
        Thomas, Smidt, Kearnes, Yang, Li, Kohlhoff, Riley, arXiv:1802.08219 (2018).
        Schuett, Unke, Gastegger, ICML 2021, arXiv:2102.03150, for scalars and vectors.
    """

    def __init__(
        self,
        layers: int = 3,
        width: int = 32,
        reflection: bool = False,
        basis: int = 16,
        nearest: float = 0.1,
        farthest: float = 10.0,
    ) -> None:
        super().__init__()
        if min(layers, width) < 2:
            raise ValueError(f"TensorProductField needs layers, width >= 2, got {layers=}, {width=}.")
        self.depth, self.width, self.reflection = layers, width, reflection
        self.basis, self.n_basis = RadialBasis(basis, nearest, farthest), basis
        if not reflection:
            self.symmetries = frozenset({"translation", "rotation"})

    def build(self, energy: Target) -> Self:
        super().build(energy)
        if not (isinstance(energy.space, Particles) and energy.space.d == 3):
            raise ValueError(
                f"TensorProductField moves particles in three dimensions, {type(energy).__name__} has {energy.space}: use EGNN."
            )
        self.embedding = nn.Embedding(int(self.types.max()) + 1, self.width)
        self.conditions = nn.Linear(TIMES + self.context, self.width)
        self.vectors = self.width // 2
        n_radial = self.n_basis + TIMES + self.context
        self.layers = nn.ModuleList(
            TensorProductLayer(self.width, self.vectors, n_radial, cross=not self.reflection) for _ in range(self.depth)
        )
        self.last = nn.Linear(self.vectors, 1, bias=False)
        nn.init.zeros_(self.last.weight)
        return self

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        nodes = self.nodes(x)
        away = nodes[:, :, None] - nodes[:, None]
        r2 = away.square().sum(-1)
        y = away * (self.basis.nearest**2 + r2).rsqrt()[..., None]
        phi = self.basis(r2)
        known = torch.cat([time_features(t), *([] if context is None else [context])], -1)
        radial = torch.cat([phi, known[:, None, None].expand(*phi.shape[:-1], -1)], -1)
        edges = Edges(y, y.square().sum(-1, keepdim=True), radial)
        s = self.embedding(self.types) + self.conditions(known)[:, None]
        v = s.new_zeros(*nodes.shape, self.vectors)
        for layer in self.layers:
            s, v = layer(s, v, edges)
        return self.of_particles(self.last(v)[..., 0])
