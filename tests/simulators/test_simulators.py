"""Laws of every simulator, and the model simulators against exact answers."""

import math
from typing import NamedTuple

import pytest
import torch
from simulations import CLASSES, SMALL, STEPWISE
from springs import Springs, silent

from lit_bg.energies import DoubleWell, Energy, Gaussian, MuellerBrown
from lit_bg.estimators import mean_with_error, virial
from lit_bg.kernels import HMC, MALA, Cycle, Info, Kernel, Langevin, Metropolis, OverdampedLangevin, State
from lit_bg.simulators import Exact, ReplicaExchange, Simulation, Temperatures
from lit_bg.spaces import Vectors


def test_every_exported_simulator_is_under_law():
    assert set(SMALL) == set(CLASSES)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in {**SMALL, **STEPWISE}.items()])
class TestEverySimulator:
    def test_same_seed_same_trajectory(self, make):
        energy = DoubleWell(3)
        a, b, c = (make().run(energy, seed, silent).x for seed in (1, 1, 2))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)

    def test_frames_walkers_event(self, make):
        simulator = make()
        x = simulator.run(DoubleWell(3), 0, silent).x
        assert x.shape == (simulator.frames, getattr(simulator, "walkers", 1), 3)
        assert torch.isfinite(x).all()

    def test_reports_progress_to_the_end(self, make):
        calls = []
        make().run(DoubleWell(), 0, lambda *call: calls.append(call))
        done, total, state = calls[-1]
        assert done == total
        assert isinstance(state, str)

    def test_energies_are_those_of_the_frames(self, make):
        energy = DoubleWell(3)
        trajectory = make().run(energy, 0, silent)
        for kT, t in {1.0: trajectory, **trajectory.others}.items():
            if t.u is not None:
                torch.testing.assert_close(t.u, energy.at(kT)(t.x.flatten(0, 1)).reshape(t.u.shape), rtol=1e-4, atol=1e-4)


def long(kernel, stride=1, burn_in=10):
    return Simulation(kernel, frames=20, walkers=200, stride=stride, burn_in=burn_in)


LONG = {
    "HMC": long(HMC(0.3, 4), 3, 100),
    "Langevin": long(Langevin(0.15, 10), 1, 14),
    "MALA": long(MALA(0.1, 0.574), 20, 150),
    "Metropolis": long(Metropolis(0.1, 0.234), 40, 400),
    "OverdampedLangevin": long(OverdampedLangevin(0.04, 50), 1, 3),
    "Cycle": long(Cycle([MALA(0.1, 0.574), Langevin(0.15, 5)]), 2, 60),
    "ReplicaExchange": ReplicaExchange(
        Langevin(0.15, 2), Temperatures(3.0, pilot=10), frames=20, walkers=100, stride=5, burn_in=50
    ),
}


@pytest.mark.parametrize("name", LONG)
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
        Simulation(Metropolis(1.2), frames=20, walkers=400, stride=10, burn_in=200),
        Simulation(MALA(0.6), frames=20, walkers=400, stride=10, burn_in=200),
        Simulation(HMC(0.2, 8), frames=20, walkers=400, stride=2, burn_in=50),
    ],
    ids=lambda s: type(s.kernel).__name__,
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
    Simulation(MALA(0.3), frames=5, walkers=4, stride=3, burn_in=2).run(energy, 0, silent)
    assert energy.n_gradients == 4 * (5 * 3 + 2 + 1)
    assert energy.n_values == energy.n_gradients + 4  # the starts are looked at first


class TestStart:
    def test_walkers_go_round_the_modes(self):
        x = Simulation(Metropolis(0.01), frames=1, walkers=5, stride=1, burn_in=0).run(DoubleWell(), 0, silent).x
        assert (x[0, :, 0] > 0).tolist() == [False, True, False, True, False]

    def test_walkers_of_one_well_stay_there(self):
        x = Simulation(Metropolis(0.1), frames=20, walkers=5, burn_in=100, start="right").run(DoubleWell(), 0, silent).x
        assert (x[..., 0] > 0).all()

    def test_an_unknown_mode_is_refused_with_the_names(self):
        with pytest.raises(ValueError, match=r"'top' is no mode of DoubleWell: use 'modes' or one of \['left', 'right'\]"):
            Simulation(Metropolis(), start="top").check(DoubleWell())

    def test_an_energy_without_a_start_is_refused(self):
        class Bare(Energy):
            space = Vectors(2)

            def potential(self, x):
                return (x**2).sum(-1)

        with pytest.raises(ValueError, match="Bare says nothing of where to start"):
            Simulation(Metropolis()).check(Bare())
        with pytest.raises(ValueError, match="no exact sampler: use Simulation"):
            Exact().check(Bare())


@pytest.mark.parametrize("bad", [{"frames": 0}, {"walkers": 0}, {"stride": 0}, {"burn_in": -1}])
def test_bad_numbers_are_refused(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"Simulation needs {name} >=? ?.*got {value}"):
        Simulation(MALA(), **bad)


def test_non_finite_proposals_are_rejected():
    class Wall(Gaussian):
        """NaN beyond one."""

        def potential(self, x):
            return torch.where(x.abs().amax(-1) > 1, torch.nan, super().potential(x))

    chains = (
        Metropolis(1.0),
        MALA(0.7),
        HMC(0.5, 3, None),
    )
    for kernel in chains:
        trajectory = Simulation(kernel, frames=20, walkers=8, burn_in=50).run(Wall(2), 0, silent)
        assert trajectory.x.abs().max() <= 1
        assert trajectory.info["acceptance"] > 0.05


@pytest.mark.parametrize(
    ("make", "target"),
    [(lambda h: MALA(h, 0.574), 0.574), (lambda h: HMC(h, 5), 0.651), (lambda h: Metropolis(h, 0.234), 0.234)],
    ids=["MALA", "HMC", "Metropolis"],
)
def test_the_step_size_finds_its_acceptance(make, target):
    """From steps ten times too short and ten times too long; frozen after burn-in."""
    for step_size in (0.05, 5.0):
        trajectory = Simulation(make(step_size), frames=40, walkers=50, stride=1, burn_in=150).run(Gaussian(10), 0, silent)
        assert trajectory.info["acceptance"] == pytest.approx(target, abs=0.06)
        assert trajectory.info["step_size"] != step_size


def test_too_short_a_burn_in_for_tuning_is_refused():
    with pytest.raises(
        ValueError, match="MALA adapts its step size during burn_in, and 10 moves are too few: give at least 50"
    ):
        Simulation(MALA(0.1, 0.6), burn_in=10)


def test_time_between_frames_is_that_of_the_moves():
    for kernel, interval, unit in (
        (Langevin(0.05, 4), 0.6, "time units"), (Cycle([MALA(), Langevin(0.05, 4)]), 0.6, "time units"), (MALA(), 3.0, "steps"),
    ):  # fmt: skip
        trajectory = Simulation(kernel, frames=2, walkers=2, stride=3, burn_in=0).run(DoubleWell(), 0, silent)
        assert (trajectory.interval, trajectory.time_unit) == (pytest.approx(interval), unit)


def test_walkers_that_leave_the_region_are_told():
    class Half(Gaussian):
        def in_region(self, x):
            return x[:, 0] > 0

    problems = Simulation(Metropolis(1.0), frames=50, walkers=4, burn_in=0).run(Half(2), 0, silent).problems
    assert problems == ["4 of 4 walkers left the region that the target covers"]


USERS = '''
import torch
from lit_bg.kernels import Info, Kernel, State


class Mirror(Kernel):
    """Turns one coordinate round or shifts it: a kernel of somebody else, in twenty lines."""

    def __init__(self, width: float = 0.5) -> None:
        self.width = width

    def init(self, energy, x, rng):
        return State(x, energy(x))

    def step(self, energy, state, rng):
        new = state.x.clone()
        k = int(torch.randint(new.shape[1], (), generator=rng))
        sign = 1.0 - 2.0 * (torch.rand(len(new), generator=rng) < 0.3).to(new)
        new[:, k] = sign * (new[:, k] + self.width * torch.randn(len(new), generator=rng, dtype=new.dtype) * sign)
        u = energy(new)
        accepted = torch.rand(len(new), generator=rng, dtype=u.dtype).log() < state.u - u
        return State(torch.where(accepted[:, None], new, state.x), torch.where(accepted, u, state.u)), Info(accepted.to(u))
'''


def test_a_kernel_of_a_users_own(tmp_path, monkeypatch):
    """Named by its class path; alone, in Cycle, in Mixture and in Exchange; exact, and it goes on where it was interrupted."""
    from lit_bg.config.cli import build
    from lit_bg.data.simulation import simulate
    from lit_bg.simulators import Simulator

    (tmp_path / "scratch_moves.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"class_path": "scratch_moves.Mirror", "init_args": {"width": 0.8}}
    langevin = {"class_path": "Langevin", "init_args": {"time_step": 0.05, "steps": 3}}
    kernels = {
        "alone": own,
        "cycle": {"class_path": "Cycle", "init_args": {"kernels": [own, langevin, own]}},
        "mixture": {"class_path": "Mixture", "init_args": {"kernels": [own, langevin], "weights": [3, 1]}},
        "exchange": {
            "class_path": "Exchange",
            "init_args": {"kernel": own, "energies": [{"class_path": "DoubleWell", "init_args": {"kT": 4.0, "a2": 5.0}}]},
        },
    }
    energy = DoubleWell(kT=3.0)
    for name, kernel in kernels.items():
        arguments = {"kernel": kernel, "frames": 30, "walkers": 200, "stride": 15, "burn_in": 150}
        simulation = build(Simulator, {"class_path": "Simulation", "init_args": arguments})
        data = simulate(energy, simulation, tmp_path / f"{name}.npz", seed=1)
        assert data.card["verdict"] == "pass", name
        held = data.card["simulator"]["parameters"]["kernel"]
        assert held["class"] == ("Mirror" if name == "alone" else name.capitalize())
        for observable in energy.observables.values():
            mean, error = data.mean(observable.function(data.x))
            assert abs(mean - observable.exact) < 4 * error, name


def test_a_state_that_cannot_be_kept_is_refused():
    class Opaque(Kernel):
        def init(self, energy, x, rng):
            return {"x": x}

        def step(self, energy, state, rng):
            return state, Info(torch.ones(len(state["x"])))

    class Own(Kernel):
        """A state of its own kind works all the same."""

        def init(self, energy, x, rng):
            return Memory(x, energy(x), torch.zeros(len(x)))

        def step(self, energy, state, rng):
            step = Metropolis(0.5).step(energy, State(state.x, state.u), rng)[0]
            return Memory(step.x, step.u, state.age + 1), Info(torch.ones(len(state.x)))

    with pytest.raises(TypeError, match="the state of a kernel is a dict, and must be a NamedTuple of tensors"):
        Simulation(Opaque(), 2, 2).run(DoubleWell(), 0, silent)
    assert Simulation(Own(), 2, 2).run(DoubleWell(), 0, silent).x.shape == (2, 2, 2)


class Memory(NamedTuple):
    x: torch.Tensor
    u: torch.Tensor
    age: torch.Tensor
