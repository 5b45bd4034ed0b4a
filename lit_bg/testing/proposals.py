"""Laws of generators on what they draw: shapes, random numbers, domain, gradients, copies and conditions."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.condition import draw_context
from lit_bg.generators.base import Generator
from lit_bg.spaces import Kind
from lit_bg.testing.law import DoesNotApply, Law, require, require_close, require_refusal, seeded

EDGE = 1e-6  # of the length of an interval, that rounding may put beyond its ends


@dataclass(frozen=True)
class GeneratorCase:
    """Holds a generator and the system it is built for.

    Args:
        generator: built; copies are tried, in double precision where nothing else is said.
        energy: the system.
        unbuilt: the same before `build`; None: the generator has been trained and is not built anew or adapted.
        tolerance: of log q in double precision [nats]: rounding, or the error of a solver.
        single: of log q in single precision [nats], at most; a fiftieth in the mean.
        draws: proposals that log Z is estimated from.
        sigma: how many standard errors it may lie from the exact value.
        grid: points along each of one or two coordinates that the density is summed over; None: 20 000 and 400.
        reached: share of parameters that a gradient must reach.
    """

    generator: Generator
    energy: Energy
    unbuilt: Generator | None = None
    tolerance: float = 1e-4
    single: float = 5e-3
    draws: int = 4000
    sigma: float = 4.0
    grid: int | None = None
    reached: float = 1.0

    @property
    def name(self) -> str:
        """Return what messages call the generator."""
        return type(self.generator).__name__

    def copy(self, dtype: torch.dtype = torch.float64) -> Generator:
        """Return a copy in this precision."""
        return copy.deepcopy(self.generator).to(dtype)

    def conditions(self, n: int | None = None) -> Tensor | None:
        """Return n rows of conditions, or the usual ones for all; None for a generator that follows none."""
        if not self.generator.conditions:
            return None
        if n is None:
            return self.energy.default_context
        return draw_context(self.generator.conditions, n, seeded(5)).double()

    def require_density(self) -> None:
        """Leave out generators whose density at a given configuration is not known, or a random estimate."""
        if not self.generator.has_log_prob:
            raise DoesNotApply(f"{self.name} has no log_prob")
        if not self.generator.exact_density:
            raise DoesNotApply(f"the density of {self.name} is a random estimate")


def propose_configurations(case: GeneratorCase) -> None:
    """Require that `sample` gives x (n, *shape) and log q (n,) in the precision of the parameters, nearly all finite."""
    shape = case.energy.space.shape
    for dtype in (torch.float64, torch.float32):
        x, log_q = case.copy(dtype).sample(7, seeded(), case.conditions())
        require(x.shape == (7, *shape), f"7 samples of {case.name} have shape {tuple(x.shape)} and must have {(7, *shape)}")
        require(log_q.shape == (7,), f"log q of 7 samples of {case.name} has shape {tuple(log_q.shape)} and must have (7,)")
        for what, part in (("x", x), ("log q", log_q)):
            require(part.dtype == dtype, f"{what} of {case.name} is {part.dtype} and must be {dtype}, as its parameters are")
        fine = torch.isfinite(log_q) & torch.isfinite(x).flatten(1).all(1)
        require(2 * int(fine.sum()) > 7, f"{7 - int(fine.sum())} of 7 samples of {case.name} in {dtype} are not finite")


def obey_random_numbers(case: GeneratorCase) -> None:
    """Require that equal streams give equal samples whatever the global state; other streams give others."""
    own, context = case.copy(), case.conditions()
    torch.manual_seed(1)
    first = own.sample(7, seeded(3), context)
    torch.manual_seed(2)
    for what, a, b in zip(("x", "log q"), first, own.sample(7, seeded(3), context), strict=True):
        require(torch.equal(a, b), f"{what} of {case.name} differs for equal streams: draw with the given one alone")
    other, _ = own.sample(7, seeded(4), context)
    require(not torch.equal(first[0], other), f"{case.name} draws the same from different streams: draw with the given one")


def stay_in_the_domain(case: GeneratorCase) -> None:
    """Require samples on their intervals and circles, and without a centre of mass where it is no degree of freedom."""
    space = case.energy.space
    x, log_q = (part.detach() for part in case.copy().sample(100, seeded(), case.conditions()))
    x = x[torch.isfinite(log_q)]
    if space.centred:
        off = float(x.mean(1).abs().max()) if space.cell is None else 0.0
        require(off < 1e-5, f"the centre of mass of samples of {case.name} is {off:.2g} from 0, and is no degree of freedom")
    if space.cell is not None or not space.continuous:
        require(space.contains(x).all(), f"samples of {case.name} lie outside {space}")
        return
    domain, flat = space.domain, x.flatten(1)
    lower, upper = domain.lower.double(), domain.upper.double()
    margin = EDGE * (upper - lower)
    inside = (domain.kinds == Kind.LINEAR) | ((flat >= lower - margin) & (flat <= upper + margin))
    wrong = int((~inside).any(0).nonzero()[0]) if not inside.all() else 0
    require(inside.all(), f"coordinate {wrong} of samples of {case.name} lies outside {lower[wrong]:.6g} to {upper[wrong]:.6g}")


def follow_gradients(case: GeneratorCase) -> None:
    """Require that gradients through samples and log q, and through `log_prob`, reach the parameters and are finite."""
    own, context = case.copy().train(), case.conditions(30)
    if not list(own.parameters()):
        raise DoesNotApply(f"{case.name} has no parameters")
    x, log_q = own.sample(30, seeded(), context)
    fine = torch.isfinite(log_q)
    sums = {"sample": x[fine].square().sum() + log_q[fine].sum()}
    if own.has_log_prob:
        given = None if context is None else context[fine]
        sums["log_prob"] = own.log_prob(x[fine].detach(), given).sum()
    for what, total in sums.items():
        own.zero_grad()
        require(total.requires_grad, f"{what} of {case.name} has no graph: it cannot be trained through it")
        total.backward()
        require_gradients(f"{what} of {case.name}", own, case.reached)


def require_gradients(what: str, own: torch.nn.Module, reached: float) -> None:
    """Require that parameters have finite gradients and that enough of them have one that is not zero."""
    trained = {name: p.grad for name, p in own.named_parameters() if p.requires_grad}
    wrong = [name for name, g in trained.items() if g is not None and not torch.isfinite(g).all()]
    require(not wrong, f"the gradient of {what} is not finite in {', '.join(wrong[:3])}")
    deaf = [name for name, g in trained.items() if g is None or not bool((g != 0).any())]
    share = 1 - len(deaf) / max(len(trained), 1)
    require(
        share >= reached,
        f"the gradient of {what} reaches {share:.2g} of the parameters and must {reached:.2g}: not {', '.join(deaf[:3])}",
    )


def survive_checkpoints(case: GeneratorCase) -> None:
    """Require that another one with its state dict draws the same, also after `adapt`: buffers hold what data have taught."""
    own = case.copy()
    torch.manual_seed(5)
    if case.unbuilt is None:
        twin = copy.deepcopy(own)
        with torch.no_grad():
            for p in twin.parameters():
                p.add_(0.1)
    else:
        twin = copy.deepcopy(case.unbuilt).build(case.energy).double()
        if case.energy.has_exact_samples:
            own.adapt(case.energy.exact_samples(200, seeded(1)).double())
    twin.load_state_dict(own.state_dict())
    require_same(case, own, twin, "another one with its state dict")


def survive_copies(case: GeneratorCase) -> None:
    """Require that deep and pickled copies draw the same and share no parameters."""
    own = case.copy()
    try:
        copies = {"a deep copy": copy.deepcopy(own), "a pickled copy": pickle.loads(pickle.dumps(own))}
    except Exception as error:
        raise AssertionError(
            f"{case.name} cannot be copied ({type(error).__name__}: {error}): define it in a module, without lambdas"
        ) from error
    for what, other in copies.items():
        require_same(case, own, other, what)
        shared = {id(p) for p in other.parameters()} & {id(p) for p in own.parameters()}
        require(not shared, f"{what} of {case.name} shares {len(shared)} parameters with it")


def require_same(case: GeneratorCase, own: Generator, other: Generator, what: str) -> None:
    """Require that two generators draw the same."""
    context = case.conditions()
    a, b = (g.sample(7, seeded(), context) for g in (own, other))
    for name, mine, theirs in zip(("x", "log q"), a, b, strict=True):
        equal = bool(((mine == theirs) | (mine.isnan() & theirs.isnan())).all())
        require(
            equal, f"{what} draws another {name} than {case.name} itself: keep all that it depends on in parameters and buffers"
        )


def follow_conditions(case: GeneratorCase) -> None:
    """Require that rows have conditions of their own and differ by them, and that wrong ones are refused."""
    own = case.copy()
    if not own.conditions:
        require_refusal(
            f"a context that {case.name} does not know", lambda: own.sample(3, seeded(), torch.ones(1)), (ValueError, TypeError)
        )
        raise DoesNotApply(f"{case.name} follows no conditions")
    context = case.conditions(6)
    assert context is not None
    x, log_q = own.sample(6, seeded(), context)
    for b in range(6):
        xb, log_qb = own.sample(6, seeded(), context[b])
        require_close(f"row {b} of samples of {case.name} under its own conditions", x[b], xb[b], 1e-8, 1e-8)
        require_close(f"log q of row {b} of {case.name} under its own conditions", log_q[b], log_qb[b], 1e-8, 1e-8)
    change = float((own.sample(6, seeded(), context.flip(0))[0] - x).detach().abs().max())
    require(change > 1e-6, f"samples of {case.name} change by {change:.2g} with their conditions: it does not follow them")
    beyond = torch.tensor([c.highest + (c.highest - c.lowest) for c in own.conditions])
    wrong = {"no conditions": None, "conditions out of range": beyond, "a condition too many": torch.ones(len(beyond) + 1)}
    for what, given in wrong.items():
        require_refusal(f"{what} by {case.name}", lambda given=given: own.sample(3, seeded(), given), ValueError)  # type: ignore[misc]


DRAWING_LAWS: dict[str, Law[GeneratorCase]] = {
    "shapes": propose_configurations,
    "random numbers": obey_random_numbers,
    "domain": stay_in_the_domain,
    "gradients": follow_gradients,
    "checkpoint": survive_checkpoints,
    "copies": survive_copies,
    "conditions": follow_conditions,
}
