"""Every law of generators catches a generator that breaks it, and says what is wrong."""

import math

import pytest
import torch
from torch import nn

from lit_bg.bases import Normal
from lit_bg.energies import DoubleWell, Energy, Gaussian, Tempered
from lit_bg.generators import Generator, Transport
from lit_bg.spaces import Domain, Kind, Vectors
from lit_bg.testing import GENERATOR_LAWS, check_generator

TARGET = Gaussian(2, scale=[0.8, 1.1])


class Interval(Energy):
    """A line and an interval [0, 1], with nothing on it."""

    space = Vectors(2, Domain(torch.tensor([Kind.LINEAR, Kind.BOUNDED]), torch.zeros(2), torch.ones(2)))

    def potential(self, x):
        return 0.5 * x[:, 0] ** 2


class Ring(Interval):
    space = Vectors(2, Domain(torch.tensor([Kind.LINEAR, Kind.CIRCULAR]), torch.zeros(2), torch.ones(2)))


class Right(Transport):
    r"""$x = a + e^s z$: everything is right."""

    def build(self, energy):
        self.event_shape, self.prior = energy.space.shape, Normal().build(energy)
        self.a, self.s = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        self.register_buffer("loc", torch.zeros(2))
        return self

    def adapt(self, x):
        self.loc = x.mean(0).to(self.loc)

    def forward(self, z, context=None):
        self.scale_context(context, z)
        return self.loc + self.a + self.s.exp() * z, self.s.sum().expand(len(z))

    def inverse(self, x, context=None):
        self.scale_context(context, x)
        return (x - self.loc - self.a) / self.s.exp(), -self.s.sum().expand(len(x))


class Matrix(Right):
    def sample(self, n, rng, context=None):
        x, log_q = super().sample(n, rng, context)
        return x, log_q[:, None]


class Global(Right):
    def sample(self, n, rng, context=None):
        x, log_q = super().sample(n, rng, context)
        return x + 0 * log_q[:, None], log_q + 1e-6 * torch.rand(n)


class Deaf(Right):
    """Uses the same seed every time."""

    def sample(self, n, rng, context=None):
        return super().sample(n, torch.Generator().manual_seed(0), context)


class Detached(Right):
    def sample(self, n, rng, context=None):
        x, log_q = super().sample(n, rng, context)
        return x.detach(), log_q.detach()


class Unused(Right):
    def build(self, energy):
        super().build(energy)
        self.never = nn.Parameter(torch.zeros(3))
        return self


class OutsideTheState(Right):
    """Keeps what data have taught where no checkpoint looks."""

    def adapt(self, x):
        self.shift = x.mean(0)

    def forward(self, z, context=None):
        x, ladj = super().forward(z, context)
        return x + getattr(self, "shift", torch.zeros(2)), ladj


class HoldsAFunction(Right):
    def build(self, energy):
        super().build(energy)
        self.function = lambda x: x
        return self


class IgnoresContext(Right):
    """Takes conditions and does not follow them."""

    def build(self, energy):
        self.conditions = energy.conditions
        return super().build(energy)


class TakesAnyContext(Right):
    def scale_context(self, context, like):
        return None


class WithoutJacobian(Right):
    """Both directions leave the determinant out, so samples and density agree."""

    def forward(self, z, context=None):
        x, ladj = super().forward(z, context)
        return x, torch.zeros_like(ladj)

    def inverse(self, x, context=None):
        z, ladj = super().inverse(x, context)
        return z, torch.zeros_like(ladj)


class OneWay(Right):
    """The inverse forgets the sign of its determinant."""

    def inverse(self, x, context=None):
        z, ladj = super().inverse(x, context)
        return z, -ladj


class WrongInverse(Right):
    def inverse(self, x, context=None):
        z, ladj = super().inverse(x, context)
        return 1.01 * z, ladj


class SeesNeighbours(Right):
    def log_prob(self, x, context=None):
        found = super().log_prob(x, context)
        return found + 1e-5 * (len(x) == 1)


class Rounded(Right):
    """Rounds to tenths where it is not asked for double precision."""

    def log_prob(self, x, context=None):
        found = super().log_prob(x, context)
        return (10 * found).round() / 10 if x.dtype == torch.float32 else found


class Unnormalised(Generator):
    """A density that is twice too large, said everywhere alike."""

    def build(self, energy):
        self.event_shape, self.prior = energy.space.shape, Normal().build(energy)
        self.scale = nn.Parameter(torch.ones(()))
        return self

    def sample(self, n, rng, context=None):
        z, log_p = self.prior.sample(n, rng)
        return self.scale * z, log_p - 2 * self.scale.abs().log() + math.log(2)

    def log_prob(self, x, context=None):
        return self.prior.log_prob(x / self.scale) - 2 * self.scale.abs().log() + math.log(2)


class Anywhere(Unnormalised):
    """A normal density on an interval or a circle."""

    def build(self, energy):
        super().build(DoubleWell())
        return self


BREACHES = [
    ("shapes", Matrix(), TARGET, r"log q of 7 samples of Matrix has shape \(7, 1\) and must have \(7,\)"),
    ("random numbers", Global(), TARGET, "log q of Global differs for equal streams"),
    ("random numbers", Deaf(), TARGET, "Deaf draws the same from different streams"),
    ("domain", Anywhere(), Interval(), "coordinate 1 of samples of Anywhere lies outside 0 to 1"),
    ("gradients", Detached(), TARGET, "sample of Detached has no graph"),
    ("gradients", Unused(), TARGET, "reaches 0.67 of the parameters and must 1: not never"),
    ("checkpoint", OutsideTheState(), TARGET, "another one with its state dict draws another x"),
    ("copies", HoldsAFunction(), TARGET, "HoldsAFunction cannot be copied"),
    ("conditions", IgnoresContext(), Tempered(TARGET, 0.5, 2.0), "change by 0 with their conditions: it does not follow them"),
    ("conditions", TakesAnyContext(), TARGET, "a context that TakesAnyContext does not know is taken without complaint"),
    ("density", OneWay(), TARGET, "log_prob of samples of OneWay is .*, the log q they came with"),
    ("density", SeesNeighbours(), TARGET, "log_prob of SeesNeighbours, alone, is .* as in a batch"),
    ("single precision", Rounded(), TARGET, "in float32 is .* from"),
    ("log Z", WithoutJacobian(), TARGET, "log Z of Gaussian by weights of WithoutJacobian is .* and must be"),
    ("log Z", Unnormalised(), TARGET, "log Z of Gaussian by weights of Unnormalised is .* and must be"),
    ("norm", Unnormalised(), TARGET, "the density of Unnormalised sums to 2.0.* over a grid and must to 1"),
    ("edges", Anywhere(), Interval(), "log_prob of Anywhere beyond its intervals is .* and must be -inf"),
    ("edges", Anywhere(), Ring(), "log_prob of Anywhere a turn further on every circle is"),
    ("inverse", OneWay(), TARGET, "the ladj of inverse of OneWay is .*, minus that of forward"),
    ("inverse", WrongInverse(), TARGET, r"forward\(inverse\(x\)\) - x of WrongInverse is"),
    ("Jacobian", WithoutJacobian(), TARGET, r"the ladj of forward of WithoutJacobian is .*, the log \|det\| of its Jacobian"),
]


@pytest.mark.parametrize(
    ("law", "generator", "energy", "sentence"), BREACHES, ids=lambda a: a if isinstance(a, str) else type(a).__name__
)
def test_a_breach_is_caught_and_said(law, generator, energy, sentence):
    with pytest.raises(AssertionError, match=f"breaks 1 law:\n  {law}: .*{sentence}"):
        check_generator(generator, energy, stir=0.3, skip=GENERATOR_LAWS.keys() - {law})


def test_every_law_of_generators_has_a_breach():
    assert {law for law, *_ in BREACHES} == set(GENERATOR_LAWS)


def test_what_is_right_is_not_accused_fresh_or_built():
    fresh = check_generator(Right(), TARGET, stir=0.3)
    assert set(fresh.left_out) == {"edges", "conditions"}
    built = Right().build(TARGET)
    assert set(check_generator(built, TARGET).held) == set(fresh.held)
    with pytest.raises(ValueError, match="Right is built already: give check_generator the energy it is built for"):
        check_generator(built)
