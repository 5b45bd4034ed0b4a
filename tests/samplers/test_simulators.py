"""Laws of every simulator, and the model simulators against exact answers."""

import math

import pytest
import torch

from lit_bg import samplers
from lit_bg.energies import DoubleWell, Energy, Gaussian, GaussianMixture, MuellerBrown, WolfeQuapp
from lit_bg.estimators import mean_with_error, r_hat, virial
from lit_bg.samplers import MALA, Exact, Metropolis, Simulator
from lit_bg.samplers.metropolis import State

SMALL = {
    "Exact": lambda: Exact(frames=20),
    "MALA": lambda: MALA(frames=5, walkers=4, stride=3, burn_in=2, step_size=0.3),
    "Metropolis": lambda: Metropolis(frames=5, walkers=4, stride=3, burn_in=2, step_size=0.5),
}
CLASSES = [
    name
    for name in samplers.__all__
    if isinstance(getattr(samplers, name), type)
    and issubclass(getattr(samplers, name), Simulator)
    and getattr(samplers, name) is not Simulator
    and not name.startswith("OpenMM")  # their system is a molecule, and their tests are there
]


def silent(done, total, state):
    pass


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


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


class TestDetailedBalance:
    """Walkers drawn from the exact distribution stay in it, whatever the step size: here one far too large."""

    @pytest.mark.parametrize(
        ("simulator", "energy"),
        [
            (Metropolis(step_size=1.5), WolfeQuapp()),
            (MALA(step_size=0.35), WolfeQuapp()),
            (Metropolis(step_size=1.0), GaussianMixture([[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.4], [0.3, 0.7])),
            (MALA(step_size=1.0), GaussianMixture([[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.4], [0.3, 0.7])),
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_the_distribution_is_invariant(self, simulator, energy):
        """<x>, <y>, <u>, populations ten steps after exact samples, within 4 sigma; and the walkers did move."""
        n = 100_000
        start = energy.exact_samples(n, rng(1)).double()
        state, before = simulator.evaluate(energy, start), energy(energy.exact_samples(n, rng(2)).double())
        stream = rng(3)
        for _ in range(10):
            state, _ = simulator.move(energy, state, stream)
        assert (state.x != start).any(-1).double().mean() > 0.2
        for observable in energy.observables.values():
            a = observable.function(state.x)
            assert abs(a.mean() - observable.exact) < 4 * a.std() / math.sqrt(n)
        difference = state.u.mean() - before.mean()
        assert abs(difference) < 4 * math.sqrt((state.u.var() + before.var()) / n)
        p = (energy.modes.label(state.x) == 0).double().mean()
        exact = energy.modes.exact[0]
        assert abs(p - exact) < 4 * (exact * (1 - exact) / n).sqrt()

    def test_without_its_correction_langevin_fails_the_same_test(self):
        class ULA(MALA):
            def move(self, energy, old, rng):
                new, _ = self.propose(energy, old, rng)
                return new, torch.ones(len(old.u), dtype=torch.bool)

        energy, n = Gaussian(1), 100_000
        ula, mala = ULA(step_size=0.7), MALA(step_size=0.7)
        for simulator, holds in ((ula, False), (mala, True)):
            stream = rng(3)
            state: State = simulator.evaluate(energy, energy.exact_samples(n, rng(1)).double())
            for _ in range(10):
                state, _ = simulator.move(energy, state, stream)
            x2 = (state.x**2).flatten()
            assert (abs(x2.mean() - 1) < 4 * x2.std() / math.sqrt(n)) == holds


@pytest.mark.parametrize(
    "simulator",
    [
        Metropolis(frames=400, walkers=20, stride=10, burn_in=200, step_size=1.2),
        MALA(frames=400, walkers=20, stride=10, burn_in=200, step_size=0.6),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_simulation_reaches_the_exact_answers(simulator):
    """Low barriers at kT = 4, started in both wells in equal parts: within 4 sigma, walkers agreeing."""
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
        assert r_hat(a) < 1.1


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
        x = Metropolis(frames=50, walkers=5, start="right").run(DoubleWell(), 0, silent).x
        assert (x[..., 0] > 0).all()

    def test_an_unknown_mode_is_refused_with_the_names(self):
        with pytest.raises(ValueError, match=r"'top' is no mode of DoubleWell: use 'modes' or one of \['left', 'right'\]"):
            Metropolis(start="top").check(DoubleWell())

    def test_an_energy_without_a_start_is_refused(self):
        class Bare(Energy):
            event_shape = (2,)

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

    for simulator in (Metropolis(frames=50, walkers=4, step_size=1.0), MALA(frames=50, walkers=4, step_size=0.7)):
        trajectory = simulator.run(Wall(2), 0, silent)
        assert trajectory.x.abs().max() <= 1
        assert trajectory.info["acceptance"] > 0.05
