"""One layer of an equivariant graph network, with its derivative written out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pairs(NamedTuple):
    """What depends on the positions of two particles, (B, N, N, ...)."""

    away: Tensor  # x_i - x_j, (B, N, N, d)
    r2: Tensor  # its square, (B, N, N)

    @staticmethod
    def of(x: Tensor) -> Pairs:
        away = x[:, :, None] - x[:, None]
        return Pairs(away, away.square().sum(-1))


class Values(NamedTuple):
    """The intermediate results that a derivative needs; H features."""

    slope1: Tensor  # of the two SiLUs of the message, (B, N, N, H)
    slope2: Tensor
    message: Tensor  # m, (B, N, N, H)
    gate: Tensor  # g, (B, N, N), zero for i = j
    slope_weight: Tensor  # of the SiLU before the weight of the coordinates, (B, N, N, H)
    weight: Tensor  # c, (B, N, N)
    slope_node: Tensor  # of the SiLU of the node update, (B, N, H)


class Passed(NamedTuple):
    """What a pass through the layer leaves behind: as `Values`, with what went into the SiLUs in place of their slopes.

    Slopes take more time than the SiLUs themselves, and a velocity alone, as in training, needs none.
    """

    inner1: Tensor
    inner2: Tensor
    message: Tensor
    gate: Tensor
    inner_weight: Tensor
    weight: Tensor
    inner_node: Tensor

    def values(self) -> Values:
        slopes = (slope(a) for a in (self.inner1, self.inner2, self.inner_weight, self.inner_node))
        slope1, slope2, slope_weight, slope_node = slopes
        return Values(slope1, slope2, self.message, self.gate, slope_weight, self.weight, slope_node)


class Tangent(NamedTuple):
    """Derivatives of a layer's input or output along K directions."""

    h: Tensor  # (B, K, N, H)
    x: Tensor  # (B, K, N, d)


def slope(a: Tensor) -> Tensor:
    """Derivative of the SiLU."""
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


class EGNNLayer(nn.Module):
    r"""Messages between all pairs, then a step of features and positions.

    $$m_{ij} = \phi_e(h_i, h_j, s_{ij}, s^0_{ij}), \quad s = \ln(1 + r^2), \qquad
      h_i' = h_i + \phi_h(h_i, \textstyle\sum_j g_{ij} m_{ij}), \qquad
      x_i' = x_i + \frac{1}{N-1} \sum_j \frac{x_i - x_j}{\sqrt{1 + r_{ij}^2}} c(m_{ij}),$$

    with a gate $0 < g(m) < 1$, and $s^0$ of the positions that entered the network. Everything is smooth, also where
    particles meet. The first linear map of $\phi_e$ is applied to h of the N particles before it is spread over the pairs.

    Args:
        width: H.
        fixed: how many of the particles, the last ones, stay where they are.

    References:
        Satorras, Hoogeboom, Welling, ICML 2021, arXiv:2102.09844.
    """

    def __init__(self, width: int, fixed: int = 0) -> None:
        super().__init__()
        self.fixed = fixed
        self.receiver = nn.Linear(width, width)
        self.sender = nn.Linear(width, width, bias=False)
        self.distance = nn.Linear(2, width, bias=False)  # of s and s0
        self.message = nn.Linear(width, width)
        self.gate = nn.Linear(width, 1)
        self.weight1 = nn.Linear(width, width)
        self.weight2 = nn.Linear(width, 1, bias=False)
        self.node1 = nn.Linear(2 * width, width)
        self.node2 = nn.Linear(width, width)

    def _step(self, like: Tensor) -> Tensor:
        """1 / (N - 1) of particles that move, 0 of those that stay, (N, 1); as (..., N, N)."""
        n = like.shape[-1]
        step = like.new_full((n, 1), 1 / (n - 1))
        step[n - self.fixed :] = 0
        return step

    def forward(self, h: Tensor, x: Tensor, start: Pairs) -> tuple[Tensor, Tensor, Pairs, Passed]:
        """h (B, N, H) and x (B, N, d) one layer later, the pairs before it, and what `tangent` needs."""
        pairs = Pairs.of(x)
        n = x.shape[1]
        s = torch.stack([pairs.r2, start.r2], -1).log1p()
        inner1 = self.receiver(h)[:, :, None] + self.sender(h)[:, None] + self.distance(s)
        inner2 = self.message(F.silu(inner1))
        m = F.silu(inner2)
        other = 1 - torch.eye(n, device=x.device, dtype=x.dtype)
        g = torch.sigmoid(self.gate(m)[..., 0]) * other
        inner_weight = self.weight1(m)
        c = self.weight2(F.silu(inner_weight))[..., 0] * self._step(g)
        inner_node = self.node1(torch.cat([h, torch.einsum("bij,bijh->bih", g, m)], -1))
        moved = x + torch.einsum("bij,bijd->bid", c * (1 + pairs.r2).rsqrt(), pairs.away)
        return h + self.node2(F.silu(inner_node)), moved, pairs, Passed(inner1, inner2, m, g, inner_weight, c, inner_node)

    def _message_tangent(self, inner: Tensor, v: Values) -> Tensor:
        """dm of the derivative of what goes into the first SiLU, (B, K, ..., H)."""
        return v.slope2[:, None] * F.linear(v.slope1[:, None] * inner, self.message.weight)

    def _weight_tangent(self, dm: Tensor, v: Values) -> Tensor:
        """dc, (B, K, ...)."""
        inner = v.slope_weight[:, None] * F.linear(dm, self.weight1.weight)
        return F.linear(inner, self.weight2.weight)[..., 0] * self._step(v.gate)

    def _gated_tangent(self, dm: Tensor, v: Values) -> Tensor:
        """d(g m), (B, K, ..., H)."""
        dg = v.gate * (1 - v.gate) * F.linear(dm, self.gate.weight)[..., 0].movedim(1, 0)
        return dg.movedim(0, 1)[..., None] * v.message[:, None] + v.gate[:, None, ..., None] * dm

    def _node_tangent(self, dh: Tensor, dsum: Tensor, v: Values) -> Tensor:
        inner = F.linear(torch.cat([dh, dsum], -1), self.node1.weight)
        return dh + F.linear(v.slope_node[:, None] * inner, self.node2.weight)

    def tangent(self, d: Tangent, dr2_start: Tensor, pairs: Pairs, v: Values) -> Tangent:
        """The derivative along K directions.

        Args:
            d: of h and x before the layer.
            dr2_start: of the squared distances in the beginning, (B, K, N, N).
            pairs, v: of `forward`.
        """
        daway = d.x[:, :, :, None] - d.x[:, :, None]
        dr2 = 2 * (pairs.away[:, None] * daway).sum(-1)
        ds = torch.stack([dr2 / (1 + pairs.r2[:, None]), dr2_start], -1)
        inner = F.linear(d.h, self.receiver.weight)[:, :, :, None] + F.linear(d.h, self.sender.weight)[:, :, None]
        dm = self._message_tangent(inner + self.distance(ds), v)
        dsum = self._gated_tangent(dm, v).sum(3)
        rho = (1 + pairs.r2).rsqrt()
        q, dq = v.weight * rho, self._weight_tangent(dm, v) * rho[:, None] - 0.5 * (v.weight * rho**3)[:, None] * dr2
        dx = d.x + torch.einsum("bij,bkijd->bkid", q, daway) + torch.einsum("bkij,bijd->bkid", dq, pairs.away)
        return Tangent(self._node_tangent(d.h, dsum, v), dx)

    def first_tangent(self, pairs: Pairs, v: Values) -> Tangent:
        r"""The derivative along every coordinate, K = N d, of a layer whose h does not depend on x.

        Messages then depend on x through $r_{ij}^2$ alone, so one derivative by it serves all directions: that along
        coordinate k of particle a changes only the pairs with a, by $\pm 2 (x_i - x_j)_k$.
        """
        B, n, d = len(pairs.r2), pairs.r2.shape[1], pairs.away.shape[-1]
        ds = (1 / (1 + pairs.r2))[:, None, ..., None].expand(-1, -1, -1, -1, 2)
        dm = self._message_tangent(self.distance(ds), v)  # by r^2, K = 1
        gated = self._gated_tangent(dm, v)[:, 0]  # (B, N, N, H)
        rho = (1 + pairs.r2).rsqrt()
        q, dq = v.weight * rho, self._weight_tangent(dm, v)[:, 0] * rho - 0.5 * v.weight * rho**3
        twice = 2 * pairs.away
        eye, axes = (torch.eye(k, device=q.device, dtype=q.dtype) for k in (n, d))
        # directions (a, k) of particles i: -F_ia for i != a, sum_j F_aj for i = a
        dsum = -torch.einsum("biah,biak->bakih", gated, twice)
        dsum = dsum + torch.einsum("bajh,bajk,ai->bakih", gated, twice, eye)
        pull = torch.einsum("bij,kl->bijkl", q, axes) + torch.einsum("bij,bijk,bijl->bijkl", dq, twice, pairs.away)
        dx = torch.einsum("ai,kl->akil", eye, axes) - torch.einsum("biakl->bakil", pull)
        dx = dx + torch.einsum("bajkl,ai->bakil", pull, eye)
        dx, dsum = dx.reshape(B, n * d, n, d), dsum.reshape(B, n * d, n, -1)
        return Tangent(self._node_tangent(torch.zeros_like(dsum), dsum, v), dx)

    def last_trace(self, d: Tangent, dr2_start: Tensor, atoms: Tensor, pairs: Pairs, v: Values) -> Tensor:
        r"""$\sum_{a, k} \partial x'_{ak} / \partial x_{ak}$ of directions that are the coordinates of some particles, (B,).

        Only the row of the particle itself is needed of each direction, which saves a factor N.

        Args:
            d: of h and x before the layer, along the coordinates of `atoms`, K = A d.
            dr2_start: as in `tangent`.
            atoms: (A,), of those that move.
            pairs, v: of `forward`.
        """
        dim = pairs.away.shape[-1]
        own = atoms.repeat_interleave(dim)  # the particle of every direction
        axis = torch.arange(dim, device=own.device).repeat(len(atoms))
        k = torch.arange(len(own), device=own.device)
        rows = Values(*(part[:, own] if part.ndim > 2 else part for part in v))  # (B, K, N, ...)
        away, r2 = pairs.away[:, own], pairs.r2[:, own]
        dx_own, dh_own = d.x[:, k, own], d.h[:, k, own]  # (B, K, d), (B, K, H)
        daway = dx_own[:, :, None] - d.x
        dr2 = 2 * (away * daway).sum(-1)
        ds = torch.stack([dr2 / (1 + r2), dr2_start[:, k, own]], -1)
        inner = F.linear(dh_own, self.receiver.weight)[:, :, None] + F.linear(d.h, self.sender.weight) + self.distance(ds)
        dm = rows.slope2 * F.linear(rows.slope1 * inner, self.message.weight)
        n = r2.shape[-1]
        dc = F.linear(rows.slope_weight * F.linear(dm, self.weight1.weight), self.weight2.weight)[..., 0] / (n - 1)
        rho = (1 + r2).rsqrt()
        dq = dc * rho - 0.5 * rows.weight * rho**3 * dr2
        along = axis[None, :, None, None].expand(len(r2), -1, n, 1)
        moved = rows.weight * rho * daway.gather(-1, along)[..., 0] + dq * away.gather(-1, along)[..., 0]
        return (dx_own.gather(-1, along[:, :, 0])[..., 0] + moved.sum(-1)).sum(-1)
