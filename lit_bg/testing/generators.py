"""Laws of generators on their density, and the function that runs all laws."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch

from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.estimators import log_z
from lit_bg.generators.base import Generator
from lit_bg.generators.transport import Transport
from lit_bg.spaces import Kind
from lit_bg.testing.law import Checked, DoesNotApply, Law, require, require_close, run_laws, seeded
from lit_bg.testing.proposals import DRAWING_LAWS, GeneratorCase

__all__ = ["GENERATOR_LAWS", "GeneratorCase", "check_generator"]

GRID = {1: 20_000, 2: 400}  # points along a coordinate, by the number of coordinates
NORM = 4e-3  # error of the norm by a sum over a grid: splines have kinks
LARGEST_ERROR = 0.4  # of log Z, that anything is seen with
ALONE = 1e-6  # [nats] by which log_prob may differ in another batch


def have_the_density_they_say(case: GeneratorCase) -> None:
    """Require that `log_prob` of samples is the log q they came with, alone or in a batch."""
    case.require_density()
    own, context = case.copy(), case.conditions(30)
    x, log_q = (part.detach() for part in own.sample(30, seeded(), context))
    fine = torch.isfinite(log_q)
    x, log_q, context = x[fine], log_q[fine], None if context is None else context[fine]
    with torch.no_grad():
        found = own.log_prob(x, context)
        alone = own.log_prob(x[1:2], None if context is None else context[1:2])
    require_close(f"log_prob of samples of {case.name}", found, log_q, case.tolerance, 0.0, ", the log q they came with")
    require_close(f"log_prob of {case.name}, alone,", alone, found[1:2], ALONE, 0.0, " as in a batch")


def be_precise_enough(case: GeneratorCase) -> None:
    """Require that log q in single precision is as good as weights need."""
    case.require_density()
    context, own = case.conditions(), case.copy(torch.float32)
    with torch.no_grad():
        x, log_q = own.sample(100, seeded(), context)
        fine = torch.isfinite(log_q)
        x, log_q = x[fine], log_q[fine]
        gap = (own.log_prob(x, context) - log_q).abs().max().item()
        mean = (case.copy().log_prob(x.double(), context) - log_q).abs().mean().item()
    require(
        gap <= case.single,
        f"log_prob of {case.name} in float32 is up to {gap:.2g} from log q of its samples, more than {case.single:g}",
    )
    limit = case.single / 50
    require(mean <= limit, f"log q of {case.name} in float32 is {mean:.2g} from float64 in the mean, more than {limit:g}")


def weigh_to_log_z(case: GeneratorCase) -> None:
    """Require that weights exp(-u - log q) of an untrained generator average to Z."""
    energy, context = case.energy, case.conditions()
    if energy.log_Z is None:
        raise DoesNotApply(f"{type(energy).__name__} does not know its log Z")
    own = case.copy()
    if case.unbuilt is not None and energy.has_exact_samples:
        own.adapt(energy.exact_samples(1000, seeded(1)).double())
    with torch.no_grad():
        x, log_q = own.sample(case.draws, seeded(2), context)
        value, error = log_z(-energy(x) - log_q)
    if not error < LARGEST_ERROR:
        raise DoesNotApply(f"{case.draws} proposals of {case.name} know log Z to {error:.2g} only")
    limit = min(case.sigma * error, 0.8) + 1e-6
    what = f"log Z of {type(energy).__name__} by weights of {case.name}"
    require(abs(value - energy.log_Z) <= limit, f"{what} is {value:.5g} and must be {energy.log_Z:.5g} within {limit:.2g}")


def integrate_to_one(case: GeneratorCase) -> None:
    """Require that exp(log_prob) sums to one over a grid, in one or two coordinates."""
    case.require_density()
    space = case.energy.space
    if len(space.shape) != 1 or space.dim not in GRID or not space.continuous:
        raise DoesNotApply(f"{type(case.energy).__name__} has more coordinates than a grid covers")
    own, context, domain = case.copy(), case.conditions(), space.domain
    n = GRID[space.dim] if case.grid is None else case.grid
    with torch.no_grad():
        reach = own.sample(5000, seeded(), context)[0].abs().max(0).values * 1.5
        lines = domain.kinds == Kind.LINEAR
        lower = torch.where(lines, -reach, domain.lower.double())
        width = torch.where(lines, reach, domain.upper.double()) - lower
        ticks = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        grid = lower + width * torch.cartesian_prod(*[ticks] * space.dim).reshape(-1, space.dim)
        log_p = torch.cat([own.log_prob(part, context) for part in grid.split(60_000)])
    total = float(log_p.exp().mean() * width.prod())
    require(abs(total - 1) <= NORM, f"the density of {case.name} sums to {total:.5f} over a grid and must to 1 within {NORM:g}")


def know_the_edges(case: GeneratorCase) -> None:
    """Require a density of 0 beyond an interval, and the same one a turn of a circle, a cell or a translation away."""
    case.require_density()
    space, own, context = case.energy.space, case.copy(), case.conditions()
    x, log_q = (part.detach() for part in own.sample(6, seeded(), context))
    x = x[torch.isfinite(log_q)]
    log_p, moved, limit, tried = own.log_prob(x, context), {}, max(case.tolerance, 1e-5), False
    if space.cell is not None:
        moved["with all particles moved around the cell"] = x + 3 * space.cell[0]
    elif space.centred:
        moved["somewhere else in space"] = x + 0.3
    elif (space.domain.kinds == Kind.CIRCULAR).any():
        circles = space.domain.kinds == Kind.CIRCULAR
        turn = torch.where(circles, space.domain.upper - space.domain.lower, 0.0).double()
        moved["a turn further on every circle"] = x + turn.reshape(space.shape)
    for where, y in moved.items():
        tried = True
        require_close(f"log_prob of {case.name} {where}", own.log_prob(y, context), log_p, limit)
    if space.bounded and len(space.shape) == 1:
        tried = True
        bounded, upper = space.domain.kinds == Kind.BOUNDED, space.domain.upper.double()
        beyond = torch.where(bounded, upper + 0.01 * (upper - space.domain.lower), x)
        highest = float(own.log_prob(beyond, context).max())
        require(highest == -torch.inf, f"log_prob of {case.name} beyond its intervals is {highest:.4g} and must be -inf")
    if not tried:
        raise DoesNotApply(f"{type(case.energy).__name__} lives on lines alone")


def invert(case: GeneratorCase) -> None:
    """Require that `forward` after `inverse` is the identity, and their log determinants cancel."""
    own, context = case.copy(), case.conditions()
    if not isinstance(own, Transport):
        raise DoesNotApply(f"{case.name} is not an invertible map of a base")
    with torch.no_grad():
        z, _ = own.prior.sample(10, seeded())
        x, ladj = own(z, context)
        if z.flatten(1).shape[1] != x.flatten(1).shape[1]:
            raise DoesNotApply(f"{case.name} draws coordinates that its map leaves open")
        back, ladj_back = own.inverse(x, context)
        again, _ = own(back, context)
    gap = case.energy.space.difference(again, x)
    limit = 10 * case.tolerance
    require_close(f"forward(inverse(x)) - x of {case.name}", gap, torch.zeros_like(gap), limit)
    require_close(f"the ladj of inverse of {case.name}", ladj_back, -ladj, limit, 0.0, ", minus that of forward")


def have_the_jacobian(case: GeneratorCase) -> None:
    """Require that ladj, and log q with it, is log |det| of the map by autograd."""
    own, context = case.copy(), case.conditions()
    if isinstance(own, Transport):
        z = own.prior.sample(3, seeded())[0].detach()
        ladj = own(z, context)[1].detach()
        if z.shape == own(z, context)[0].shape and z.ndim == 2:
            rows = [torch.autograd.functional.jacobian(lambda a: own(a, context)[0][0], z[i : i + 1])[:, 0] for i in range(3)]
            exact = torch.stack([torch.linalg.slogdet(row)[1] for row in rows])
            require_close(
                f"the ladj of forward of {case.name}", ladj, exact, case.tolerance, 0.0, ", the log |det| of its Jacobian"
            )
    found = density_defect(own, case.energy, seeded(), samples=3)
    if found is None:
        raise DoesNotApply(f"{case.name} is not a map whose determinant is at hand")
    require(
        found.agrees,
        f"log q of {case.name} is up to {found.worst:.2g} from the density of its map, more than {found.tolerance:g}",
    )


GENERATOR_LAWS: dict[str, Law[GeneratorCase]] = {
    **DRAWING_LAWS,
    "density": have_the_density_they_say,
    "single precision": be_precise_enough,
    "log Z": weigh_to_log_z,
    "norm": integrate_to_one,
    "edges": know_the_edges,
    "inverse": invert,
    "Jacobian": have_the_jacobian,
}


def check_generator(
    generator: Generator, energy: Energy | None = None, stir: float = 0.1, skip: Collection[str] = (), **how: Any
) -> Checked:
    """Run every law of generators on one generator and say all that it breaks.

    Args:
        generator: built for the energy, or not built yet; copies are tried.
        energy: the system; None: the double well in the plane, for a generator that is not built.
        stir: standard deviation of what is added to every parameter of a fresh generator, whose map may be the identity.
        skip: names of laws, keys of `GENERATOR_LAWS`, to leave out.
        how: further arguments of `GeneratorCase`: tolerance, single, draws, sigma, grid, reached.

    Returns:
        the laws that held, and those that say nothing about this generator, with the reason.

    Raises:
        AssertionError: laws that are broken, with what is wrong, the value and the limit, one sentence each.
        ValueError: a built generator without its system, a system that it refuses, or a name in `skip` that no law has.

    >>> from lit_bg.generators import CouplingFlow
    >>> "Jacobian" in check_generator(CouplingFlow(blocks=1, hidden=(8,)), grid=200).held
    True
    """
    fresh = not hasattr(generator, "event_shape")
    if energy is None:
        if not fresh:
            raise ValueError(f"{type(generator).__name__} is built already: give check_generator the energy it is built for.")
        energy = DoubleWell()
    built = copy.deepcopy(generator)
    if fresh:
        built.build(energy)
        with torch.no_grad():
            for p in built.parameters():
                p.add_(stir * torch.randn(p.shape, generator=seeded(9)).to(p))
    case = GeneratorCase(built, energy, copy.deepcopy(generator) if fresh else None, **how)
    return run_laws(GENERATOR_LAWS, case, type(generator).__name__, skip)
