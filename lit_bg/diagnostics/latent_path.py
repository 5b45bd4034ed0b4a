"""Paths between two configurations, straight in the latent space of a flow or straight in space, and energies along them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.estimators.alignment import Moves, align
from lit_bg.generators.base import Generator
from lit_bg.generators.transport import Transport
from lit_bg.samples import usual_context
from lit_bg.spaces import Kind, Space

PARALLEL = 1e-4  # [rad] between directions that are one, or opposite, so that no arc is defined


class Path(NamedTuple):
    """Holds configurations along a path, in order."""

    t: Float[Tensor, "K"]  # from 0 to 1
    x: Float[Tensor, "K *shape"]
    u: Float[Tensor, "K"]  # float64 [kT]; +inf where there is no finite energy, or outside the region of the target
    log_q: Float[Tensor, "K"]  # float64 [nats]
    observables: dict[str, Float[Tensor, "K"]]

    @property
    def barrier(self) -> float:
        """Return the height of the path above its beginning, max u - u(0) [kT]."""
        return (self.u.max() - self.u[0]).item()

    @property
    def top(self) -> float:
        """Return t at the highest point."""
        return self.t[self.u.argmax()].item()


@torch.no_grad()
def latent_path(
    generator: Generator,
    energy: Energy,
    a: Float[Tensor, "*shape"],
    b: Float[Tensor, "*shape"],
    points: int = 201,
    spherical: bool = False,
    context: Float[Tensor, "C"] | None = None,
) -> Path:
    r"""Return the path $x(t) = F((1 - t) z_a + t z_b)$ between two configurations, $z = F^{-1}(x)$.

    On circles it goes the short way. A straight line between points of a normal density in many dimensions passes nearer to
    the middle than any sample lies; `spherical` keeps the distance $|z(t)| = (1 - t) |z_a| + t |z_b|$ instead and turns the
    direction evenly, in all coordinates that live on lines.

    What the energy of particles does not see (translations, rotations, exchanges that the generator follows, too) is taken
    out first: b is laid on a.

    Args:
        generator: a transport.
        energy: the system it was built for.
        a, b: configurations, (*event_shape).
        points: K, both ends among them.
        spherical: along an arc.
        context: conditions (C,), by default the usual ones of the energy, where there are any.

    Raises:
        TypeError: a generator without a latent space.
        ValueError: fewer than three points, configurations of another shape, or some that the flow cannot reach.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147.
        White, arXiv:1609.04468 (2016), for the arc.
    """
    if not isinstance(generator, Transport):
        raise TypeError(
            f"{type(generator).__name__} has no inverse to a latent space: take a flow (CouplingFlow, ContinuousFlow) to "
            "interpolate in."
        )
    a, b = _ends(generator, energy, a, b, points)
    context = usual_context(generator, energy) if context is None else context
    z, _ = generator.inverse(torch.stack([a, b]), context)
    if not torch.isfinite(z).all():
        raise ValueError(
            f"{type(generator).__name__} maps an end of the path to no latent point: take a configuration that it can propose."
        )
    t = torch.linspace(0, 1, points, dtype=z.dtype, device=z.device)
    space = generator.prior.space
    between = space.wrap(_line(space, z[0], z[1], t))
    if spherical:
        between = torch.where(_on_lines(space, z), _arc(z[0], z[1], t, _on_lines(space, z)), between)
    x, ladj = generator(between, context)
    return _along(energy, t, x, generator.prior.log_prob(between) - ladj, context)


@torch.no_grad()
def straight_path(
    generator: Generator,
    energy: Energy,
    a: Float[Tensor, "*shape"],
    b: Float[Tensor, "*shape"],
    points: int = 201,
    context: Float[Tensor, "C"] | None = None,
) -> Path:
    """Return the straight line between two configurations in their own space, for comparison; on circles the short way.

    Args:
        generator, energy, a, b, points, context: as for `latent_path`; a generator without `log_prob` leaves log q NaN.

    Raises:
        ValueError: fewer than three points, or configurations of another shape.
    """
    a, b = _ends(generator, energy, a, b, points)
    t = torch.linspace(0, 1, points, dtype=a.dtype, device=a.device)
    x = energy.space.wrap(_line(energy.space, a, b, t))
    context = usual_context(generator, energy) if context is None else context
    log_q = generator.log_prob(x, context) if generator.has_log_prob else x.new_full((points,), math.nan)
    return _along(energy, t, x, log_q, context)


def _ends(generator: Generator, energy: Energy, a: Tensor, b: Tensor, points: int) -> tuple[Tensor, Tensor]:
    if points < 3:
        raise ValueError(f"a path needs at least 3 points, got {points}.")
    like = next(generator.parameters(), a)
    a, b = a.to(like), b.to(like)
    energy.space.check(torch.stack([a, b]), type(energy).__name__)
    if energy.space.types is None or energy.space.cell is not None:
        return a, b
    moves = Moves.of(energy)._replace(reflections=False)
    moves = moves if _follows_exchanges(generator) else moves._replace(types=None)
    a, b = energy.space.wrap(a[None]), energy.space.wrap(b[None])
    return a[0], align(a, b, moves, sweeps=10)[0].to(b)


def _follows_exchanges(generator: Generator) -> bool:
    """Say whether the density stays as it is when particles of one type change places."""
    parts = [part for name in ("prior", "field") if (part := getattr(generator, name, None)) is not None]
    return bool(parts) and all(getattr(part, "exchangeable", False) for part in parts)


def _line(space: Space, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return points of a straight line, (K, *shape), the short way on circles."""
    return a + t.reshape(-1, *[1] * a.ndim) * space.difference(b[None], a[None])


def _on_lines(space: Space, z: Tensor) -> Tensor:
    """Return which coordinates live on lines, (*shape) bool."""
    return (space.domain.kinds == Kind.LINEAR).to(z.device).reshape(z.shape[1:])


def _arc(a: Tensor, b: Tensor, t: Tensor, where: Tensor) -> Tensor:
    """Return points of an arc about the origin in the named coordinates, (K, *shape); the line where none is defined."""
    t = t.reshape(-1, *[1] * a.ndim)
    lengths = [torch.where(where, z, 0.0).norm() for z in (a, b)]
    line = a + t * (b - a)
    if min(lengths) == 0:
        return line
    cosine = (torch.where(where, a, 0.0) * b).sum() / (lengths[0] * lengths[1])
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle < PARALLEL or math.pi - angle < PARALLEL:
        return line
    direction = (((1 - t) * angle).sin() * a / lengths[0] + (t * angle).sin() * b / lengths[1]) / angle.sin()
    return ((1 - t) * lengths[0] + t * lengths[1]) * direction


def _along(energy: Energy, t: Tensor, x: Tensor, log_q: Tensor, context: Tensor | None) -> Path:
    u = energy.conditioned(x, context).double()
    u = torch.where(torch.isfinite(u) & energy.in_region(x), u, torch.inf)
    observables = {name: o.function(x).double().cpu() for name, o in energy.observables.items()}
    return Path(t.double().cpu(), x.cpu(), u.cpu(), log_q.double().cpu(), observables)
