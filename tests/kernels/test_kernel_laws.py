"""What holds for every kernel, exported ones without exception; and kernels that are wrong are caught by the same law."""

import copy
import dataclasses
import inspect
import math

import difluoroethane
import pytest
import torch
from proposals import Breathing, flow_for
from springs import Springs, rng

from lit_bg import kernels
from lit_bg.energies import DoubleWell, Gaussian, Ising, LennardJonesSolid
from lit_bg.generators import ContinuousFlow, CouplingFlow, ReverseDiffusion
from lit_bg.kernels import (
    HMC,
    ISIR,
    MALA,
    ULA,
    Cycle,
    Exchange,
    Independence,
    Kernel,
    Langevin,
    LatentWalk,
    Metropolis,
    Mixture,
    OverdampedLangevin,
    SpinFlip,
    State,
    TorsionMoves,
)
from lit_bg.nets import Hutchinson, MLPField
from lit_bg.simulators import Simulation
from lit_bg.testing import KERNEL_LAWS, KernelCase

N = 20_000  # walkers


def gaussian(kT=1.0):
    return Gaussian(3, loc=[1.0, 0.0, -0.5], covariance=[[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], kT=kT)


CASES = {
    "Metropolis": [
        lambda: KernelCase(Metropolis(1.5), gaussian(), 10, 150),
        lambda: KernelCase(Metropolis(1.0), DoubleWell(kT=4.0), 10, 300),
        lambda: KernelCase(Metropolis(0.5), Springs(), 10, 300),
    ],
    "MALA": [
        lambda: KernelCase(MALA(1.0), gaussian(0.7), 10, 60),
        lambda: KernelCase(MALA(0.5), DoubleWell(kT=4.0), 10, 400),
        lambda: KernelCase(MALA(0.4), Springs(), 10, 60),
    ],
    "HMC": [
        lambda: KernelCase(HMC(0.4, 4, None), gaussian(1.5), 10, 30),
        lambda: KernelCase(HMC(0.35, 4, None), DoubleWell(kT=4.0), 10, 120),
        lambda: KernelCase(HMC(0.3, 4, None), Springs(), 10, 40),
    ],
    "Langevin": [
        lambda: KernelCase(Langevin(0.4, 4), gaussian(), 10, 30),
        lambda: KernelCase(Langevin(0.02, 20), DoubleWell(kT=4.0), 5, 120),
        lambda: KernelCase(Langevin(0.3, 4), Springs(kT=1.3), 10, 60),
    ],
    "OverdampedLangevin": [
        lambda: KernelCase(OverdampedLangevin(0.2, 4), gaussian(), 10, 40),
        lambda: KernelCase(OverdampedLangevin(0.001, 20), DoubleWell(kT=4.0), 5),
        lambda: KernelCase(OverdampedLangevin(0.03, 5), Springs(kT=1.3), 10, 100),
    ],
    "TorsionMoves": [
        lambda: of_torsion(TorsionMoves(4), 5, 15),
        lambda: of_torsion(Exchange(TorsionMoves(4), [difluoroethane.make().at(4.0)]), 4),
    ],
    "SpinFlip": [
        lambda: KernelCase(SpinFlip(), Ising(3, kT=2.5), 5, 60),
        lambda: KernelCase(SpinFlip(), Ising(4, kT=3.0), 3, 40),
        lambda: KernelCase(SpinFlip(), Potts(), 5, 40),
    ],
    "Independence": [
        lambda: of_flow(Independence(2), gaussian(), 5, 40),
        lambda: of_flow(Independence(1), DoubleWell(kT=4.0), 5, 60),
        lambda: of_flow(Independence(3), Springs(), 3, 40),
    ],
    "ISIR": [
        lambda: of_flow(ISIR(8), gaussian(), 3, 25),
        lambda: of_flow(ISIR(2), DoubleWell(kT=4.0), 6, 100),
        lambda: of_flow(ISIR(4), Springs(), 3, 25),
    ],
    "LatentWalk": [
        lambda: of_flow(LatentWalk(0.5, None), gaussian(1.5), 5, 80),
        lambda: of_flow(LatentWalk(0.7, None), DoubleWell(kT=4.0), 5, 80),
        lambda: of_flow(LatentWalk(0.4, None), Springs(), 5, 100),
    ],
    "ULA": [
        lambda: KernelCase(ULA(0.3), gaussian(), 6),
        lambda: KernelCase(ULA(0.15), DoubleWell(kT=4.0), 6),
        lambda: KernelCase(ULA(0.08), Springs(), 8),
    ],
    "Exchange": [
        lambda: of_flow(Exchange(Cycle([ISIR(4), Metropolis(0.5)]), [gaussian().at(1.5)]), gaussian(), 4),
        lambda: ladder(Metropolis(1.0), gaussian(), [gaussian().at(kT) for kT in (1.5, 2.5)]),
        lambda: ladder(Langevin(0.3, 4), gaussian(), [gaussian().at(kT) for kT in (1.5, 2.5)]),
        lambda: ladder(OverdampedLangevin(0.2, 2), gaussian(), [gaussian().at(2.0)]),
        lambda: ladder(HMC(0.3, 4, None), DoubleWell(kT=1.0), [DoubleWell(a2=3.0, kT=1.0), DoubleWell(kT=4.0)]),
        lambda: ladder(Langevin(0.3, 4), gaussian(), [Gaussian(3, scale=1.5), Gaussian(3, scale=1.5).at(2.0)]),
        lambda: ladder(SpinFlip(), Ising(3, kT=1.5), [Ising(3, coupling=0.8, kT=2.0), Ising(3, kT=4.0)]),
    ],
    "Cycle": [
        lambda: of_flow(Cycle([Independence(1), HMC(0.2, 3, None), LatentWalk(0.3, None)]), gaussian(), 4, 30),
        lambda: KernelCase(Cycle([Metropolis(1.0), MALA(0.8), Langevin(0.3, 2), HMC(0.3, 3, None)]), gaussian(), 5, 20),
        lambda: KernelCase(Cycle([OverdampedLangevin(0.05, 2), Metropolis(0.5)]), Springs(), 5, 40),
    ],
    "Mixture": [
        lambda: of_flow(Mixture([ISIR(8), Langevin(0.02, 10)]), DoubleWell(kT=4.0), 8, 80),
        lambda: KernelCase(Mixture([Metropolis(1.5), MALA(0.8), HMC(0.3, 3, None)], [1.0, 2.0, 1.0]), gaussian(), 10, 60),
        lambda: KernelCase(Mixture([Langevin(0.3, 2), Metropolis(0.5)]), Springs(), 10, 80),
    ],
}
CLASSES = [
    name
    for name in kernels.__all__
    if isinstance(getattr(kernels, name), type)
    and issubclass(getattr(kernels, name), Kernel)
    and not inspect.isabstract(getattr(kernels, name))
]
PARAMETERS = [pytest.param(make, id=f"{name}-{i}") for name in CLASSES for i, make in enumerate(CASES[name])]


def of_torsion(kernel, moves, forgets_after=0):
    """A kernel on a molecule of which the torsion is known, and all else stays as it is."""

    def describe(energy, x):
        phi = difluoroethane.phi(x)
        return {"cos": phi.cos(), "sin": phi.sin(), "cos 2": (2 * phi).cos(), "u": energy(x)}

    draw, walkers = difluoroethane.torsion_samples, 4000
    return KernelCase(kernel, difluoroethane.make(), moves, forgets_after, walkers, draw=draw, describe=describe)


def ladder(kernel, energy, others):
    return KernelCase(Exchange(kernel, others), energy, 6)


def of_flow(kernel, energy, moves, forgets_after=0, by=0.05):
    """A kernel whose proposals come from a flow that is not that of the target, and bends by that much."""
    kernel.attach(Breathing().build(energy) if isinstance(energy, Springs) else flow_for(energy, by))
    return KernelCase(kernel, energy, moves, forgets_after, walkers=N // 2)


class Potts(Ising):
    """Three states on two by two sites, with an energy for every pair of neighbours that are alike."""

    def __init__(self, kT=1.0):
        super().__init__(2, kT=kT)
        from lit_bg.spaces import Spins

        self.space = Spins((2, 2), states=3)

    modes = None

    def potential(self, x):
        return -sum((x == x.roll(1, axis)).to(x).flatten(1).sum(1) for axis in (-1, -2))

    @property
    def observables(self):
        return {}

    def exact_samples(self, n, rng):
        every = torch.cartesian_prod(*[torch.arange(3.0)] * 4).reshape(-1, 2, 2)
        p = (-self.potential(every) / self.kT).softmax(0)
        return every[torch.multinomial(p, n, replacement=True, generator=rng)]


def test_every_exported_kernel_is_under_law():
    assert set(CASES) == set(CLASSES)


@pytest.mark.parametrize("law", KERNEL_LAWS)
@pytest.mark.parametrize("make", PARAMETERS)
def test_every_kernel_obeys_every_law(make, law):
    KERNEL_LAWS[law](make())


@pytest.mark.parametrize("make", PARAMETERS)
def test_what_takes_no_kernel_inside_says_so(make):
    case = make()
    if isinstance(case.kernel, Exchange):
        with pytest.raises(ValueError, match=r"replicas|Exchange"):
            Cycle([case.kernel])
        with pytest.raises(ValueError, match="replicas"):
            Exchange(case.kernel, [case.energy])
    if case.kernel.weighted:
        with pytest.raises(ValueError, match="exact only with the weights of its paths"):
            Exchange(case.kernel, [case.energy.at(1.2 * case.energy.kT)])
        with pytest.raises(ValueError, match="exact only with the weights of its paths"):
            Simulation(case.kernel).check(case.energy)


class WithoutProposalDensity(MALA):
    def propose(self, energy, state, rng):
        new, log_ratio = super().propose(energy, state, rng)
        return new, torch.zeros_like(log_ratio)


class WithoutTest(Metropolis):
    def propose(self, energy, state, rng):
        new, log_ratio = super().propose(energy, state, rng)
        return new, torch.full_like(log_ratio, torch.inf)


class WithoutKineticEnergy(HMC):
    def propose(self, energy, state, rng):
        new, log_ratio = super().propose(energy, state, rng)
        return new, torch.zeros_like(log_ratio)


class Backwards(Metropolis):
    """Accepts by the inverse ratio."""

    def propose(self, energy, state, rng):
        new, _ = super().propose(energy, state, rng)
        return new, 2 * (new.u - state.u)


class OneWay(Metropolis):
    """Proposes steps to the right only."""

    def propose(self, energy, state, rng):
        new = self.evaluate(energy, state.x + self._step * energy.space.noise(len(state.x), rng, state.x.dtype).abs())
        return new, torch.zeros_like(state.u)


class TooHot(Langevin):
    def noises(self, energy, x, steps, rng):
        return (1.05 * noise for noise in super().noises(energy, x, steps, rng))


class EulerMaruyama(OverdampedLangevin):
    """Every step has a noise of its own instead of the mean of two."""

    def noises(self, energy, x, steps, rng):
        for noise in super().noises(energy, x, steps, rng):
            yield math.sqrt(2.0) * noise

    def step(self, energy, state, rng):
        for _ in range(self.steps):
            one = copy.copy(self)
            one.steps = 1
            state = self.complete(energy, state, rng)
            state, info = super(EulerMaruyama, one).step(energy, state._replace(noise=torch.zeros_like(state.x)), rng)
        return state, info


class Stale(SpinFlip):
    """Forgets to take up the energy of what it has accepted."""

    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(u=state.u), info


class WrongSign(Exchange):
    def _swapped_energies(self, stack, x, potential, kT, low):
        return 2 * potential / kT - super()._swapped_energies(stack, x, potential, kT, low)


class ColdVelocities(Exchange):
    """Leaves the velocities of swapped replicas as they were."""

    def _moved(self, stack, rows, index, u, rng):
        new = super()._moved(stack, rows, index, u, rng)
        return new._replace(velocity=rows.velocity[index])


class Spoiling(Metropolis):
    """Passes on the gradient of where a walker was."""

    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(gradient=state.gradient), info


class Choosy(Mixture):
    """Looks at the walkers before it draws: a long step wherever the first coordinate is positive."""

    def step(self, energy, state, rng):
        (one, info), (two, _) = (kernel.step(energy, state, rng) for kernel in self.kernels)
        right = (state.x[:, 0] > 1.0)[:, None]
        return State(torch.where(right, one.x, two.x), torch.where(right[:, 0], one.u, two.u)), info


class WithoutDensity(Independence):
    """Takes proposals by their energy alone."""

    def propose(self, energy, like, times, rng):
        drawn = super().propose(energy, like, times, rng)
        return drawn._replace(log_q=torch.zeros_like(drawn.log_q))

    def log_prob(self, x):
        return torch.zeros(len(x), dtype=torch.float64)


class Forgetful(Independence):
    """Keeps the density of where a walker was."""

    def step(self, energy, state, rng):
        state = self.complete(state)
        new, info = super().step(energy, state, rng)
        return new._replace(log_q=state.log_q), info


class OnlyFresh(ISIR):
    """Chooses among the fresh proposals alone."""

    def complete(self, state):
        state = super().complete(state)
        return state._replace(log_q=torch.full_like(state.log_q, torch.inf))


class WithoutJacobian(LatentWalk):
    """Accepts by the energies alone."""

    def step(self, energy, state, rng):
        flow = self.generator
        self.generator = Lying(flow)
        moved = super().step(energy, state, rng)
        self.generator = flow
        return moved


class Lying(CouplingFlow):
    """A flow that says its map has the Jacobian 1."""

    def __init__(self, flow):
        super().__init__()
        self.__dict__["flow"], self.prior = flow, flow.prior

    def forward(self, z, context=None):
        x, ladj = self.flow(z, context)
        return x, torch.zeros_like(ladj)

    def inverse(self, x, context=None):
        z, ladj = self.flow.inverse(x, context)
        return z, torch.zeros_like(ladj)

    def complete(self, x, rng):
        return x


class WithoutPathWeight(ULA):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new, info._replace(log_ratio=torch.zeros_like(info.log_ratio))


@pytest.mark.parametrize(
    "case",
    [
        of_flow(WithoutDensity(2), gaussian(), 5),
        of_flow(Forgetful(2), gaussian(), 5),
        of_flow(OnlyFresh(3), gaussian(), 3),
        of_flow(WithoutJacobian(0.5, None), gaussian(1.5), 5, by=0.2),  # wrong by 30 standard errors
        KernelCase(WithoutPathWeight(0.8), gaussian(), 6),
        KernelCase(WithoutProposalDensity(1.0), gaussian()),
        KernelCase(WithoutTest(0.5), gaussian()),
        KernelCase(WithoutKineticEnergy(0.5, 4, None), gaussian()),
        KernelCase(Backwards(0.5), gaussian()),
        KernelCase(OneWay(0.5), gaussian()),
        KernelCase(TooHot(0.3, 4), gaussian()),
        KernelCase(EulerMaruyama(0.2, 4), gaussian()),
        KernelCase(Stale(), Ising(3, kT=2.5)),
        KernelCase(WrongSign(Metropolis(0.5), [gaussian().at(2.0)]), gaussian()),
        KernelCase(WrongSign(Metropolis(0.5), [Gaussian(3)]), gaussian()),
        KernelCase(ColdVelocities(Langevin(0.1, 2), [gaussian().at(2.5)]), gaussian(), 30),
        KernelCase(Cycle([Spoiling(1.0), MALA(0.8)]), gaussian()),
        KernelCase(Choosy([Metropolis(2.0), Metropolis(0.2)]), gaussian()),
    ],
    ids=lambda case: type(case.kernel).__name__,
)
def test_what_is_wrong_is_caught(case):
    with pytest.raises(
        AssertionError, match=f"{type(case.kernel).__name__} moved exact samples of .* out of their distribution"
    ):
        KERNEL_LAWS["exact samples stay exact"](dataclasses.replace(case, walkers=N))


@pytest.mark.parametrize("fault", ["one-sided angles", "wrong Jacobian"])
def test_wrong_torsion_moves_are_caught(fault, monkeypatch):
    right = kernels.torsion_moves.turn

    def one_sided(x, axis, side, angle):
        return right(x, axis, side, 0.25 * angle)

    def widening(x, axis, side, angle):
        """Angles to which the torsion is doubled: a map of Jacobian 2."""
        return right(x, axis, side, difluoroethane.phi(x) + 0.3 * angle)

    monkeypatch.setattr(kernels.torsion_moves, "turn", one_sided if fault == "one-sided angles" else widening)
    with pytest.raises(AssertionError, match="TorsionMoves moved exact samples of Molecule out of their distribution"):
        KERNEL_LAWS["exact samples stay exact"](of_torsion(TorsionMoves(4), 6))


class TestRefusals:
    @pytest.mark.parametrize("kernel", [Metropolis(), MALA(), HMC(), Langevin(), OverdampedLangevin()], ids=repr)
    def test_spins_have_no_gradient(self, kernel):
        with pytest.raises(ValueError, match=r"moves continuous coordinates, and Ising has spins of 2 states .*: use SpinFlip"):
            kernel.check(Ising(4))

    def test_what_has_no_spins_or_bonds(self):
        with pytest.raises(ValueError, match=r"SpinFlip moves spins, and DoubleWell has 2 coordinates: use Metropolis"):
            SpinFlip().check(DoubleWell())
        with pytest.raises(ValueError, match="DoubleWell has no bond that turns: leave TorsionMoves out"):
            TorsionMoves().check(DoubleWell())

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Metropolis(-1.0), "Metropolis needs step_size > 0, got -1.0"),
            (lambda: MALA(0.1, 1.5), "MALA needs a target_acceptance between 0 and 1, got 1.5"),
            (lambda: HMC(steps=0), "HMC needs steps >= 1, got 0"),
            (lambda: Langevin(0.0), "Langevin needs time_step > 0, got 0.0"),
            (lambda: Langevin(steps=0), "steps > 0, got 0"),
            (lambda: OverdampedLangevin(friction=-1.0), "friction > 0, got -1.0"),
            (lambda: Langevin(hydrogen_mass=10.0), "between 1 and 4"),
            (lambda: TorsionMoves(0), "moves >= 1, got 0"),
            (lambda: SpinFlip(0), "sweeps >= 1, got 0"),
            (lambda: Independence(0), "Independence needs moves >= 1, got 0"),
            (lambda: ISIR(1), "ISIR needs k >= 2 candidates"),
            (lambda: LatentWalk(-1.0), "LatentWalk needs step_size > 0"),
            (lambda: Cycle([]), "Cycle needs one kernel"),
            (lambda: Mixture([MALA()], [1.0, 2.0]), "as many positive weights, got"),
            (lambda: Exchange(MALA(), []), "at least one state besides"),
        ],
    )
    def test_numbers_out_of_range(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_states_in_two_spaces(self):
        with pytest.raises(
            ValueError, match="must share a space and its measure, and Gaussian has 3 coordinates, DoubleWell 2 coordinates"
        ):
            Exchange(MALA(), [DoubleWell()]).check(gaussian())

    def test_generators_that_cannot_propose(self):
        system = gaussian()
        with pytest.raises(ValueError, match="ISIR proposes what a generator draws, and has none"):
            ISIR().check(system)
        with pytest.raises(ValueError, match=r"and ReverseDiffusion has no log_prob: use importance sampling"):
            Independence(generator=ReverseDiffusion(MLPField()).build(system)).check(system)
        with pytest.raises(ValueError, match=r"CouplingFlow proposes configurations \(2,\), and those of Gaussian are \(3,\)"):
            ISIR(generator=flow_for(DoubleWell())).check(system)
        noisy = ContinuousFlow(MLPField(), divergence=Hutchinson()).build(system)
        with pytest.raises(ValueError, match="needs an exact density, and that of ContinuousFlow is a random estimate"):
            LatentWalk(generator=noisy).check(system)

    def test_two_generators_in_one_cycle(self):
        system = gaussian()
        with pytest.raises(ValueError, match="share the density of one generator, and these have 2: make one proposal of them"):
            Cycle([ISIR(generator=flow_for(system)), Independence(generator=flow_for(system))]).check(system)

    def test_two_ideas_of_a_hydrogen(self):
        cycle = Cycle([TorsionMoves(2), Langevin(0.001, hydrogen_mass=3.0)])
        with pytest.raises(ValueError, match="need one hydrogen_mass, got"):
            cycle.check(difluoroethane.make())


def test_translations_of_a_solid_do_not_count():
    """Kernels keep the centre of mass of particles in a cell where it was, without cutting the cell."""
    solid = LennardJonesSolid(1, density=0.5, cutoff=0.9)
    for kernel in (Metropolis(0.05), HMC(0.01, 3, None), Langevin(0.005, 3)):
        state = kernel.init(solid, solid.initial.double().repeat(5, 1, 1), rng(1))
        for _ in range(3):
            state, _ = kernel.step(solid, state, rng(2))
        assert state.x.mean(1).abs().max() < 1e-6
