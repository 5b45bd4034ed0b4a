"""Every law of energies catches a system that breaks it, and says what is wrong."""

import math

import pytest
import torch

from lit_bg.energies import Condition, DoubleWell, Energy, Gaussian, Ising, Tempered
from lit_bg.energies.base import Modes, Observable
from lit_bg.spaces import Domain, Kind, Particles, Vectors
from lit_bg.testing import ENERGY_LAWS, EnergyCase, check_energy


class Springs(Energy):
    """Four particles of one type joined by springs: everything is right."""

    space = Particles(4, 3, (0,) * 4)
    symmetries = frozenset({"translation", "rotation", "reflection"})

    def potential(self, x):
        return 2.0 * (x - x.mean(1, keepdim=True)).square().flatten(1).sum(1)

    @property
    def log_Z(self):
        return 4.5 * math.log(0.5 * math.pi * self.kT)

    def exact_samples(self, n, rng):
        return 0.5 * math.sqrt(self.kT) * self.space.noise(n, rng)


class Ring(Energy):
    """A circle and an interval: everything is right."""

    space = Vectors(2, Domain(torch.tensor([Kind.CIRCULAR, Kind.BOUNDED]), torch.zeros(2), torch.tensor([4.0, 1.0])))

    def potential(self, x):
        return torch.cos(0.5 * math.pi * x[:, 0]) + x[:, 1]

    @property
    def log_Z(self):
        b = torch.tensor(1 / self.kT, dtype=torch.float64)
        return (4 * torch.special.i0(b) * (1 - torch.exp(-b)) / b).log().item()


class NoSpace(Energy):
    def potential(self, x):
        return x.square().sum(-1)


class HeldInPlace(Springs):
    """Measured without its centre of mass, and tied to a place."""

    symmetries = frozenset({"rotation", "reflection"})


class KeepsAnAxis(DoubleWell):
    def potential(self, x):
        return super().potential(x)[:, None]

    def check_values(self, u, x):
        return u


class InPlace(DoubleWell):
    def potential(self, x):
        u = super().potential(x.clone())
        with torch.no_grad():
            x += 1e-3
        return u


class AlwaysDouble(DoubleWell):
    def potential(self, x):
        return super().potential(x.double())


class Hole(DoubleWell):
    def potential(self, x):
        return super().potential(x) / (x[:, 0] < 0)


class SeesNeighbours(DoubleWell):
    def potential(self, x):
        return super().potential(x - 1e-3 * x.mean(0))


class Forgetful(DoubleWell):
    """Another number every time."""

    def potential(self, x):
        return super().potential(x) + 1e-3 * torch.rand(len(x), dtype=x.dtype)


class Rounded(DoubleWell):
    """The difference of two large numbers."""

    def potential(self, x):
        return (super().potential(x) + 1e6) - 1e6


class OwnTemperature(DoubleWell):
    """Divides by kT twice."""

    def potential(self, x):
        return super().potential(x) / self.kT


class ChangesItself(DoubleWell):
    def at(self, kT):
        other = super().at(kT)
        self.kT = other.kT
        return other


class AnyTemperature(DoubleWell):
    def at(self, kT):
        return super().at(kT if kT > 0 else 1.0)


class WrongForce(DoubleWell):
    """Detaches a part of itself."""

    def potential(self, x):
        return super().potential(x) - 0.1 * x[:, 0] ** 2 + 0.1 * x[:, 0].detach() ** 2


class WithoutForce(DoubleWell):
    def potential(self, x):
        return super().potential(x).detach()


class OwnGradient(DoubleWell):
    """A faster gradient, with the wrong sign."""

    def value_and_gradient(self, x):
        u, gradient = super().value_and_gradient(x)
        return u, -gradient


class CountsTwice(DoubleWell):
    def forward(self, x):
        self.meter.values += len(x)
        return super().forward(x)


class TakesAnything(DoubleWell):
    def forward(self, x):
        return self.potential(x) / self.kT


class HoldsAFunction(DoubleWell):
    def __init__(self):
        super().__init__()
        self.scale = lambda x: x


class TakesAFunction(Energy):
    space = Vectors(2)

    def __init__(self, shape=lambda x: x.square()):
        super().__init__()

    def potential(self, x):
        return x.square().sum(-1)


class RandomFields(DoubleWell):
    """Couplings that nobody asked for."""

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.field = strength * torch.randn(2, dtype=torch.float64)

    def potential(self, x):
        return super().potential(x) + x @ self.field.to(x)


class HidesAnArgument(DoubleWell):
    incidental = ("a1",)


class HidesItsSize(DoubleWell):
    incidental = ("dim",)


class InKelvin(DoubleWell):
    """A temperature that is an argument like any other."""

    def __init__(self, kelvin: float = 300.0):
        super().__init__(kT=kelvin / 300)


class ForgetsItsCopies(DoubleWell):
    def __deepcopy__(self, memo):
        return DoubleWell(a1=0.0)


class SpellsAnObject(DoubleWell):
    @classmethod
    def spell(cls, arguments):
        return {"a1": 1.0, "couplings": {"class": 1, "package": 2, "parameters": (1, 2)}}


class DeafToConditions(Tempered):
    def conditioned(self, x, context=None):
        return self(x)


class OnlyAlongAnAxis(Springs):
    """Says that it is symmetric, and knows an axis."""

    def potential(self, x):
        return super().potential(x) + 0.1 * (x - x.mean(1, keepdim=True))[..., 0].square().sum(1)


class Undeclared(Springs):
    symmetries = frozenset({"translation"})


class NoParticles(DoubleWell):
    symmetries = frozenset({"rotation"})


class OneIsDifferent(Springs):
    def potential(self, x):
        return super().potential(x) + 0.1 * (x - x.mean(1, keepdim=True))[:, 0].square().sum(1)


class AllAlike(Springs):
    space = Particles(4, 3)


class Seam(Ring):
    def potential(self, x):
        return super().potential(x) + 0.1 * x[:, 0]


class OpenCell(Energy):
    """Particles in a periodic cell that do not see images."""

    space = Particles(2, 2, (0, 0), box=torch.eye(2) * 3.0)
    symmetries = frozenset({"translation"})

    def potential(self, x):
        return (x[:, 0] - x[:, 1]).square().sum(-1)


def with_modes(label, names=("left", "right"), exact=None):
    class WithModes(DoubleWell):
        @property
        def modes(self):
            known = None if exact is None else torch.tensor(exact, dtype=torch.float64)
            return Modes(names, label, known)

    return WithModes()


def right(x):
    return (x[:, 0] > 0).long()


def with_observable(function, **known):
    class WithObservable(DoubleWell):
        @property
        def observables(self):
            return {"a": Observable(function, **known)}

    return WithObservable()


class StartsElsewhere(Ring):
    initial = torch.tensor([[1.0, 2.0]])


class StartsInAnotherShape(Ring):
    initial = torch.tensor([1.0, 0.5])


class Massless(Springs):
    masses = torch.tensor([1.0, 1.0, 1.0, 0.0])


class BondToNowhere(Springs):
    bonds = ((0, 4),)


class GlobalSamples(DoubleWell):
    def exact_samples(self, n, rng):
        return torch.randn(n, 2)


class AlwaysTheSame(DoubleWell):
    def exact_samples(self, n, rng):
        return torch.ones(n, 2)


class TooCold(Gaussian):
    def exact_samples(self, n, rng):
        return 0.97 * super().exact_samples(n, rng)


class TooSmallABox(DoubleWell):
    @property
    def box(self):
        return 0.3 * super().box


class WithoutAFactor(Springs):
    """log Z in another measure: the centre of mass counted in coordinates that are not orthonormal."""

    @property
    def log_Z(self):
        return super().log_Z - 1.5 * math.log(4)


class WithoutTemperature(DoubleWell):
    """log Z that is right at kT = 1 alone."""

    @property
    def log_Z(self):
        return DoubleWell().log_Z


class WithoutAState(Ising):
    @property
    def log_Z(self):
        return super().log_Z - 1e-3


class WrongRing(Ring):
    @property
    def log_Z(self):
        return super().log_Z + math.log(4.0)


BREACHES = [
    ("contract", NoSpace(), "NoSpace has no space"),
    ("contract", HeldInPlace(), "measured without its centre of mass and does not name 'translation'"),
    ("one number per configuration", KeepsAnAxis(), r"has shape \(7, 1\) for 7 configurations and must have \(7,\)"),
    ("one number per configuration", InPlace(), "changes its input in place"),
    ("one number per configuration", AlwaysDouble(), "is torch.float64 for configurations in torch.float32"),
    ("one number per configuration", Hole(), "is not finite for 3 of 7 configurations"),
    ("no neighbours", SeesNeighbours(), r"computed alone, is .* and must be .* within .* as in a batch of 7"),
    ("no neighbours", Forgetful(), "within"),
    ("both precisions", Rounded(), "in float32 is .* and must be"),
    ("temperature", OwnTemperature(), r"u of OwnTemperature.at\(2.5\) is .* of u at kT = 1"),
    ("temperature", ChangesItself(), r"at\(2.5\) changed kT of ChangesItself itself from 1 to 2.5"),
    ("temperature", AnyTemperature(), r"AnyTemperature.at\(0\) is taken without complaint and must raise ValueError"),
    ("gradient", WrongForce(), r"du/dx of WrongForce along coordinate 0 is .* and the finite difference .* by more than"),
    ("gradient", WithoutForce(), "does not depend on x for autograd"),
    ("value and gradient", OwnGradient(), "the gradient of value_and_gradient of OwnGradient is"),
    ("counts", CountsTwice(), "counts 8 values and 0 gradients in a call for 4 configurations, not 4 values"),
    (
        "wrong shapes",
        TakesAnything(),
        r"x of shape \(2, 3\) \(one coordinate more\) by TakesAnything is taken without complaint",
    ),
    ("copies", HoldsAFunction(), "HoldsAFunction cannot be copied"),
    ("identity", TakesAFunction(), r"nobody can tell what TakesAFunction was built from \(shape: a lambda\)"),
    ("identity", RandomFields(), r"u of RandomFields built again from \(strength=1.0\) is .* such as random numbers"),
    ("identity", HidesAnArgument(), "another a1 changes the potential of HidesAnArgument by up to .* and not its identity"),
    ("identity", HidesItsSize(), "HidesItsSize has another space for another dim, and the same identity"),
    ("identity", InKelvin(), "another kelvin changes nothing but kT of InKelvin, and its identity too"),
    ("identity", ForgetsItsCopies(), "a deep copy of ForgetsItsCopies is another target by its identity, for .*DoubleWell"),
    ("identity", SpellsAnObject(), "is not what JSON holds"),
    ("conditions", DeafToConditions(DoubleWell(), 0.5, 4.0), r"conditioned\(x, context\) of DeafToConditions is"),
    ("declared symmetries", OnlyAlongAnAxis(), "u of OnlyAlongAnAxis after a rotation is .*: it declares 'rotation'"),
    ("declared symmetries", NoParticles(), r"declares symmetries of particles \(rotation\) and its space has none"),
    ("undeclared symmetries", Undeclared(), "changes u of Undeclared by .* and it is not declared"),
    ("exchange", OneIsDifferent(), "after particles of type 0 changed places is"),
    ("exchange", AllAlike(), "have different types and change u by .* give them one type"),
    ("periodic images", Seam(), "a turn further on every circle is"),
    ("periodic images", OpenCell(), "with a particle moved around the cell is"),
    ("modes", with_modes(lambda x: x[:, 0] > 0), "is torch.bool and must be torch.long"),
    ("modes", with_modes(lambda x: 2 * right(x)), "lies in 0 to 2, and must in -1 to 1"),
    ("modes", with_modes(lambda x: right(x)[:, None]), r"has shape \(50, 1\) for 50 configurations"),
    ("modes", with_modes(right, ("a", "a")), "repeat: a, a"),
    ("modes", with_modes(right, exact=[0.9, 0.2]), "sum to 1.1 and must to 1"),
    ("modes", with_modes(lambda x: 1 - right(x), exact=[0.1, 0.9]), r"lie in the modes \[1, 0\]"),
    ("modes", with_modes(lambda x: (x[:, 0] > x[:, 0].mean() + 3).long() * len(x) // 50 + (len(x) == 1)), "rest of the batch"),
    ("starts", StartsElsewhere(), "1 of 1 initial configurations of StartsElsewhere have a place outside the space"),
    ("starts", StartsInAnotherShape(), r"has shape \(2,\) and must have \(K, 2\)"),
    ("particles", Massless(), "the smallest of the masses of Massless is 0 and must be positive"),
    ("particles", BondToNowhere(), r"bond \(0, 4\) of BondToNowhere must join two of particles 0 to 3"),
    ("observables", with_observable(lambda x: x), r"has shape \(6, 2\) for 6 configurations and must have \(6,\)"),
    ("observables", with_observable(lambda x: x[:, 0].mean()), r"has shape \(\) for 6 configurations"),
    ("observables", with_observable(lambda x: x[:, 0] - x[:, 0].mean()), "computed alone, is"),
    ("observables", with_observable(lambda x: x[:, 0], periodic=True), "is periodic and has no range"),
    ("observables", with_observable(lambda x: x[:, 0], periodic=True, range=(-1.0, 1.0)), "outside its circle -1 to 1"),
    ("exact samples", GlobalSamples(), "differ for equal seeds"),
    ("exact samples", AlwaysTheSame(), "are the same for different seeds"),
    ("virial", TooCold(3), "the virial of exact samples of TooCold is .* and must be 3 within"),
    ("exact averages", with_observable(lambda x: x[:, 0], exact=-1.6), "the mean of 'a' over exact samples of .* must be -1.6"),
    (
        "exact bins",
        with_observable(lambda x: x[:, 0], range=(-2.0, 2.0), exact_bins=Gaussian().observables["x1"].exact_bins),
        "the share of bin 0 among exact samples by exact_bins of observable 'a'",
    ),
    (
        "exact bins",
        with_observable(lambda x: x[:, 0], range=(-2.0, 2.0), exact_bins=lambda edges: torch.ones(len(edges) - 1)),
        "exact_bins of observable 'a' of .* of twice the width",
    ),
    ("exact populations", with_modes(right, exact=[0.95, 0.05]), "the share of mode 'left' .* must be 0.95 within"),
    ("box", TooSmallABox(), "box of TooSmallABox holds 0.* of 5000 exact samples"),
    ("log Z", WithoutAFactor(), "log Z of WithoutAFactor at kT = 1 by exact samples is"),
    ("log Z", WithoutTemperature(), "log Z of WithoutTemperature at kT = 1.6 is .* by its own account and .* by a sum"),
    ("log Z", WithoutAState(3, kT=2.5), "log Z of WithoutAState at kT = 2.5 is"),
    ("log Z", WrongRing(), "log Z of WrongRing at kT = 1 is"),
]


@pytest.mark.parametrize(("law", "energy", "sentence"), BREACHES, ids=lambda a: a if isinstance(a, str) else type(a).__name__)
def test_a_breach_is_caught_and_said(law, energy, sentence):
    with pytest.raises(AssertionError, match=sentence) as caught:
        ENERGY_LAWS[law](EnergyCase(energy))
    assert "\n" not in str(caught.value)


def test_every_law_of_energies_has_a_breach():
    assert {law for law, _, _ in BREACHES} == set(ENERGY_LAWS)


@pytest.mark.parametrize("energy", [Springs(), Ring()], ids=lambda e: type(e).__name__)
def test_what_is_right_is_not_accused(energy):
    checked = check_energy(energy)
    assert {*checked.held, *checked.left_out} == set(ENERGY_LAWS)
    assert "log Z" in checked.held


def test_all_breaches_are_said_at_once_and_a_law_can_be_skipped():
    class Twice(WrongForce, CountsTwice):
        pass

    with pytest.raises(AssertionError, match=r"Twice breaks 4 laws:\n  gradient: .*\n  counts: .*\n  copies: .*\n  virial: "):
        check_energy(Twice())
    left_out = check_energy(CountsTwice(), skip=["counts"]).left_out
    assert left_out["counts"] == "skipped as asked for"
    with pytest.raises(ValueError, match="there is no law named 'count' to skip: the laws are contract, one number"):
        check_energy(DoubleWell(), skip=["count"])


def test_an_error_of_the_system_itself_says_which_law_met_it():
    class Fails(DoubleWell):
        @property
        def bonds(self):
            raise RuntimeError("no bonds today")

    with pytest.raises(RuntimeError, match="no bonds today") as caught:
        check_energy(Fails(), skip=["copies"])
    assert "Fails failed while the law 'particles' was tried." in caught.value.__notes__


def test_configurations_can_be_given():
    x = torch.full((2, 2), -0.5)
    torch.testing.assert_close(EnergyCase(Hole(), x).configurations(3), x.double()[[0, 1, 0]])
    check = ENERGY_LAWS["one number per configuration"]
    check(EnergyCase(Hole(), x))


def test_conditions_of_another_kind():
    """A field that tilts the well: a condition that is no temperature."""

    class Tilted(DoubleWell):
        conditions = (Condition("field", -1.0, 1.0),)

        @property
        def default_context(self):
            return torch.tensor([self.a1], dtype=torch.float64)

        def given(self, context=None):
            return DoubleWell(a1=self.a1 if context is None else float(context[0]), kT=self.kT)

        def conditioned(self, x, context=None):
            return self(x) if context is None else self(x) + (context.to(x)[..., 0] - self.a1) * x[:, 0] / self.kT

    ENERGY_LAWS["conditions"](EnergyCase(Tilted()))
    ENERGY_LAWS["temperature"](EnergyCase(Tilted()))
