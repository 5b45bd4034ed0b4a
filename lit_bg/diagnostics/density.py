"""A test whether log q is the density of a map from its base, by the determinant of the map itself."""

from __future__ import annotations

import copy
import math
import time
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.bases.base import is_normalised
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.generators.folded_flow import FoldedFlow
from lit_bg.generators.mixture_proposal import MixtureProposal
from lit_bg.generators.transport import Transport
from lit_bg.samples import usual_context
from lit_bg.spaces import Particles

MOST_COORDINATES = 250
MOST_SECONDS = 30.0
FEWEST_ROWS = 3  # of the Jacobian, that time is measured on
EXACT = 1e-4  # [nats] in float64
SOLVER = 0.1  # [nats] of a map and a divergence that a solver integrates


class DensityDefect(NamedTuple):
    """Measures how far log q, as it comes with samples, is from the density of the base minus log|det| of the map [nats]."""

    worst: float
    mean: float
    tolerance: float
    agrees: bool


def density_defect(
    generator: Generator, energy: Energy, rng: torch.Generator, samples: int = 8, context: Float[Tensor, "... C"] | None = None
) -> DensityDefect | None:
    r"""Compare log q of a few samples with $\log p(z) - \log|\det \partial x / \partial z|$, in float64 by autograd.

    z is what the generator's own inverse gives for x and has to lead back to x. The determinant is taken in the reference
    measure of the system: for particles without a centre of mass in an orthonormal basis of that subspace; where the map makes
    a shape and the orientation is drawn (internal coordinates), the generators of rotation complete the Jacobian, and the
    orientation has density $1 / 8 \pi^2$. A mixture has the largest defect of its generators.

    Args:
        generator: built for the energy; a copy is asked.
        energy: the system; it is not evaluated.
        rng: of the samples.
        samples: how many.
        context: conditions, (C,); by default the usual ones of the energy.

    Returns:
        the difference, or None where there is no telling: no `Transport` or `ContinuousFlow`, a base that does not say that it
        is normalised, more than 250 coordinates, more than half a minute of work, or a map that does not work in float64.
    """
    context = usual_context(generator, energy) if context is None else context
    if isinstance(generator, MixtureProposal):
        members = zip(generator.generators, generator.contexts, strict=True)
        parts = [density_defect(g, energy, rng, samples, context if own is None else own) for g, own in members]
        known = [part for part in parts if part is not None]
        return max(known, key=lambda part: (not part.agrees, part.worst)) if len(known) == len(parts) else None
    if not isinstance(generator, Transport | ContinuousFlow) or not generator.exact_density:
        return None
    if not is_normalised(generator.prior) or energy.space.dim > MOST_COORDINATES:
        return None
    tolerance = SOLVER if isinstance(generator, ContinuousFlow) else EXACT
    try:
        own = copy.deepcopy(generator).requires_grad_(False).double()
        with torch.compiler.set_stance("force_eager"):
            difference = _differences(own, energy, rng, samples, context if own.conditions else None)
    except (RuntimeError, TypeError, NotImplementedError):  # of a user's class, that float64 or a second pass does not suit
        return None
    if difference is None:
        return None
    worst, mean = difference.abs().max().item(), difference.mean().item()
    return DensityDefect(worst, mean, tolerance, worst <= tolerance)


def _differences(
    own: Transport | ContinuousFlow, energy: Energy, rng: torch.Generator, samples: int, context: Tensor | None
) -> Tensor | None:
    """Return log q minus what it should be, of every sample; None where it would take too long."""
    with torch.no_grad():
        x, log_q = own.sample(samples, rng, context)
        finite = torch.isfinite(log_q) & torch.isfinite(x).flatten(1).all(1)
        x, log_q = x[finite], log_q[finite]
        if len(x) == 0:
            return None
        z = own.inverse(x, context)[0]
        log_p = own.prior.log_prob(z)
    if isinstance(own, FoldedFlow):
        log_q = log_q - own.folding.log_order  # q is the same in every copy of a sample
    found = _jacobian(own, z, context)
    if found is None:
        return None
    image, jacobian = found
    basis = _basis(energy).to(image)
    inner = jacobian if z.ndim == 2 else jacobian @ basis
    inner = basis.T @ inner
    missing = inner.shape[1] - inner.shape[2]
    if missing == 3 and energy.space.centred and isinstance(energy.space, Particles) and energy.space.d == 3:
        turns = torch.einsum("aij,bnj->bnia", _generators().to(image), image - image.mean(1, keepdim=True))
        inner = torch.cat([inner, basis.T @ turns.flatten(1, 2)], 2)
        log_p = log_p - math.log(8 * math.pi**2)
    elif missing:
        return None
    expected = log_p - torch.linalg.slogdet(inner)[1]
    back = _apart(x, image, energy, shapes=bool(missing))
    return torch.where(back < 1e-3, log_q - expected, torch.inf).nan_to_num(torch.inf, torch.inf, torch.inf)


def _jacobian(own: Transport | ContinuousFlow, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return the image of z, and d x / d z of flat configurations, (B, D_x, D_z); None where it would take too long."""
    # The graph of a solver holds all its evaluations: of eight large configurations together it does not fit into memory.
    parts = z.detach().split(1 if isinstance(own, ContinuousFlow) else len(z))
    images, jacobians = [], []
    fastest = math.inf  # of all rows so far: a busy machine must not decide what can be said of log Z
    with torch.enable_grad():
        for part in parts:
            part = part.clone().requires_grad_()
            x, _ = own(part, context)
            flat, rows = x.flatten(1), []
            for k in range(flat.shape[1]):
                began = time.monotonic()
                (row,) = torch.autograd.grad(flat[:, k].sum(), part, retain_graph=True, allow_unused=True)
                rows.append(torch.zeros_like(part) if row is None else row)
                fastest = min(fastest, time.monotonic() - began)
                if len(rows) >= FEWEST_ROWS and fastest * flat.shape[1] * len(parts) > MOST_SECONDS:
                    return None
            images.append(x.detach())
            jacobians.append(torch.stack([row.flatten(1) for row in rows], 1).detach())
    return torch.cat(images), torch.cat(jacobians)


def _basis(energy: Energy) -> Tensor:
    """Return orthonormal columns that span the degrees of freedom, (D, f)."""
    space = energy.space
    if not (isinstance(space, Particles) and space.centred):
        return torch.eye(space.dim, dtype=torch.float64)
    n, d = space.shape
    columns = torch.linalg.svd(torch.eye(n, dtype=torch.float64) - 1 / n)[0][:, : n - 1]
    return torch.kron(columns.contiguous(), torch.eye(d, dtype=torch.float64))


def _generators() -> Tensor:
    """Return the three infinitesimal rotations, (3, 3, 3)."""
    g = torch.zeros(3, 3, 3, dtype=torch.float64)
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        g[a, c, b], g[a, b, c] = 1.0, -1.0
    return g


def _apart(x: Tensor, image: Tensor, energy: Energy, shapes: bool) -> Tensor:
    """Measure how far configurations are from what their own z leads to, relative to their size, (B,)."""
    if shapes:  # the orientation is drawn anew
        x, image = (torch.cdist(y, y) for y in (x, image))
        apart = x - image
    else:
        apart = energy.space.difference(x, image)
    return apart.flatten(1).abs().amax(1) / x.flatten(1).abs().amax(1).clamp_min(1.0 if not shapes else 1e-12)
