"""One layer of an equivariant graph network, with its derivative written out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Displacements(NamedTuple):
    """Holds what depends on the positions of two particles, (B, N, N, ...)."""

    away: Tensor  # x_i - x_j, (B, N, N, d)
    r2: Tensor  # its square, (B, N, N)

    @staticmethod
    def of(x: Tensor) -> Displacements:
        away = x[:, :, None] - x[:, None]
        return Displacements(away, away.square().sum(-1))


class Passed(NamedTuple):
    """Holds what a pass through the layer leaves for its derivative; H features.

    Slopes of SiLUs take more time than the SiLUs themselves, and a velocity alone, as in training, needs none.
    """

    pairs: Displacements
    inner1: Tensor  # a, what goes into the first SiLU of the message, (B, N, N, H)
    inner2: Tensor  # into the second
    message: Tensor  # m, (B, N, N, H)
    gate: Tensor  # g, (B, N, N), zero for i = j
    inner_weight: Tensor  # into the SiLU before the weight of the coordinates, (B, N, N, H)
    weight: Tensor  # c, (B, N, N)
    inner_node: Tensor  # into the SiLU of the node update, (B, N, H)


class Tangent(NamedTuple):
    """Holds derivatives of features and positions along the d coordinates of A particles."""

    h: Tensor  # (B, A, d, N, H)
    x: Tensor  # (B, A, d, N, d)

    def own(self, atoms: Tensor) -> Tensor:
        """Return the derivatives of the features of the particles that are moved, (B, A, d, H)."""
        return self.h[:, torch.arange(len(atoms), device=atoms.device), :, atoms].movedim(0, 1)

    def along(self, rows: Tensor, atoms: Tensor) -> Tensor:
        """Return products of the features with rows of the particles that are moved, (B, A, N, H) -> (B, A, d, N)."""
        return torch.einsum("bajh,bakjh->bakj", rows, self.h)


class RadialTangent(NamedTuple):
    r"""Holds the derivative of a layer whose features do not depend on positions.

    They depend on positions through $r_{ij}^2$ alone then. With $y_{ij} = \partial h_i / \partial r_{ij}^2$ the derivative
    along coordinate k of particle a is $-2 y_{ia} (x_i - x_a)_k$ for all others and $2 \sum_j y_{aj} (x_a - x_j)_k$ for a
    itself: N^2 rows hold what N^2 d would.
    """

    y: Tensor  # (B, N, N, H)
    pull: Tensor  # of the step of i by x_i through pair (i, j), (B, N, N, d, d)
    twice: Tensor  # 2 (x_i - x_j), (B, N, N, d)

    def own(self, atoms: Tensor) -> Tensor:
        return torch.einsum("bajh,bajk->bakh", self.y[:, atoms], self.twice[:, atoms])

    def along(self, rows: Tensor, atoms: Tensor) -> Tensor:
        """Return products as `Tangent` does, without those of the moved particle with itself, on which it exerts no force."""
        products = torch.einsum("bajh,bjah->baj", rows, self.y[:, :, atoms])
        return -torch.einsum("baj,bjak->bakj", products, self.twice[:, :, atoms])

    def moved(self, atoms: Tensor) -> Tensor:
        """Return the derivatives of the positions, (B, A, d, N, d)."""
        n, d = self.twice.shape[2:]
        rows, axes = (torch.eye(k, device=self.pull.device, dtype=self.pull.dtype) for k in (n, d))
        own = axes + self.pull[:, atoms].sum(2)  # (B, A, d, d)
        return torch.einsum("bakl,ai->bakil", own, rows[atoms]) - torch.einsum("biakl->bakil", self.pull[:, :, atoms])

    def tangent(self, atoms: Tensor) -> Tangent:
        """Return the tangent with features of all particles along all coordinates written out."""
        h = torch.einsum("biah,biak->bakih", -self.y[:, :, atoms], self.twice[:, :, atoms])
        here = torch.eye(self.y.shape[1], device=h.device, dtype=h.dtype)[atoms]
        return Tangent(h + torch.einsum("bakh,ai->bakih", self.own(atoms), here), self.moved(atoms))


class Slopes(NamedTuple):
    """Holds derivatives of messages, gates and weights of the coordinates by a, the argument of the first SiLU."""

    first: Tensor  # slope of the first SiLU, (B, N, N, H)
    gated: Tensor  # g times the slope of the second, (B, N, N, H)
    message: Tensor  # m, (B, N, N, H)
    gate: Tensor  # dg / da, (B, N, N, H)
    weight: Tensor  # dc / da, (B, N, N, H)
    node: Tensor  # slope of the SiLU of the node update, (B, N, H)


def slope(a: Tensor) -> Tensor:
    """Return the derivative of the SiLU."""
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


class EGNNLayer(nn.Module):
    r"""Sends messages between all pairs, then steps features and positions.

    $$m_{ij} = \phi_e(h_i, h_j, s_{ij}, s^0_{ij}), \quad s = \ln(1 + r^2), \qquad
      h_i' = h_i + \phi_h(h_i, \textstyle\sum_j g_{ij} m_{ij}), \qquad
      x_i' = x_i + \frac{1}{N-1} \sum_j \frac{x_i - x_j}{\sqrt{1 + r_{ij}^2}} c(m_{ij}),$$

    with a gate $0 < g(m) < 1$, and $s^0$ of the positions that entered the network. Everything is smooth, also where
    particles meet. The first linear map of $\phi_e$ is applied to h of the N particles before it is spread over the pairs.

    Derivatives along many directions share what depends on the pair alone: g and c are numbers, so their derivatives by a
    (`Slopes`) are taken backwards once per pair, and along a direction they are products with that of a, which is
    a sum over the two particles. Only the sum of the messages needs a matrix product for every pair and direction.

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
        """Return 1 / (N - 1) of particles that move, 0 of those that stay, (N, 1); as (..., N, N)."""
        n = like.shape[-1]
        step = like.new_full((n, 1), 1 / (n - 1))
        step[n - self.fixed :] = 0
        return step

    def forward(self, h: Tensor, x: Tensor, start: Displacements) -> tuple[Tensor, Tensor, Passed]:
        """Return h (B, N, H) and x (B, N, d) one layer later, and what the derivative needs."""
        pairs = Displacements.of(x)
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
        passed = Passed(pairs, inner1, inner2, m, g, inner_weight, c, inner_node)
        return h + self.node2(F.silu(inner_node)), moved, passed

    def _backwards(self, by_message: Tensor, p: Passed) -> Tensor:
        """Return the derivative by a of what has the derivative (B, N, N, H) by m."""
        return slope(p.inner1) * ((slope(p.inner2) * by_message) @ self.message.weight)

    def weight_slope(self, p: Passed) -> Tensor:
        """Return dc / da, (B, N, N, H)."""
        by_message = (slope(p.inner_weight) * self.weight2.weight[0]) @ self.weight1.weight
        return self._backwards(by_message * self._step(p.gate)[..., None], p)

    def slopes(self, p: Passed) -> Slopes:
        """Return all that derivatives along any direction share."""
        gate = p.gate[..., None]
        by_gate = self._backwards(gate * (1 - gate) * self.gate.weight[0], p)
        return Slopes(slope(p.inner1), gate * slope(p.inner2), p.message, by_gate, self.weight_slope(p), slope(p.inner_node))

    def _node_tangent(self, dh: Tensor, dsum: Tensor, node: Tensor) -> Tensor:
        inner = F.linear(torch.cat([dh, dsum], -1), self.node1.weight)
        return dh + F.linear(node * inner, self.node2.weight)

    def radial_tangent(self, p: Passed) -> RadialTangent:
        """Return the derivative of a layer whose h does not depend on x."""
        v, away, r2 = self.slopes(p), p.pairs.away, p.pairs.r2
        inner = self.distance.weight.sum(1)  # of s = s0
        along = 1 / (1 + r2)  # of s by r^2
        dm = F.linear(v.first * inner, self.message.weight)
        gated = (v.gated * dm + (v.gate @ inner)[..., None] * v.message) * along[..., None]
        of_sums = F.linear(gated, self.node1.weight[:, gated.shape[-1] :])
        y = F.linear(v.node[:, :, None] * of_sums, self.node2.weight)
        rho = along.sqrt()
        q, dq = p.weight * rho, ((v.weight @ inner) - 0.5 * p.weight) * along * rho
        axes = torch.eye(away.shape[-1], device=q.device, dtype=q.dtype)
        pull = torch.einsum("bij,kl->bijkl", q, axes) + torch.einsum("bij,bijk,bijl->bijkl", 2 * dq, away, away)
        return RadialTangent(y, pull, 2 * away)

    def tangent(self, d: Tangent, ds0: Tensor, p: Passed, v: Slopes) -> Tangent:
        """Return the derivative one layer later.

        Args:
            d: before the layer.
            ds0: of $s^0$, (B, A, d, N, N).
            p: of `forward`, and its `slopes`.
        """
        away, r2 = p.pairs.away[:, None, None], p.pairs.r2[:, None, None]
        daway = d.x[..., :, None, :] - d.x[..., None, :, :]
        dr2 = 2 * (away * daway).sum(-1)
        ds = torch.stack([dr2 / (1 + r2), ds0], -1)
        received, sent = F.linear(d.h, self.receiver.weight), F.linear(d.h, self.sender.weight)

        def along(by: Tensor) -> Tensor:
            """Return the derivative of what has the derivative (B, N, N, H) by a, (B, A, d, N, N)."""
            ours = torch.einsum("bijh,bakih->bakij", by, received) + torch.einsum("bijh,bakjh->bakij", by, sent)
            return ours + (ds * (by @ self.distance.weight)[:, None, None]).sum(-1)

        inner = received[..., :, None, :] + sent[..., None, :, :] + self.distance(ds)
        dm = F.linear(v.first[:, None, None] * inner, self.message.weight)
        dsum = (v.gated[:, None, None] * dm).sum(-2) + torch.einsum("bakij,bijh->bakih", along(v.gate), v.message)
        rho, c = (1 + r2).rsqrt(), p.weight[:, None, None]
        dq = along(v.weight) * rho - 0.5 * c * rho**3 * dr2
        dx = d.x + (c * rho)[..., None].mul(daway).sum(-2) + torch.einsum("bakij,bijl->bakil", dq, p.pairs.away)
        return Tangent(self._node_tangent(d.h, dsum, v.node[:, None, None]), dx)

    def last_trace(self, d: Tangent | RadialTangent, dx: Tensor, ds0: Tensor, atoms: Tensor, p: Passed, by: Tensor) -> Tensor:
        r"""Return $\sum_{a, k} \partial x'_{ak} / \partial x_{ak}$ over some particles a and all d coordinates, (B,).

        Only the row of the particle itself is needed of each direction, and only numbers of it: no matrix product is left.

        Args:
            d: before the layer, along the coordinates of `atoms`.
            dx: its part of the positions, (B, A, d, N, d).
            ds0: of $s^0$ between the moved particle and all, (B, A, d, N).
            atoms: (A,), of those that move.
            p: of `forward`.
            by: `weight_slope` of it.
        """
        index = torch.arange(len(atoms), device=atoms.device)
        own = dx[:, index, :, atoms].movedim(0, 1)  # (B, A, d, d)
        away, r2 = p.pairs.away[:, atoms][:, :, None], p.pairs.r2[:, atoms][:, :, None]
        daway = own[..., None, :] - dx  # (B, A, d, N, d)
        dr2 = 2 * (away * daway).sum(-1)
        ds = torch.stack([dr2 / (1 + r2), ds0], -1)
        by = by[:, atoms]
        dc = torch.einsum("bajh,bakh->bakj", by @ self.receiver.weight, d.own(atoms))
        dc = dc + d.along(by @ self.sender.weight, atoms) + (ds * (by @ self.distance.weight)[:, :, None]).sum(-1)
        rho, c = (1 + r2).rsqrt(), p.weight[:, atoms][:, :, None]
        dq = dc * rho - 0.5 * c * rho**3 * dr2
        steps = own.diagonal(dim1=-2, dim2=-1) + torch.einsum("bakj,bajk->bak", dq, p.pairs.away[:, atoms])
        return (steps + (c * rho * daway.diagonal(dim1=2, dim2=4).movedim(-1, 2)).sum(-1)).flatten(1).sum(-1)
