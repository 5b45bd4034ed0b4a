"""What kernels and spaces refuse, or do right, where it was seen to go wrong."""

import pickle
from typing import NamedTuple

import pytest
import torch

from lit_bg.energies import DoubleWell, Energy, Tempered
from lit_bg.energies.condition import Condition
from lit_bg.generators import ContinuousFlow
from lit_bg.kernels import HMC, MALA, Cycle, Exchange, Info, Kernel, Langevin, Metropolis, Mixture, TorsionMoves
from lit_bg.nets import MLPField
from lit_bg.simulators import ReplicaExchange, Simulation, Temperatures
from lit_bg.spaces import Domain, Kind, Particles, Product, Spins, Vectors


def of(space, *moves):
    """A quadratic energy on a space."""

    class Quadratic(Energy):
        symmetries = frozenset(moves)

        def __init__(self):
            super().__init__()
            self.space = space

        def potential(self, x):
            return 0.5 * x.square().flatten(1).sum(-1)

        @property
        def initial(self):
            return self.space.wrap(self.space.project(torch.ones(1, *self.space.shape) * 0.5))

    return Quadratic()


def circle(kind):
    return Vectors(1, Domain(torch.tensor([kind]), torch.zeros(1), torch.ones(1)))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Particles(3, 2), Particles(3, 2, centred=False)),
        (Particles(3, 2, box=4 * torch.eye(2)), Particles(3, 2, box=5 * torch.eye(2))),
        (Spins((2, 2)), Spins((2, 2), 3)),
        (circle(Kind.CIRCULAR), Vectors(1)),
        (Product(Particles(3, 2), Vectors(1)), Product(Particles(3, 2, centred=False), Vectors(1))),
    ],
)
def test_states_of_other_measures_do_not_exchange(a, b):
    with pytest.raises(ValueError, match="must share a space and its measure"):
        Exchange(Metropolis(), [of(b)]).check(of(a))


def test_alike_or_not_particles_share_a_measure():
    assert Particles(3, 2).shares_measure_with(Particles(3, 2, (0, 0, 0)))
    Exchange(Metropolis(), [of(Particles(3, 2), "translation")]).check(of(Particles(3, 2, (0, 0, 0)), "translation"))


def test_a_field_that_moves_a_centre_of_mass_inside_of_a_product_is_refused():
    with pytest.raises(ValueError, match="would move the centre of mass"):
        ContinuousFlow(MLPField((8,))).build(of(Product(Particles(3, 2), Vectors(1))))


@pytest.mark.parametrize(
    "kernel", [Metropolis(0.5), MALA(0.5), HMC(0.2, 5, None), Langevin(0.05, 5)], ids=lambda k: type(k).__name__
)
def test_moves_on_a_product(kernel):
    """<x^2> summed is the number of degrees of freedom, within 5 sigma; the centre of mass stays."""
    energy = of(Product(Particles(3, 2), Vectors(1)))
    rng = torch.Generator().manual_seed(0)
    state = kernel.init(energy, energy.space.noise(8000, rng, torch.float64), rng)
    for _ in range(10):
        state, _ = kernel.step(energy, state, rng)
    squares = state.x.square().sum(-1)
    assert abs(squares.mean().item() - energy.space.dof) < 5 * squares.std().item() / 8000**0.5
    assert energy.space.split(state.x)[0].mean(1).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", [Metropolis(0.5), MALA(0.4), HMC(0.3, 3, None)], ids=lambda k: type(k).__name__)
def test_walkers_stay_on_their_interval(kernel):
    """exp(-x^2 / 2) on [0, 1]: the mean by quadrature, within 5 sigma."""
    energy = of(circle(Kind.BOUNDED))
    rng = torch.Generator().manual_seed(0)
    state = kernel.init(energy, torch.full((4000, 1), 0.5, dtype=torch.float64), rng)
    for _ in range(60):
        state, _ = kernel.step(energy, state, rng)
    assert energy.space.contains(state.x).all()
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    weight = torch.exp(-(grid**2) / 2)
    exact = ((weight * grid).sum() / weight.sum()).item()
    assert abs(state.x.mean().item() - exact) < 5 * state.x.std().item() / 4000**0.5


def test_dynamics_that_never_reject_are_refused_on_intervals():
    with pytest.raises(ValueError, match="which it would leave: use Metropolis"):
        Langevin().check(of(circle(Kind.BOUNDED)))


def test_views_of_a_range_of_temperatures_and_of_pickles():
    wells = Tempered(DoubleWell(), 0.5, 4.0)
    assert wells.at(2.0).is_view_of(wells)
    assert wells.at(2.0).meter is wells.meter
    assert not Tempered(DoubleWell(), 0.5, 4.0).is_view_of(wells)
    well = DoubleWell()
    again, view = pickle.loads(pickle.dumps((well, well.at(1.7))))
    assert view.is_view_of(again)


def test_a_ladder_is_of_one_system():
    class Rebuilt(DoubleWell):
        def at(self, kT):
            return type(self)(kT=kT)

    ladder = ReplicaExchange(Metropolis(0.5), Temperatures(temperatures=[1.0, 2.0]), frames=2, walkers=2, burn_in=0)
    with pytest.raises(ValueError, match=r"Rebuilt\.at\(kT\) makes another system"):
        ladder.check(Rebuilt())
    wells = Tempered(DoubleWell(), 0.5, 4.0)
    assert ladder.run(wells, 0, lambda *_: None).states.u.shape == (2, 2, 2, 2)  # (K, T, W, R)


class Own(NamedTuple):
    x: torch.Tensor
    u: torch.Tensor


class Stay(Kernel):
    """It stays, in a state of its own."""

    def init(self, energy, x, rng):
        return Own(x, energy(x))

    def step(self, energy, state, rng):
        return state, Info(torch.ones(len(state.x)))


def test_a_state_of_its_own_takes_no_turns():
    x, rng = torch.zeros(3, 2), torch.Generator()
    for kernels in ([Stay(), MALA()], [MALA(), Stay()]):
        with pytest.raises(ValueError, match=r"Stay has a state of its own, Own: let it return lit_bg\.kernels\.State"):
            Cycle(kernels).init(DoubleWell(), x, rng)
    trajectory = Simulation(Stay(), frames=3, walkers=2, stride=1, burn_in=0).run(DoubleWell(), 0, lambda *_: None)
    assert trajectory.x.shape == (3, 2, 2)


def test_masses_of_nested_kernels_must_agree():
    nested = Cycle([Mixture([Langevin(hydrogen_mass=3.0)], [1.0]), TorsionMoves()])
    assert nested.hydrogen_masses == {3.0, None}


def test_the_ends_of_a_logarithmic_range():
    kT = Condition("kT", 1e-4, 1e3, log=True)
    values = torch.tensor([-5e-4, 0.0, 0.99e-4, 1e-4, 1e3, 1.01e3])
    assert kT.contains(values).tolist() == [False, False, False, True, True, False]
