"""What holds for every sampler, exported ones without exception; and samplers that are wrong are caught by the same law."""

import inspect
import math

import pytest
import torch
from proposals import Breathing, Normals
from springs import Springs, silent

from lit_bg import samplers
from lit_bg.energies import DoubleWell, Gaussian, LennardJones
from lit_bg.estimators import average, log_norm, r_hat
from lit_bg.kernels import HMC, ISIR, MALA, ULA, Cycle, Independence, Langevin, Metropolis
from lit_bg.samplers import AIS, SMC, AnnealedPath, Importance, MarkovChains, Proposer, Sampler, annealing
from lit_bg.samples import Chains

SIGMA = 4.0

SYSTEMS = {
    "double well": lambda: Proposer(Normals(1.8).build(DoubleWell(kT=2.0)), DoubleWell(kT=2.0)),
    "gaussian": lambda: Proposer(
        Normals(1.6, 0.4).build(Gaussian(3)),
        Gaussian(3, loc=[1.0, 0.0, -0.5], covariance=[[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], kT=0.7),
    ),
    "particles": lambda: Proposer(Breathing().build(Springs()), Springs()),
}
SAMPLERS = {
    "Importance": [lambda: Importance(20_000)],
    "SMC": [
        lambda: SMC(MALA(0.4, 0.574), particles=300, moves=3),
        lambda: SMC(HMC(0.2, 3), particles=200, moves=1, keep=0.8),
        lambda: SMC(Metropolis(0.5, 0.234), particles=300, moves=5),
        lambda: SMC(ULA(0.05), particles=300, moves=3),
        lambda: SMC(Cycle([ISIR(3), Metropolis(0.3)]), particles=300, moves=2),
    ],
    "AIS": [lambda: AIS(MALA(0.4, 0.574), n=4000, pilot=300), lambda: AIS(ULA(0.05), n=4000, pilot=300, moves=2)],
    "MarkovChains": [
        lambda: MarkovChains(Independence(3), frames=150, walkers=200, burn_in=20),
        lambda: MarkovChains(Cycle([ISIR(4), MALA(0.4, 0.574)]), frames=150, walkers=200, burn_in=60),
    ],
}
CLASSES = [
    name
    for name in samplers.__all__
    if isinstance(getattr(samplers, name), type)
    and issubclass(getattr(samplers, name), Sampler)
    and not inspect.isabstract(getattr(samplers, name))
]
PARAMETERS = [
    pytest.param(make, SYSTEMS[system], id=f"{name}-{i}-{system}")
    for name in CLASSES
    for i, make in enumerate(SAMPLERS[name])
    for system in SYSTEMS
    if system == "double well" or i == 0
]


def exact_log_z(energy):
    if isinstance(energy, Springs):  # a Gaussian in (N - 1) d dimensions
        return 0.5 * energy.space.dof * math.log(2 * math.pi * energy.kT / (energy.k * energy.n))
    return energy.log_Z


def statistics(energy, x):
    """Numbers of configurations (n, *shape), whose means tell distributions apart."""
    flat = x.flatten(1).double()
    found = {"u": energy(x).double(), "r^2": flat.square().sum(1), "first two": flat[:, 0] * flat[:, 1], "x1": flat[:, 0]}
    if energy.modes is not None:
        found["first mode"] = (energy.modes.label(x) == 0).double()
    return found


def means(samples, energy):
    """Mean and error of every statistic, whatever kind of samples it is."""
    shape = samples.u.shape
    found = statistics(energy, samples.x.reshape(-1, *energy.space.shape))
    return {name: average(a.reshape(shape), samples.log_w, samples.dependence) for name, a in found.items()}


def disagreements(samples, energy):
    """Which numbers are not those of the target."""
    found = []
    exact = statistics(energy, energy.exact_samples(100_000, torch.Generator().manual_seed(77)).double())
    for name, (value, error) in means(samples, energy).items():
        right, own = exact[name].mean().item(), exact[name].std().item() / math.sqrt(len(exact[name]))
        if not abs(value - right) <= SIGMA * math.hypot(error, own) < math.inf:
            found.append(f"{name}: {value:.4f} +- {error:.4f}, exact {right:.4f}")
    if not isinstance(samples, Chains):
        value, error = log_norm(samples.log_w, samples.dependence)
        if not abs(value - exact_log_z(energy)) <= SIGMA * error < math.inf:
            found.append(f"log Z: {value:.4f} +- {error:.4f}, exact {exact_log_z(energy):.4f}")
    return found


def test_every_exported_sampler_is_under_law():
    assert set(SAMPLERS) == set(CLASSES)


@pytest.mark.parametrize(("make", "system"), PARAMETERS)
def test_samples_are_of_the_target(make, system):
    proposer = system()
    result = make().run(proposer, 5, silent)
    assert disagreements(result.samples, proposer.energy) == []
    assert result.problems == []
    x = result.samples.x.reshape(-1, *proposer.energy.space.shape)
    finite = torch.isfinite(result.samples.log_w).flatten()
    torch.testing.assert_close(
        result.samples.u.flatten().double()[finite], proposer.energy(x).double()[finite], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", CLASSES)
def test_the_same_seed_gives_the_same_samples(name):
    make = {
        "Importance": lambda: Importance(50),
        "SMC": lambda: SMC(MALA(0.4), particles=32, populations=2, moves=1),
        "AIS": lambda: AIS(MALA(0.4), n=50, pilot=32),
        "MarkovChains": lambda: MarkovChains(Independence(2), frames=5, walkers=4, burn_in=0),
    }[name]
    proposer = SYSTEMS["double well"]()
    sampler = make()
    first, again, other = (sampler.run(proposer, seed, silent).samples for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.log_w, again.log_w)
    assert not torch.equal(first.x, other.x)


def test_the_mean_weight_of_small_populations_is_unbiased():
    """Whatever the number of particles: a law that resampling, levels and weights must obey together."""
    proposer = SYSTEMS["double well"]()
    sampler = SMC(Metropolis(0.6), particles=16, populations=4000, moves=2, keep=0.6)
    log_Z = sampler.run(proposer, 3, silent).samples.log_Z
    relative = (log_Z - proposer.energy.log_Z).exp()
    assert abs(relative.mean().item() - 1) < SIGMA * relative.std().item() / math.sqrt(len(relative))
    assert 0.1 < relative.std() < 2


def test_the_way_through_a_hotter_target():
    proposer = Proposer(Normals(1.8).build(DoubleWell()), DoubleWell(kT=1.0))
    path = AnnealedPath(proposer, through=4.0)
    assert path.coefficients(0.0) == (1.0, 0.0)
    assert path.coefficients(1.0) == (0.0, 1.0)
    assert path.coefficients(0.5) == (0.0, 0.25)
    assert path.at(0.5).kT == 4.0
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    for s in (0.1, 0.3, 0.6, 1.0):
        torch.testing.assert_close(path.at(s)(x), path.u(s, proposer.log_prob(x), proposer.energy(x)))
    sampler = SMC(MALA(0.4, 0.574), particles=400, moves=5, through=4.0)
    assert disagreements(sampler.run(proposer, 5, silent).samples, proposer.energy) == []


def test_the_gradient_along_the_path_is_that_of_its_energy():
    proposer = SYSTEMS["gaussian"]()
    bridge = AnnealedPath(proposer).at(0.3)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    u, gradient = bridge.value_and_gradient(x)
    torch.testing.assert_close(u, 0.3 * proposer.energy(x) - 0.7 * proposer.log_prob(x))
    for i in range(3):
        step = 1e-5 * torch.eye(3, dtype=torch.float64)[i]
        torch.testing.assert_close(gradient[:, i], (bridge(x + step) - bridge(x - step)) / 2e-5, rtol=1e-5, atol=1e-6)


class TestWhatIsWrongIsCaught:
    def found(self, sampler, width=1.8):
        proposer = Proposer(Normals(width).build(DoubleWell(kT=2.0)), DoubleWell(kT=2.0))
        return disagreements(sampler.run(proposer, 5, silent).samples, proposer.energy)

    def smc(self, kernel=None):
        return SMC(kernel or Metropolis(0.5), particles=300, populations=60, moves=3)

    def test_nothing_is_wrong(self):
        assert self.found(self.smc()) == []
        assert self.found(self.smc(), width=6.0) == []

    def test_a_ladder_whose_index_is_one_behind(self, monkeypatch):
        right = annealing.AnnealedPath.at
        monkeypatch.setattr(annealing.AnnealedPath, "at", lambda path, s: right(path, max(0.01, s - 0.3)))
        assert self.found(self.smc()) != []

    def test_weights_that_are_not_reset_where_particles_are_resampled(self, monkeypatch):
        right = annealing.resample_poor

        def kept(now, rng):
            found, times = right(now, rng)
            return found._replace(log_w=now.log_w), times

        monkeypatch.setattr(annealing, "resample_poor", kept)
        assert self.found(self.smc(), width=6.0) != []

    def test_a_first_weight_without_the_density_of_the_proposals(self, monkeypatch):
        right = annealing.AnnealedPath.u
        monkeypatch.setattr(annealing.AnnealedPath, "u", lambda path, s, log_q, u: right(path, s, 0.5 * log_q, u))
        assert self.found(self.smc()) != []

    def test_paths_without_their_weight(self):
        class Unweighted(ULA):
            def step(self, energy, state, rng):
                new, info = super().step(energy, state, rng)
                return new, info._replace(log_ratio=None)

        assert self.found(self.smc(ULA(0.3))) == []
        assert self.found(self.smc(Unweighted(0.5))) != []

    def test_particles_that_forget_where_they_are(self, monkeypatch):
        """Weights at the energies of before the move."""
        right = annealing.Annealing._moved

        def stale(self, path, s, now, moves, *rest, **more):
            found, acceptance = right(self, path, s, now, moves, *rest, **more)
            return found._replace(u=now.u, log_q=now.log_q), acceptance

        monkeypatch.setattr(annealing.Annealing, "_moved", stale)
        assert self.found(self.smc()) != []


class Clouds(Normals):
    """Particles in a normal cloud without a centre of mass; log q up to a constant, which starts do not need."""

    def sample(self, n, rng, context=None):
        x, log_q = super().sample(n, rng)
        return x - x.mean(1, keepdim=True), log_q


class TestChains:
    def test_walkers_begin_in_every_mode(self):
        proposer = SYSTEMS["double well"]()
        chains = MarkovChains(Independence(1), frames=4, walkers=50, burn_in=0).run(proposer, 0, silent).samples
        assert (chains.start[:, 0] > 0).sum() == 25
        assert len(chains.start.unique(dim=0)) == 50

    def test_local_moves_from_every_mode_do_not_agree(self):
        proposer = Proposer(Normals(1.8).build(DoubleWell()), DoubleWell(kT=0.7))
        chains = MarkovChains(MALA(0.2, 0.574), frames=50, walkers=20).run(proposer, 0, silent).samples
        assert r_hat((chains.x[..., 0] > 0).double()) > 1.5

    def test_no_walker_stays_in_a_clash(self):
        """Proposals of LJ13 that know nothing of pairs: where two particles overlap HMC refuses every move."""
        energy = LennardJones(n=13, factor=2)
        proposer = Proposer(Clouds().build(energy), energy)
        chains = (
            MarkovChains(HMC(0.02, 5, target_acceptance=None), frames=20, walkers=30, burn_in=30)
            .run(proposer, 0, silent)
            .samples
        )
        assert (energy(chains.start) > 100).any()
        assert (chains.u[1:] != chains.u[:-1]).any(0).all()
        assert chains.u.max() < 0

    def test_the_longest_stay_is_told(self):
        narrow = Proposer(Normals(0.8).build(DoubleWell()), DoubleWell(kT=2.0))  # its tails are too thin
        info = MarkovChains(Independence(1), frames=200, walkers=50, burn_in=0, start="modes").run(narrow, 0, silent).info
        wide = SYSTEMS["double well"]()
        other = MarkovChains(Independence(1), frames=200, walkers=50, burn_in=0, start="modes").run(wide, 0, silent).info
        assert info["longest_stay"] > 2 * other["longest_stay"] > 2


class WithoutDensity(Normals):
    @property
    def has_log_prob(self):
        return False


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Importance(1), "Importance needs n >= 2 proposals for an error bar, got 1"),
            (lambda: AIS(MALA(), n=1), "AIS needs n >= 2 paths for an error bar, got 1"),
            (lambda: SMC(MALA(), populations=1), "8 or more; got populations=1"),
            (lambda: SMC(MALA(), particles=3), "SMC needs particles >= 16, got 3"),
            (lambda: SMC(MALA(), keep=1.0), "a share keep between 0 and 1 of the effective particles, got 1.0"),
            (lambda: MarkovChains(MALA(), walkers=1), "MarkovChains compares walkers, and needs walkers >= 2, got 1"),
            (lambda: MarkovChains(MALA(), frames=1), "frames >= 4, or R-hat has nothing to compare, got 1"),
        ],
    )
    def test_numbers_out_of_range(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_a_generator_without_density(self):
        proposer = SYSTEMS["double well"]()._replace(generator=WithoutDensity(1.8).build(DoubleWell()))
        for sampler in (SMC(MALA()), AIS(MALA())):
            with pytest.raises(
                ValueError, match=r"needs the density of a given configuration, and WithoutDensity has no log_prob"
            ):
                sampler.run(proposer, 0, silent)
        with pytest.raises(ValueError, match="ISIR needs the density of a given configuration"):
            MarkovChains(ISIR(4)).run(proposer, 0, silent)
        assert disagreements(Importance(20_000).run(proposer, 5, silent).samples, proposer.energy) == []

    def test_kernels_with_an_error_of_their_own(self):
        proposer = SYSTEMS["double well"]()
        with pytest.raises(ValueError, match="ends exactly at the target, and Langevin has an error of its time step: use HMC"):
            SMC(Langevin()).run(proposer, 0, silent)
        with pytest.raises(ValueError, match="ULA is exact only with the weights of its paths"):
            MarkovChains(ULA()).run(proposer, 0, silent)
        problems = MarkovChains(Langevin(0.02, 2), frames=4, walkers=4, burn_in=0).run(proposer, 0, silent).problems
        assert any("Langevin has an error of its time step" in text for text in problems)

    def test_a_temperature_that_is_no_detour(self):
        with pytest.raises(ValueError, match="through = 1 kT must be above the temperature of the target, 2 kT"):
            SMC(MALA(), through=1.0).run(SYSTEMS["double well"](), 0, silent)

    def test_proposals_that_never_meet_the_target(self):
        class Nowhere(DoubleWell):
            def potential(self, x):
                return torch.where(x[:, 0] > 0, super().potential(x), torch.nan)

        generator = Normals(0.1, -5.0).build(DoubleWell())
        with pytest.raises(ValueError, match="proposals have no finite energy or density: train the generator"):
            SMC(MALA()).run(Proposer(generator, Nowhere()), 0, silent)
        with pytest.raises(ValueError, match="none of 1280 proposals has a finite energy, so no walker can start"):
            MarkovChains(MALA()).run(Proposer(generator, Nowhere()), 0, silent)
