"""Replica exchange: swaps in detailed balance, barriers crossed, and a ladder in two parts told apart."""

import math

import pytest
import torch
from lit_bg.samplers import Langevin, ReplicaExchange
from sampler_cases import rng, silent

from lit_bg.energies import DoubleWell, Gaussian
from lit_bg.estimators import mean_with_error


def ladders(energy, temperatures, walkers, **arguments):
    """A simulator, and the state of ladders whose replicas are exact samples at their temperatures."""
    simulator = ReplicaExchange(walkers=walkers, temperatures=temperatures, time_step=0.05, burn_in=0.0, **arguments)
    x = torch.cat([energy.at(kT).exact_samples(walkers, rng(i)).double() for i, kT in enumerate(temperatures)])
    state = simulator.laddered(energy, temperatures, x, 0)
    state["step"] += 1
    return simulator, state


class TestExchange:
    def test_every_temperature_keeps_its_distribution(self):
        """Twenty turns of swaps alone: mean and variance of u at every rung of a Gaussian stay, within 4 sigma."""
        energy, temperatures, n, d = Gaussian(6), [1.0, 1.6, 2.4, 4.0], 40_000, 6
        simulator, state = ladders(energy, temperatures, n)
        for turn in range(20):
            simulator.exchange(energy, state, turn, rng(100 + turn))
        u = simulator._by_rung(state, state["u"])
        for r, kT in enumerate(temperatures):
            assert abs(u[r].mean() - kT * d / 2) < 4 * kT * math.sqrt(d / 2 / n)
            excess = math.sqrt((2 + 12 / d) / n)  # of the variance of a gamma distribution
            assert u[r].var().item() == pytest.approx(kT**2 * d / 2, rel=4 * excess)
        v = simulator._by_rung(state, state["velocity"])
        assert v.flatten(1).var(1).tolist() == pytest.approx(temperatures, rel=4 * math.sqrt(2 / n / d))
        assert (simulator._by_rung(state, state["kT"]) == state["ladder"][:, None]).all()
        assert (state["slot"] != torch.arange(4)[:, None]).double().mean() > 0.5

    def test_two_levels_at_two_temperatures_stay_in_the_joint_distribution(self):
        """States 0 and e with their Boltzmann weights at each rung: all four pairs keep their probability (chi-square)."""

        class TwoLevels(Gaussian):
            def potential(self, x):
                return 2.0 * (x[:, 0] > 0)

        energy, n, temperatures = TwoLevels(1), 200_000, [1.0, 3.0]
        up = [1 / (1 + math.exp(2.0 / kT)) for kT in temperatures]
        simulator = ReplicaExchange(walkers=n, temperatures=temperatures, time_step=0.05, burn_in=0.0)
        draw = torch.rand(2, n, generator=rng(1)) < torch.tensor(up)[:, None]
        x = (2.0 * draw - 1).reshape(-1, 1).requires_grad_()
        energy.potential = lambda x: 2.0 * (x[:, 0] > 0) + 0 * x[:, 0]
        state = simulator.laddered(energy, temperatures, x, 0)
        for turn in range(3):
            simulator.exchange(energy, state, turn, rng(2 + turn))
        low, high = simulator._by_rung(state, state["u"]).long() // 2
        counts = torch.bincount(2 * low + high, minlength=4).double()
        p = torch.tensor([[1 - up[0]], [up[0]]]) * torch.tensor([[1 - up[1], up[1]]])
        expected = n * p.flatten().double()
        assert ((counts - expected) ** 2 / expected).sum() < 16.3  # 0.1 % of chi-square with 3 degrees of freedom
        assert (state["slot"][0] == 1).double().mean() > 0.2

    def test_the_rate_is_the_formula(self):
        """Ladders that all hold the same two energies swap with min(1, exp((b_1 - b_2)(U_1 - U_2)))."""
        energy, n = Gaussian(1), 100_000
        for high, expected in ((1.5, 1.0), (2.5, math.exp((1 - 1 / 3) * (2.0 - 2.5**2 / 2)))):
            simulator = ReplicaExchange(walkers=n, temperatures=[1.0, 3.0], time_step=0.05, burn_in=0.0)
            x = torch.tensor([2.0, high], dtype=torch.float64).repeat_interleave(n)[:, None]
            state = simulator.laddered(energy, [1.0, 3.0], x, 0)
            state["step"] += 1
            simulator.exchange(energy, state, 0, rng())
            rate = (state["exchanges"] / state["attempts"]).item()
            assert rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n) + 1e-9)

    def test_even_and_odd_pairs_take_turns(self):
        simulator, state = ladders(Gaussian(1), [1.0, 1.1, 1.2, 1.3], 10)
        simulator.exchange(Gaussian(1), state, 0, rng())
        assert state["attempts"].tolist() == [10, 0, 10]
        simulator.exchange(Gaussian(1), state, 1, rng())
        assert state["attempts"].tolist() == [10, 10, 10]

    def test_a_round_trip_is_bottom_top_bottom(self):
        """Rungs whose swaps are always accepted carry every replica up and down; counted by hand."""
        energy = Gaussian(1)
        energy.potential = lambda x: 0 * x[:, 0]
        simulator = ReplicaExchange(walkers=1, temperatures=[1.0, 2.0, 3.0], time_step=0.05, burn_in=0.0)
        state = simulator.laddered(energy, [1.0, 2.0, 3.0], torch.zeros(3, 1), 0)
        state["step"] += 1
        trips, seen = 0, {k: [] for k in range(3)}
        for turn in range(30):
            simulator.exchange(energy, state, turn, rng())
            rung = state["slot"].argsort(0)[:, 0].tolist()
            for k in range(3):
                if rung[k] in (0, 2) and (not seen[k] or seen[k][-1] != rung[k]):
                    seen[k].append(rung[k])
        for ends in seen.values():
            ends = ends[1:] if ends[0] == 2 else ends
            trips += (len(ends) - 1) // 2
        assert trips > 5
        assert int(state["trips"]) == trips


ARGUMENTS = {"frames": 20, "interval": 1.0, "time_step": 0.1, "burn_in": 30.0}


class TestDoubleWell:
    def test_it_finds_the_populations_that_langevin_does_not(self):
        """All walkers start in the well with 3 % of the probability; P(left) and <x1> within 3 sigma at two temperatures."""
        energy = DoubleWell()
        alone = Langevin(walkers=100, start="right", **ARGUMENTS).run(energy, 0, silent)
        assert (alone.x[..., 0] < 0).double().mean() < 0.2
        exchange = ReplicaExchange(
            walkers=100,
            start="right",
            max_temperature=6.0,
            rungs=4,
            pilot=5.0,
            exchange_interval=0.2,
            also=[2.0],
            **ARGUMENTS,
        )
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
        exchange = ReplicaExchange(
            frames=5, walkers=4, interval=0.5, time_step=0.1, burn_in=1.0, temperatures=[1.0, 1.05, 3.0], exchange_interval=0.1
        )
        problems = exchange.run(stiff, 0, silent).problems
        assert any("not converged: 1.05 and 3 kT exchange in 0 %" in p for p in problems)
        assert any("no replica went from the lowest temperature to the highest and back" in p for p in problems)
        assert not any("1 and 1.05" in p for p in problems)


def test_the_pilot_makes_acceptance_equal():
    """A system that is soft above its barrier needs another ladder than harmonic motion; rates within 0.1 of each other."""
    energy = DoubleWell(20, k=1.0)
    arguments = {"frames": 20, "walkers": 100, "interval": 1.0, "time_step": 0.1, "burn_in": 10.0, "max_temperature": 5.0}
    rates = ReplicaExchange(pilot=20.0, exchange_interval=0.2, **arguments).run(energy, 0, silent).info["exchange"]
    assert max(rates) - min(rates) < 0.1
    assert 0.3 < sum(rates) / len(rates) < 0.55


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either max_temperature or the list"),
        ({"max_temperature": 3.0, "temperatures": [1.0, 2.0]}, "either max_temperature or the list"),
        ({"max_temperature": 3.0, "rungs": 1}, "rungs = 1 must be at least 2"),
        ({"temperatures": [2.0, 1.0]}, r"ascending, got \[2.0, 1.0\]"),
        ({"max_temperature": 3.0, "exchange_interval": 0.0015}, "exchange_interval = 0.0015 must be a whole number"),
        ({"max_temperature": 3.0, "pilot": -1.0}, "pilot = -1.0 must be a whole number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReplicaExchange(**arguments)


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
        ReplicaExchange(**arguments).check(Gaussian())
