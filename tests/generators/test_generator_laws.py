"""Laws of every exported generator: what it samples has the density it says, and the density is one."""

import copy
import inspect
import math

import pytest
import torch

from lit_bg import generators
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.generators import ContinuousFlow, CouplingFlow, Generator, Transport
from lit_bg.interpolants import Trigonometric, VarianceExploding
from lit_bg.nets import MLPField
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Domain, Kind, Vectors
from lit_bg.testing import GENERATOR_LAWS, DoesNotApply, GeneratorCase

LINE, BOX, RING = Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR
SMALL = {
    "CouplingFlow": [{"blocks": 2, "hidden": (12,), "bins": 5}, {"blocks": 2, "hidden": (12,), "transform": "affine"}],
    "ContinuousFlow": [{"field": MLPField((12,)), "solver": RungeKutta4(40)}],
    "FoldedFlow": [],  # of molecules only: test_folded_flow.py
    "Diffusion": [{"network": MLPField((12,)), "schedule": Trigonometric(), "solver": RungeKutta4(40)}],
    "MixtureProposal": [
        {"generators": [CouplingFlow(2, hidden=(12,), bins=5), CouplingFlow(1, hidden=(8,))], "shares": [0.7, 0.3]}
    ],
    "ReverseDiffusion": [
        {"network": MLPField((12,)), "steps": 20},
        {"network": MLPField((12,)), "schedule": VarianceExploding(0.02, 20.0), "steps": 20, "corrections": 1},
    ],
}


class Somewhere(Energy):
    """Harmonic lines, cosines on intervals [0, 3] and circles [-pi, pi]."""

    def __init__(self, *kinds):
        super().__init__()
        self.kinds = torch.tensor(kinds)
        lower, upper = torch.where(self.kinds == BOX, 0.0, -math.pi), torch.where(self.kinds == BOX, 3.0, math.pi)
        self.space = Vectors(len(kinds), Domain(self.kinds, lower, upper))

    def potential(self, x):
        return torch.where(self.kinds == LINE, x**2 / 2, torch.cos(x)).sum(-1)

    @property
    def log_Z(self):
        x = torch.linspace(0, 3, 10_001, dtype=torch.float64)
        each = {
            LINE: 0.5 * math.log(2 * math.pi),
            BOX: torch.trapezoid(torch.exp(-torch.cos(x)), x).log().item(),
            RING: math.log(2 * math.pi) + torch.special.i0(torch.tensor(1.0, dtype=torch.float64)).log().item(),
        }
        return sum(each[Kind(k)] for k in self.kinds.tolist())


ENERGIES = {
    "line": Somewhere(LINE),
    "circle": Somewhere(RING),
    "plane": DoubleWell(),
    "torus": Somewhere(RING, RING),
    "strip": Somewhere(LINE, BOX),
    "cylinder": Somewhere(RING, LINE),
    "rectangle": Somewhere(BOX, BOX),
    "everything": Somewhere(LINE, BOX, RING, RING, LINE, LINE, BOX),
}


def concrete():
    classes = (getattr(generators, name) for name in generators.__all__)
    return [c for c in classes if inspect.isclass(c) and issubclass(c, Generator) and not inspect.isabstract(c)]


def make(case, dtype=torch.float64):
    """A generator with parameters far from its start, and not so wild that a density grid misses its spikes."""
    cls, arguments, where = case
    torch.manual_seed(0)
    generator = cls(**copy.deepcopy(arguments)).build(ENERGIES[where]).double()
    for p in generator.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return generator.to(dtype)


LINES_ONLY = {"ContinuousFlow", "Diffusion", "ReverseDiffusion"}


def refused(cls, arguments, where):
    """The sentence with which a generator is expected to refuse a system, None where it must build."""
    if (ENERGIES[where].space.domain.kinds == LINE).all():
        return None
    if cls.__name__ in LINES_ONLY:
        return f"{cls.__name__} lives on lines, and Somewhere has coordinates on circles or intervals: use CouplingFlow"
    if arguments.get("transform") == "affine":
        return "Affine maps the real line, and .* coordinates are bounded or circular: use 'transform: spline'"
    return None


ALL = [(cls, a, where) for cls in concrete() for a in SMALL.get(cls.__name__, [{}]) for where in ENERGIES]
REFUSED = [case for case in ALL if refused(*case) is not None]


CASES = [case for case in ALL if refused(*case) is None]
PLANAR = [c for c in CASES if c[0].log_prob is not Generator.log_prob and ENERGIES[c[2]].space.dim <= 2]


def named(case):
    """Its own words alone: xdist's workers must agree on the names, and an object's default repr holds its address."""
    cls, arguments, where = case
    words = [str(a) if isinstance(a, str) else f"{k}{a}" for k, a in arguments.items() if isinstance(a, str | int)]
    return "-".join([cls.__name__, *words, where])


def test_every_exported_generator_is_under_law():
    elsewhere = {name for name, arguments in SMALL.items() if not arguments}
    assert {c.__name__ for c in concrete()} == {cls.__name__ for cls, _, _ in CASES} | elsewhere


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_does_not_fit_is_refused_in_a_sentence(case):
    cls, arguments, where = case
    with pytest.raises(ValueError, match=refused(*case)):
        cls(**copy.deepcopy(arguments)).build(ENERGIES[where])


@pytest.mark.parametrize("law", GENERATOR_LAWS)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_generator_obeys_every_law(case, law):
    cls, arguments, where = case
    dim, smooth = ENERGIES[where].space.dim, issubclass(cls, ContinuousFlow)
    grid = {1: 400, 2: 80}.get(dim) if smooth else None  # a smooth density needs fewer points
    unbuilt = cls(**copy.deepcopy(arguments))
    try:
        GENERATOR_LAWS[law](GeneratorCase(make(case), ENERGIES[where], unbuilt, tolerance=1e-8, grid=grid))
    except DoesNotApply:
        assert law not in applying(case)
        raise


def applying(case):
    """The laws that must have something to say."""
    cls, _, where = case
    known = issubclass(cls, Transport | ContinuousFlow)
    laws = {"shapes", "random numbers", "log Z", "domain", "gradients", "checkpoint", "copies"}
    laws |= {"density", "single precision"} if cls.log_prob is not Generator.log_prob else set()
    laws |= {"norm"} if case in PLANAR else set()
    laws |= {"inverse"} if issubclass(cls, Transport) else set()
    laws |= {"Jacobian"} if known else set()
    line = (ENERGIES[where].space.domain.kinds == LINE).all()
    return laws | ({"edges"} if not line and cls.log_prob is not Generator.log_prob else set())
