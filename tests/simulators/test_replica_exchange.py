"""Replica exchange between temperatures: barriers crossed, rungs placed, and a ladder in two parts told apart."""

import math

import pytest
from springs import silent

from lit_bg.energies import DoubleWell, Gaussian
from lit_bg.estimators import mean_with_error
from lit_bg.kernels import Langevin
from lit_bg.simulators import ReplicaExchange, Simulation, Temperatures

ARGUMENTS = {"frames": 20, "walkers": 100, "start": "right"}


class TestDoubleWell:
    def test_it_finds_the_populations_that_langevin_does_not(self):
        """All walkers start in the well with 3 % of the probability; P(left) and <x1> within 3 sigma at two temperatures."""
        energy = DoubleWell()
        alone = Simulation(Langevin(0.1, 10), stride=1, burn_in=30, **ARGUMENTS).run(energy, 0, silent)
        assert (alone.x[..., 0] < 0).double().mean() < 0.2
        ladder = Temperatures(max_temperature=6.0, rungs=4, pilot=25, also=[2.0])
        exchange = ReplicaExchange(Langevin(0.1, 2), ladder, stride=5, burn_in=150, **ARGUMENTS)
        trajectory = exchange.run(energy, 0, silent)
        for kT, t in {1.0: trajectory, **trajectory.others}.items():
            for observable in energy.at(kT).observables.values():
                a = observable.function(t.x)
                mean, error = mean_with_error(a)
                assert error < 0.1
                assert abs(mean - observable.exact) < 3 * error
        assert trajectory.problems == []
        assert trajectory.info["round_trips_per_replica"] > 1
        assert trajectory.info["temperatures"][0] == 1.0
        assert any(math.isclose(t, 2.0) for t in trajectory.info["temperatures"])
        rates = trajectory.info["exchange"]
        assert len(rates) == 3
        assert 0.2 < min(rates) < max(rates) < 0.95

    def test_a_ladder_in_two_parts_is_not_converged(self):
        stiff = Gaussian(200)
        ladder = Temperatures(temperatures=[1.0, 1.05, 3.0])
        exchange = ReplicaExchange(Langevin(0.1, 1), ladder, frames=5, walkers=4, stride=5, burn_in=10)
        problems = exchange.run(stiff, 0, silent).problems
        assert any("not converged: 1.05 and 3 kT exchange in 0 %" in p for p in problems)
        assert any("no replica went from the lowest temperature to the highest and back" in p for p in problems)
        assert not any("1 and 1.05" in p for p in problems)


def test_the_pilot_makes_acceptance_equal():
    """A system that is soft above its barrier needs another ladder than harmonic motion; rates within 0.1 of each other."""
    energy = DoubleWell(20, k=1.0)
    ladder = Temperatures(max_temperature=5.0, pilot=100)
    exchange = ReplicaExchange(Langevin(0.1, 2), ladder, frames=20, walkers=100, stride=5, burn_in=50)
    rates = exchange.run(energy, 0, silent).info["exchange"]
    assert max(rates) - min(rates) < 0.1
    assert 0.3 < sum(rates) / len(rates) < 0.55


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either max_temperature or the list"),
        ({"max_temperature": 3.0, "temperatures": [1.0, 2.0]}, "either max_temperature or the list"),
        ({"max_temperature": 3.0, "rungs": 1}, "rungs = 1 must be at least 2"),
        ({"temperatures": [2.0, 1.0]}, r"ascending, got \[2.0, 1.0\]"),
        ({"max_temperature": 3.0, "pilot": -1}, "pilot = -1 moves must not be negative"),
    ],
)
def test_bad_ladders(arguments, message):
    with pytest.raises(ValueError, match=message):
        Temperatures(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_temperature": 0.5}, "0.5 kT is not above the temperature of the energy, 1 kT"),
        ({"max_temperature": 3.0, "also": [5.0]}, "5 kT lies above the ladder, which ends at 3 kT"),
        ({"max_temperature": 3.0, "also": [1.0]}, "1 kT is not above"),
        ({"temperatures": [1.5, 3.0]}, "the lowest of the temperatures, 1.5 kT, must be that of the energy, 1 kT"),
        ({"max_temperature": 3.0, "rungs": 2, "also": [2.0]}, "no inner rung for 2: give more rungs"),
    ],
)
def test_temperatures_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReplicaExchange(Langevin(), Temperatures(**arguments)).check(Gaussian())
