"""Conditions of energies, and one system at any temperature."""

import copy
import math
from functools import cached_property

import pytest
import torch

from lit_bg.energies import Condition, DoubleWell, Gaussian, Tempered
from lit_bg.energies.condition import check_context, draw_context, read_context
from lit_bg.energies.trial import loses_gradient, try_energy


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wells():
    return Tempered(DoubleWell(), 0.5, 4.0)


@pytest.mark.parametrize("condition", [Condition("kT", 0.5, 4.0, log=True), Condition("field", -1.0, 3.0, "V/nm")])
class TestCondition:
    def test_the_range_is_mapped_to_minus_one_to_one_and_back(self, condition):
        ends = torch.tensor([condition.lowest, condition.highest], dtype=torch.float64)
        torch.testing.assert_close(condition.scale(ends), torch.tensor([-1.0, 1.0], dtype=torch.float64))
        values = condition.draw(100, rng()).double()
        torch.testing.assert_close(condition.value(condition.scale(values)), values)

    def test_draws_are_in_range_and_even(self, condition):
        values = condition.draw(1000, rng())
        assert condition.contains(values).all()
        scaled = condition.scale(values).sort().values
        assert (scaled - (2 * (torch.arange(1000) + 0.5) / 1000 - 1)).abs().max() < 2e-3
        assert torch.equal(values, condition.draw(1000, rng()))
        assert not torch.equal(values, condition.draw(1000, rng(1)))

    def test_values_outside_are_refused(self, condition):
        for value in (condition.lowest - 0.1, condition.highest + 0.1, math.nan):
            with pytest.raises(ValueError, match=rf"the flow knows {condition.name} from .* and got {condition.name} = "):
                check_context([condition], torch.tensor([value]), "the flow")
        check_context([condition], torch.tensor([[condition.lowest], [condition.highest]]), "the flow")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Condition("kT", 2.0, 1.0), "needs lowest < highest, got 2.0 and 1.0"),
        (lambda: Condition("kT", 0.0, 1.0, log=True), "needs lowest > 0, got 0.0"),
        (lambda: Condition("kT", 0.0, math.inf), "needs lowest < highest"),
        (lambda: Tempered(DoubleWell(kT=5.0), 0.5, 4.0), "DoubleWell is at kT = 5, where it would be judged"),
        (lambda: Tempered(wells(), 0.5, 4.0), r"Tempered has conditions already \(kT from 0.5 to 4\)"),
        (lambda: wells().given([5.0]), "Tempered knows kT from 0.5 to 4, and got kT = 5"),
        (lambda: wells().given([1.0, 2.0]), r"got a tensor of shape \(2,\): pass context=tensor of shape \(1,\)"),
        (lambda: wells().given([[1.0], [2.0]]), "one system has one kT"),
        (lambda: DoubleWell().given([1.0]), "DoubleWell has no conditions and got a tensor"),
        (lambda: DoubleWell().conditioned(torch.zeros(1, 2), torch.ones(1)), "DoubleWell has no conditions"),
        (lambda: read_context((), None, ["kT=1"]), "there is no condition 'kT' in 'kT=1': the run has none"),
        (lambda: read_context(wells().conditions, torch.ones(1), ["kT=x"]), "'kT=x' names no value: write kT=<number>"),
        (lambda: read_context(wells().conditions, torch.ones(1), ["T=1"]), "no condition 'T' in 'T=1': the run has kT"),
        (lambda: read_context(wells().conditions, torch.ones(1), ["kT=9"]), "the run knows kT from 0.5 to 4, and got kT = 9"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_tempered_system_is_the_system_at_any_temperature():
    """Energies of rows, of all at once and of views; their forces; and one bill."""
    energy, x = wells(), torch.randn(6, 2, generator=rng(), dtype=torch.float64)
    kT = draw_context(energy.conditions, 6, rng()).double()
    u = energy.conditioned(x, kT)
    torch.testing.assert_close(u, torch.cat([energy.given(c)(row[None]) for row, c in zip(x, kT, strict=True)]))
    torch.testing.assert_close(energy.conditioned(x, kT[0]), DoubleWell(kT=kT[0].item())(x))
    assert energy.n_values == energy.energy.n_values == energy.given([2.0]).n_values == 18
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(energy.conditioned(x, kT).sum(), x)
    assert energy.n_gradients == 6
    (expected,) = torch.autograd.grad(DoubleWell().potential(x).sum(), x)
    torch.testing.assert_close(gradient, expected / kT)
    assert torch.autograd.gradcheck(lambda x: energy.conditioned(x, kT), x, check_undefined_grad=False)


@pytest.mark.parametrize("kT", [0.5, 0.7, 4.0])
def test_what_is_known_exactly_is_known_at_every_temperature(kT):
    given, exact = wells().given([kT]), DoubleWell(kT=kT)
    assert given.kT == kT
    assert given.log_Z == exact.log_Z
    assert given.p_left == exact.p_left
    assert torch.equal(given.modes.exact, exact.modes.exact)
    assert torch.equal(given.exact_samples(3, rng()), exact.exact_samples(3, rng()))
    assert not given.conditions
    assert given.default_context is None


def test_without_a_word_it_is_the_system_itself():
    energy = wells()
    assert energy.default_context.tolist() == [1.0]
    assert energy.given() is energy.energy
    assert energy.log_Z == DoubleWell().log_Z
    assert list(energy.observables) == list(DoubleWell().observables)
    assert energy.at(2.0).log_Z == DoubleWell(kT=2.0).log_Z
    assert energy.kT == energy.given().kT == 1.0  # a view changes nothing
    plain = DoubleWell()
    assert plain.given() is plain
    assert torch.equal(plain.conditioned(torch.ones(2, 2)), plain(torch.ones(2, 2)))
    assert copy.deepcopy(energy).meter is not energy.meter
    plain.conditions = energy.conditions
    with pytest.raises(NotImplementedError, match="DoubleWell names conditions and does not define"):
        plain.conditioned(torch.ones(2, 2), torch.ones(1))


def test_the_system_inside_is_looked_at():
    class Detached(Gaussian):
        def potential(self, x):
            return super().potential(x).detach()

    assert loses_gradient(Tempered(Detached(2), 0.5, 2.0))

    class Wrong(Gaussian):
        def potential(self, x):
            return x.sum()

    with pytest.raises(TypeError, match=r"Wrong\.potential returned the shape"):
        try_energy(Tempered(Wrong(2), 0.5, 2.0))


def test_a_view_finds_its_own_cached_values():
    """What a class keeps in a cached property may be of its temperature."""

    class Keeping(DoubleWell):
        @cached_property
        def width(self):
            return float(self.kT) ** 0.5

    energy = Keeping(kT=4.0)
    assert (energy.width, energy.at(9.0).width, energy.at(9.0).at(4.0).width, energy.width) == (2.0, 3.0, 2.0, 2.0)
