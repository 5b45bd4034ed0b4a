"""Dynamics against what is known of their discretisation."""

import math

import pytest
import torch
from springs import Springs, rng, silent

from lit_bg.energies import DoubleWell, Energy, Gaussian
from lit_bg.estimators import mean_with_error
from lit_bg.kernels import Cycle, Langevin, Metropolis, OverdampedLangevin
from lit_bg.simulators import Simulation
from lit_bg.simulators.minimise import minimise
from lit_bg.spaces import Particles

N = 40_000


def after(kernel, energy, x):
    """The state of many walkers, double precision, one move after x, and what it measured."""
    return kernel.step(energy, kernel.init(energy, x, rng(8)), rng(9))


class TestHarmonic:
    def test_baoab_has_the_exact_variance_at_a_long_step(self):
        """omega dt = 1.2; velocities at whole steps are colder by (omega dt)^2 / 4, half a kick later they are not."""
        energy, langevin = Gaussian(1), Langevin(time_step=1.2, steps=40, friction=0.5)
        state, info = after(langevin, energy, energy.exact_samples(N, rng(1)).double())
        sigma = 4 * math.sqrt(2 / N)
        assert state.x.var().item() == pytest.approx(1.0, abs=sigma)
        assert state.velocity.var().item() == pytest.approx(1 - 1.2**2 / 4, abs=sigma)
        ahead = state.velocity - 0.6 * state.gradient
        assert ahead.var().item() == pytest.approx(1.0, abs=sigma)
        assert info.measured["warmth"].mean().item() == pytest.approx(1.0, abs=sigma)

    def test_overdamped_has_the_exact_variance_where_euler_has_not(self):
        """h = 0.5, where Euler and Maruyama's variance is 1 / (1 - h / 2) = 1.33."""
        energy, dynamics = Gaussian(1), OverdampedLangevin(time_step=0.5, steps=40)
        state, _ = after(dynamics, energy, energy.exact_samples(N, rng(1)).double())
        assert state.x.var().item() == pytest.approx(1.0, abs=4 * math.sqrt(2 / N))

    def test_variance_and_relaxation_time_scale_with_temperature_mass_and_friction(self):
        """<x(t) x(0)> of overdamped motion decays as exp(-k t / (m gamma)), at any kT."""

        class Heavy(Energy):
            """One particle of mass 2 on a spring."""

            space = Particles(1, 1, centred=False)
            masses = torch.tensor([2.0])

            def potential(self, x):
                return 0.5 * x[:, 0, 0] ** 2

        energy = Heavy(kT=3.0)
        dynamics = OverdampedLangevin(time_step=0.05, steps=40, friction=1.5)
        start = math.sqrt(3.0) * torch.randn(N, 1, 1, generator=rng(1), dtype=torch.float64)
        state, _ = after(dynamics, energy, start)
        assert state.x.var().item() == pytest.approx(3.0, abs=4 * 3 * math.sqrt(2 / N))
        decay = (start * state.x).mean().item() / 3
        assert decay == pytest.approx(math.exp(-40 * 0.05 / (2.0 * 1.5)), abs=0.02)


@pytest.mark.parametrize(
    "simulator",
    [
        Simulation(Langevin(time_step=0.1, steps=20), frames=10, walkers=1000, stride=1, burn_in=8),
        Simulation(OverdampedLangevin(time_step=0.01, steps=20), frames=10, walkers=1000, stride=1, burn_in=25),
    ],
    ids=lambda s: type(s.kernel).__name__,
)
def test_low_barriers_are_crossed_and_averages_exact(simulator):
    """Double well at kT = 4, started in both wells in equal parts: within 3 sigma."""
    energy = DoubleWell(kT=4.0)
    trajectory = simulator.run(energy, 0, silent)
    assert trajectory.x.dtype == torch.float32
    for observable in energy.observables.values():
        a = observable.function(trajectory.x)
        mean, error = mean_with_error(a)
        assert error < 0.1
        assert abs(mean - observable.exact) < 3 * error


def test_momentum_and_centre_of_mass_stay():
    energy, langevin = Springs(), Langevin(time_step=0.1, steps=200)
    x = energy.space.project(energy.initial.repeat(17, 1, 1))
    state, _ = after(langevin, energy, x)
    momentum = (energy.masses[:, None] * state.velocity).sum(1)
    assert momentum.abs().max() < 1e-4
    assert state.x.mean(1).abs().max() < 1e-5


def test_a_heavy_particle_is_slow():
    """Equipartition particle by particle: <m v^2> = d kT (1 - m / M), the last from the centre of mass that is pinned."""
    energy, langevin = Springs(), Langevin(time_step=0.05, steps=60)
    state, _ = after(langevin, energy, energy.exact_samples(4000, rng(1)))
    m = energy.masses
    square = (m[:, None] * state.velocity**2).sum(-1)
    assert ((square.mean(0) - 3 * (1 - m / m.sum())).abs() < 5 * square.std(0) / math.sqrt(4000)).all()


def test_walkers_that_blow_up_stop_the_run():
    with pytest.raises(ValueError, match=r"8 of 8 walkers blew up \(walker 0 is the first\) before step \d+: .* than 1.0"):
        Simulation(Langevin(time_step=1.0), frames=20, walkers=8).run(DoubleWell(), 0, silent)

    class Hole(Gaussian):
        """No energy beyond 2, and no force to tell."""

        def potential(self, x):
            return torch.where(x.abs().amax(-1) > 2, torch.inf, super().potential(x))

    with pytest.raises(ValueError, match="walkers blew up"):
        Simulation(OverdampedLangevin(time_step=0.1, steps=50), frames=1000, walkers=8).run(Hole(1), 0, silent)
    with pytest.raises(ValueError, match=r"walkers blew up .* before step .*: use a shorter time_step than 0.1"):
        Simulation(Cycle([OverdampedLangevin(time_step=0.1), Metropolis(0.1)]), 1000, 8).run(Hole(1), 0, silent)


def test_a_walker_that_came_back_has_no_energy_all_the_same():
    """One step of four was outside; the state after the move, and after the next one, says NaN for that walker alone."""

    class Counted(Gaussian):
        calls = 0

        def potential(self, x):
            self.calls += 1
            return super().potential(x) + (torch.inf if self.calls == 3 else 0.0) * (torch.arange(len(x)) == 1)

    class Finite(Counted):
        def potential(self, x):
            return super().potential(x).nan_to_num(0.0, posinf=torch.inf)

    for kernel in (Langevin(0.1, 4), OverdampedLangevin(0.01, 4)):
        energy, random = Finite(2), rng()
        state = kernel.init(energy, torch.zeros(3, 2), random)
        for _ in range(2):
            state, _ = kernel.step(energy, state, random)
            assert state.u.isnan().tolist() == [False, True, False]
            assert state.x.isfinite().all()


def test_starts_without_energy_are_refused():
    class Bad(Gaussian):
        def potential(self, x):
            return torch.full((len(x),), torch.inf)

    with pytest.raises(ValueError, match="4 of 4 starts of Bad have no finite energy"):
        Simulation(Langevin(), walkers=4).run(Bad(1), 0, silent)


def test_hydrogens_are_for_molecules():
    with pytest.raises(ValueError, match="DoubleWell has no hydrogens"):
        Langevin(hydrogen_mass=3.0).check(DoubleWell())
    with pytest.raises(ValueError, match="DoubleWell has no peptide backbone to turn"):
        Simulation(Langevin(), start="torsions").check(DoubleWell())


def test_minimisation_removes_clashes():
    """Particles that repel at short range, two of them on top of each other: energies only fall, each walker by itself."""

    class Soft(Energy):
        space = Particles(4, 3)
        symmetries = frozenset({"translation"})

        def potential(self, x):
            r2 = ((x[:, :, None] - x[:, None]) ** 2).sum(-1)[:, *torch.triu_indices(4, 4, 1)]
            return (1 / r2**6 - 2 / r2**3).sum(-1)

    energy = Soft()
    x = torch.randn(8, 4, 3, generator=rng(), dtype=torch.float64)
    x[0, 1] = x[0, 0] + 1e-2
    relaxed = minimise(energy, x)
    assert energy(x).max() > 1e10
    assert (energy(relaxed) <= energy(x)).all()
    assert energy(relaxed).max() < 1.0  # the tetrahedron has -6
    torch.testing.assert_close(minimise(energy, x[:1]), relaxed[:1], atol=0.2, rtol=0.2)
