"""Laws of every simulator, and the model simulators against exact answers."""

import math

import pytest
import torch
from lit_bg.samplers import HMC, MALA, Exact, Langevin, Metropolis, OverdampedLangevin, ReplicaExchange
from sampler_cases import CLASSES, SMALL, STEPWISE, Springs, rng, silent

from lit_bg import samplers
from lit_bg.energies import DoubleWell, Energy, Gaussian, GaussianMixture, MuellerBrown, WolfeQuapp
from lit_bg.estimators import mean_with_error, virial
from lit_bg.spaces import Vectors


def test_every_exported_simulator_is_under_law():
    assert set(SMALL) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
class TestEverySimulator:
    def test_same_seed_same_trajectory(self, name):
        energy = DoubleWell(3)
        a, b, c = (SMALL[name]().run(energy, seed, silent).x for seed in (1, 1, 2))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)

    def test_frames_walkers_event(self, name):
        simulator = SMALL[name]()
        x = simulator.run(DoubleWell(3), 0, silent).x
        assert x.shape == (simulator.frames, getattr(simulator, "walkers", 1), 3)
        assert torch.isfinite(x).all()

    def test_reports_progress_to_the_end(self, name):
        calls = []
        SMALL[name]().run(DoubleWell(), 0, lambda *call: calls.append(call))
        done, total, state = calls[-1]
        assert done == total
        assert isinstance(state, str)

    def test_energies_are_those_of_the_frames(self, name):
        energy = DoubleWell(3)
        trajectory = SMALL[name]().run(energy, 0, silent)
        for kT, t in {1.0: trajectory, **trajectory.others}.items():
            if t.u is not None:
                torch.testing.assert_close(t.u, energy.at(kT)(t.x.flatten(0, 1)).reshape(t.u.shape), rtol=1e-4, atol=1e-4)


class TestDetailedBalance:
    """Walkers drawn from the exact distribution stay in it, whatever the step size: here one far too large."""

    @pytest.mark.parametrize(
        ("simulator", "energy"),
        [
            (Metropolis(step_size=1.5, burn_in=0), WolfeQuapp()),
            (MALA(step_size=0.35, burn_in=0), WolfeQuapp()),
            (HMC(step_size=0.28, steps=4, burn_in=0, target_acceptance=None), WolfeQuapp()),
            (Metropolis(step_size=1.0, burn_in=0), GaussianMixture([[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.4], [0.3, 0.7])),
            (MALA(step_size=1.0, burn_in=0), GaussianMixture([[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.4], [0.3, 0.7])),
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_the_distribution_is_invariant(self, simulator, energy):
        """<x>, <y>, <u>, populations ten steps after exact samples, within 4 sigma; and the walkers did move."""
        n = 40_000
        start = energy.exact_samples(n, rng(1)).double()
        state, before = simulator.begin(energy, start), energy(energy.exact_samples(n, rng(2)).double())
        simulator.advance(energy, state, 10, rng(3))
        assert (state["x"] != start).any(-1).double().mean() > 0.2
        assert 0.02 < state["accepted"] / 10 < 0.85
        for observable in energy.observables.values():
            a = observable.function(state["x"])
            assert abs(a.mean() - observable.exact) < 4 * a.std() / math.sqrt(n)
        difference = state["u"].mean() - before.mean()
        assert abs(difference) < 4 * math.sqrt((state["u"].var() + before.var()) / n)
        p = (energy.modes.label(state["x"]) == 0).double().mean()
        exact = energy.modes.exact[0]
        assert abs(p - exact) < 4 * (exact * (1 - exact) / n).sqrt()

    def test_without_its_correction_langevin_fails_the_same_test(self):
        class ULA(MALA):
            def propose(self, energy, old, rng):
                return super().propose(energy, old, rng)[0], torch.full_like(old["u"], torch.inf)

        energy, n = Gaussian(1), 100_000
        ula, mala = ULA(step_size=0.7, burn_in=0), MALA(step_size=0.7, burn_in=0)
        for simulator, holds in ((ula, False), (mala, True)):
            state = simulator.begin(energy, energy.exact_samples(n, rng(1)).double())
            simulator.advance(energy, state, 10, rng(3))
            x2 = (state["x"] ** 2).flatten()
            assert (abs(x2.mean() - 1) < 4 * x2.std() / math.sqrt(n)) == holds


LONG = {
    "HMC": HMC(frames=20, walkers=200, stride=3, burn_in=100, step_size=0.3, steps=4),
    "Langevin": Langevin(frames=20, walkers=200, interval=1.5, time_step=0.15, burn_in=20.0),
    "MALA": MALA(frames=20, walkers=200, stride=20, burn_in=150, step_size=0.1, target_acceptance=0.574),
    "Metropolis": Metropolis(frames=20, walkers=200, stride=40, burn_in=400, step_size=0.1, target_acceptance=0.234),
    "OverdampedLangevin": OverdampedLangevin(frames=20, walkers=200, interval=2.0, time_step=0.04, burn_in=6.0),
    "ReplicaExchange": ReplicaExchange(
        frames=20,
        walkers=100,
        interval=1.5,
        time_step=0.15,
        burn_in=15.0,
        max_temperature=3.0,
        pilot=3.0,
        exchange_interval=0.3,
    ),
}


@pytest.mark.parametrize("name", STEPWISE)
def test_particles_without_a_centre_of_mass(name):
    """Equipartition in (N - 1) d degrees of freedom, <|x_i - x_j|^2>, and a centre that stays; within 4 sigma."""
    energy = Springs()
    trajectory = LONG[name].run(energy, 0, silent)
    assert trajectory.x.mean(2).abs().max() < 1e-5
    mean, error = mean_with_error(trajectory.u)
    assert error < 0.15
    assert abs(mean - 4.5) < 4 * error
    mean, error = mean_with_error(((trajectory.x[:, :, 0] - trajectory.x[:, :, 3]) ** 2).sum(-1))
    assert abs(mean - 2 * 3 / (2 * 4)) < 4 * error
    if "kinetic_temperature" in trajectory.info:
        replicas = trajectory.x.shape[1] * len(trajectory.info.get("temperatures", [1]))
        # nearly independent: 20 frames or more, 9 degrees of freedom each
        assert trajectory.info["kinetic_temperature"] == pytest.approx(1.0, abs=5 * math.sqrt(2 / (20 * replicas * 9)))


@pytest.mark.parametrize(
    "simulator",
    [
        Metropolis(frames=20, walkers=400, stride=10, burn_in=200, step_size=1.2),
        MALA(frames=20, walkers=400, stride=10, burn_in=200, step_size=0.6),
        HMC(frames=20, walkers=400, stride=2, burn_in=50, step_size=0.2, steps=8),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_simulation_reaches_the_exact_answers(simulator):
    """Low barriers at kT = 4, started in both wells in equal parts: within 4 sigma."""
    energy = DoubleWell(kT=4.0)
    trajectory = simulator.run(energy, 0, silent)
    assert 0.2 < trajectory.info["acceptance"] < 0.95
    value, error = virial(energy, trajectory.x)
    assert abs(value - 2) < 4 * error
    for observable in energy.observables.values():
        a = observable.function(trajectory.x)
        mean, error = mean_with_error(a)
        assert error < 0.2
        assert abs(mean - observable.exact) < 4 * error


def test_exact_frames_are_independent_and_count_no_energies():
    energy = MuellerBrown()
    trajectory = Exact(2000).run(energy, 0, silent)
    assert trajectory.x.shape == (2000, 1, 2)
    assert energy.n_values == 0


def test_energy_calls_are_counted():
    energy = DoubleWell()
    MALA(frames=5, walkers=4, stride=3, burn_in=2, step_size=0.3).run(energy, 0, silent)
    assert energy.n_values == energy.n_gradients == 4 * (5 * 3 + 2 + 1)


class TestStart:
    def test_walkers_go_round_the_modes(self):
        x = Metropolis(frames=1, walkers=5, stride=1, burn_in=0, step_size=0.01).run(DoubleWell(), 0, silent).x
        assert (x[0, :, 0] > 0).tolist() == [False, True, False, True, False]

    def test_walkers_of_one_well_stay_there(self):
        x = Metropolis(frames=20, walkers=5, burn_in=100, start="right").run(DoubleWell(), 0, silent).x
        assert (x[..., 0] > 0).all()

    def test_an_unknown_mode_is_refused_with_the_names(self):
        with pytest.raises(ValueError, match=r"'top' is no mode of DoubleWell: use 'modes' or one of \['left', 'right'\]"):
            Metropolis(start="top").check(DoubleWell())

    def test_an_energy_without_a_start_is_refused(self):
        class Bare(Energy):
            space = Vectors(2)

            def potential(self, x):
                return (x**2).sum(-1)

        with pytest.raises(ValueError, match="Bare says nothing of where to start"):
            Metropolis().check(Bare())
        with pytest.raises(ValueError, match="no exact sampler: use Metropolis"):
            Exact().check(Bare())


@pytest.mark.parametrize("bad", [{"frames": 0}, {"walkers": 0}, {"stride": 0}, {"step_size": -1.0}, {"burn_in": -1}])
def test_bad_numbers_are_refused(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"MALA needs {name} >=? ?.*got {value}"):
        MALA(**bad)


def test_non_finite_proposals_are_rejected():
    class Wall(Gaussian):
        """NaN beyond one."""

        def potential(self, x):
            return torch.where(x.abs().amax(-1) > 1, torch.nan, super().potential(x))

    chains = (
        Metropolis(frames=20, walkers=8, burn_in=50, step_size=1.0),
        MALA(frames=20, walkers=8, burn_in=50, step_size=0.7),
        HMC(frames=20, walkers=8, burn_in=50, step_size=0.5, steps=3, target_acceptance=None),
    )
    for simulator in chains:
        trajectory = simulator.run(Wall(2), 0, silent)
        assert trajectory.x.abs().max() <= 1
        assert trajectory.info["acceptance"] > 0.05


@pytest.mark.parametrize(("simulator", "target"), [("MALA", 0.574), ("HMC", 0.651), ("Metropolis", 0.234)])
def test_the_step_size_finds_its_acceptance(simulator, target):
    """From steps ten times too short and ten times too long; frozen after burn-in."""
    energy = Gaussian(10)
    for step_size in (0.05, 5.0):
        fewer = {"steps": 5} if simulator == "HMC" else {}
        chain = getattr(samplers, simulator)(
            frames=40, walkers=50, stride=1, burn_in=150, step_size=step_size, target_acceptance=target, **fewer
        )
        trajectory = chain.run(energy, 0, silent)
        assert trajectory.info["acceptance"] == pytest.approx(target, abs=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_acceptance": 1.5}, "between 0 and 1, got 1.5"),
        ({"target_acceptance": 0.6, "burn_in": 10}, "10 steps are too few"),
    ],
)
def test_bad_adaptation_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MALA(**arguments)
