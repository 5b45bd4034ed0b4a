"""Everything that is exported runs on a device, mixes with nothing from the CPU, and says where the host waits.

No GPU is at hand, so two devices stand in that are not there (`abroad`): one on which nothing is computed and nothing may be
asked for, and one that computes and writes down every wait of the host.
"""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from abroad import DEVICE, READS, Remote, Stream, abroad, send, watched
from test_laws import CLASSES, MAKE
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lit_bg import bases, estimators, generators, kernels, losses, nets, transforms
from lit_bg.bases import Canonical, Crystal, Harmonic, Known, Normal, PeriodicCrystal
from lit_bg.callbacks import EMA, NonFiniteGuard
from lit_bg.data.dataset import Dataset
from lit_bg.data.module import Data
from lit_bg.energies import (
    DW4,
    CoulombGas,
    DoubleWell,
    Energy,
    Gaussian,
    GaussianMixture,
    Ising,
    LennardJones,
    ManyWell,
    Molecule,
)
from lit_bg.estimators import Moves
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion, FoldedFlow, MixtureProposal, ReverseDiffusion
from lit_bg.interpolants import Linear
from lit_bg.kernels import (
    HMC,
    ISIR,
    MALA,
    ULA,
    Cycle,
    Exchange,
    Independence,
    Langevin,
    LatentWalk,
    Metropolis,
    Mixture,
    OverdampedLangevin,
    SpinFlip,
    TorsionMoves,
)
from lit_bg.losses import (
    DenoisingScoreMatching,
    FlowMatching,
    ForwardKL,
    ReactionCoordinate,
    ReverseKL,
    ReweightedKL,
    WeightedSum,
)
from lit_bg.losses.pairings import EquivariantOT, MinibatchOT
from lit_bg.module import BoltzmannGenerator
from lit_bg.nets import EGNN, GradientField, Hutchinson, KernelField, MLPField, TensorProductField
from lit_bg.solvers import DormandPrince, Heun, Midpoint, RungeKutta4
from lit_bg.spaces import Domain, Kind, Particles, Vectors
from lit_bg.testing.energies import configurations
from lit_bg.transforms import InternalCoordinates, MixedCoordinates, Whitening

MOLECULE = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml", "implicit/obc1.xml"])


class Somewhere(Energy):
    """Coordinates of every kind."""

    def __init__(self):
        super().__init__()
        kinds = torch.tensor([Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR, Kind.CIRCULAR, Kind.LINEAR])
        self.space = Vectors(5, Domain(kinds, torch.zeros(5), torch.full((5,), 3.0)))

    def potential(self, x):
        return x.cos().sum(-1)


class Cell(Energy):
    """Four particles in a triclinic cell."""

    symmetries = frozenset({"translation"})

    def __init__(self, centred):
        super().__init__()
        self.space = Particles(4, 2, (0,) * 4, centred=centred, box=torch.tensor([[2.5, 0.0], [1.1, 2.0]]))

    def potential(self, x):
        return x.cos().flatten(1).sum(-1)

    @property
    def initial(self):
        return torch.tensor([[[0.2, 0.3], [1.4, 0.4], [0.3, 1.8], [1.5, 1.9]]])


class Subject(NamedTuple):
    """What is put under the law: modules, tensors for them, and what is done with both."""

    parts: list[nn.Module]
    given: list[Tensor]
    run: object  # (stream, *given) -> tensors and numbers


def made(make):
    torch.manual_seed(0)
    subject = make()
    for part in subject.parts:
        for p in part.parameters():
            nn.init.normal_(p, std=0.2)
    return subject


def at_home(make):
    """What is right, computed on the CPU."""
    subject = made(make)
    return subject.run(torch.Generator().manual_seed(1), *subject.given)


def on_device(make, waits):
    """The same computed on the device, and where the host waits, be it for the first time or every time."""
    subject, rng = made(make), Stream()
    with watched() as watch:
        for part in subject.parts:
            send(part, watch.there)
        given = tree_map(watch.there, subject.given)
        found = subject.run(rng.manual_seed(1), *given)
        if {wait.place for wait in watch.waits} - set(waits):  # what is made once and kept has not been made yet
            watch.waits.clear()
            found = subject.run(rng.manual_seed(1), *given)
        return found, watch.waits


def check(make, waits=(), brings=False, counts=False):
    """The law: the same on the device as on the CPU, left there, and the host waits nowhere but where it is said.

    What is given may lie elsewhere where `brings` says that it is brought to the device; else a mixture is refused. Where it
    `counts`, a number of the host's own is read, which a device without numbers does not know from others.
    """
    right = at_home(make)
    found, noted = on_device(make, waits)
    for a, b in zip(tree_leaves(found), tree_leaves(right), strict=True):
        if isinstance(b, Tensor):
            assert a.device == DEVICE
            a = a.here
        size = max(1.0, float(torch.as_tensor(b).double().abs().nan_to_num(0, 0, 0).max()))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * size, equal_nan=True)
    assert {wait.place for wait in noted} == set(waits), sorted(noted)
    if not counts and not any(wait.kind == "read" for wait in noted):
        asks_for_no_number(make)
    if not brings:
        refuses_a_mixture(make)


def asks_for_no_number(make):
    subject = made(make)
    subject.run(torch.Generator(), *subject.given)  # what is found out once by reading is found out
    with abroad() as there:
        for part in subject.parts:
            send(part, there)
        for found in tree_leaves(subject.run(Stream(), *tree_map(there, subject.given))):
            assert not isinstance(found, Tensor) or found.device == DEVICE


def refuses_a_mixture(make):
    subject = made(make)
    tensors = [t for part in subject.parts for t in (*part.parameters(), *part.buffers())]
    if not any(t.ndim for t in tensors) or not any(g.is_floating_point() for g in subject.given):
        return  # it follows what it is given, or there is nothing to give
    with watched() as watch:
        for part in subject.parts:
            send(part, watch.there)
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            subject.run(Stream(), *subject.given)


def of_energy(make):
    energy = make()
    x = configurations(energy, 4).float()
    observables, modes = energy.observables, energy.modes  # exact values are integrals, which the host does once

    def run(rng, x):
        found = [*energy.value_and_gradient(x), energy(x), energy.in_region(x)]
        return found + [o.function(x) for o in observables.values()] + ([] if modes is None else [modes.label(x)])

    return Subject([energy], [x], run)


TABLES = [
    f"energies/molecular_observables.py: {name}" for name in ("_torsion", "_distance", "_radius_of_gyration", "_fraction_l")
]
OBSERVABLES = {  # of configurations that are looked at, not trained on
    "LennardJones, with order": {"energies/bond_order.py: bond_order"},
    "Molecule": {*TABLES, "energies/molecular_modes.py: _positive_phi"},
}


@pytest.mark.parametrize("case", [*CLASSES, "LennardJones, with order"])
def test_energies(case):
    make = MAKE[case.split(",")[0]][0 if "," in case else -1]
    check(lambda: of_energy(make), OBSERVABLES.get(case, ()))


BASES = {
    "Normal": (Normal, DoubleWell()),
    "Normal of particles": (Normal, DW4()),
    "Harmonic": (lambda: Harmonic([(0, 1), (1, 2), (2, 3)]), DW4()),
    "Crystal": (Crystal, LennardJones(13, factor=1)),
    "Known": (lambda: Known(GaussianMixture.forty()), DoubleWell()),
    "Canonical": (Canonical, DoubleWell()),
    "PeriodicCrystal": (lambda: PeriodicCrystal(0.9), Cell(centred=False)),
    "PeriodicCrystal without translations": (lambda: PeriodicCrystal(0.1), Cell(centred=True)),
}


def exported(module, kind):
    classes = (getattr(module, name) for name in module.__all__)
    return {c.__name__ for c in classes if isinstance(c, type) and issubclass(c, kind) and not c.__abstractmethods__}


def of_base(make, energy):
    base = make().build(energy)
    z = base.sample(5, torch.Generator().manual_seed(1))[0]
    return Subject([base], [z], lambda rng, z: [base.log_prob(z), *base.sample(5, rng)])


@pytest.mark.parametrize("case", BASES)
def test_bases(case):
    check(lambda: of_base(*BASES[case]))


def test_every_base_is_under_law():
    assert exported(bases, bases.BaseDensity) == {case.split()[0] for case in BASES}


def learned(parts):
    """Gradients of all parameters, as after the backward pass of a training step."""
    return [p.grad for part in parts for p in part.parameters() if p.grad is not None]


FIELDS = {
    "MLPField": (lambda: MLPField((8,)), DoubleWell()),
    "GradientField": (lambda: GradientField(MLPField((8,))), DoubleWell()),
    "EGNN": (lambda: EGNN(1, 4), LennardJones(3, factor=1)),
    "EGNN, in a trap": (lambda: EGNN(3, 2), CoulombGas(2)),
    "KernelField": (lambda: KernelField(4, 4), LennardJones(3, factor=1)),
    "TensorProductField": (lambda: TensorProductField(2, 2), LennardJones(2, factor=1)),
}


def of_field(make, energy):
    field = make().build(energy)
    x, t = torch.randn(3, *energy.event_shape), torch.rand(3)

    def run(rng, t, x):
        field.zero_grad()
        found = [field(t, x)]
        if field.compiles or isinstance(field, GradientField):  # one of those whose divergence is by autograd says it all
            found += field.with_divergence(t, x)
        sum(f.square().sum() for f in found).backward()
        return [f.detach() for f in found] + learned([field])

    return Subject([field], [t, x], run)


@pytest.mark.parametrize("case", FIELDS)
def test_fields(case):
    check(lambda: of_field(*FIELDS[case]))


def test_every_field_is_under_law():
    assert exported(nets, nets.VectorField) == {case.split(",")[0] for case in FIELDS}


STEP = Midpoint(1)
GENERATORS = {
    "CouplingFlow": (lambda: CouplingFlow(1, hidden=(8,)), Somewhere()),
    "CouplingFlow, of one coordinate": (lambda: CouplingFlow(1), Gaussian(1)),
    "CouplingFlow, affine": (lambda: CouplingFlow(1, "affine", (8,), coordinates=Whitening()), ManyWell(4)),
    "CouplingFlow, with anchors": (
        lambda: CouplingFlow(1, hidden=(8,), coordinates=MixedCoordinates(torsions="data")),
        MOLECULE,
    ),
    "CouplingFlow, from a crystal": (lambda: CouplingFlow(1, hidden=(8,), prior=PeriodicCrystal(0.1)), Cell(centred=True)),
    "ContinuousFlow": (lambda: ContinuousFlow(MLPField((4,)), solver=RungeKutta4(1)), DoubleWell()),
    "ContinuousFlow, Hutchinson": (lambda: ContinuousFlow(MLPField((4,)), None, Heun(1), Hutchinson()), DoubleWell()),
    "ContinuousFlow, adaptive": (lambda: ContinuousFlow(MLPField((4,)), solver=DormandPrince(1, 1)), DoubleWell()),
    "ContinuousFlow, particles": (lambda: ContinuousFlow(KernelField(4, 4), Crystal(), STEP), LennardJones(3, factor=1)),
    "Diffusion": (lambda: Diffusion(MLPField((4,)), solver=STEP), DoubleWell()),
    "FoldedFlow": (lambda: FoldedFlow(KernelField(2, 2), Harmonic(), STEP), MOLECULE),
    "MixtureProposal": (lambda: MixtureProposal([CouplingFlow(1, hidden=(8,)) for _ in range(2)], [0.7, 0.3]), DoubleWell()),
    "ReverseDiffusion": (lambda: ReverseDiffusion(MLPField((4,)), steps=2, corrections=1), DoubleWell()),
}
OF_GENERATORS = {  # where the host waits, and why
    # What step comes next depends on the error of the last.
    "ContinuousFlow, adaptive": {"solvers/adaptive.py: integrate", "torchdiffeq"},
    # Tables of the molecule are sent in every call.
    "FoldedFlow": {"molecules/chirality.py: sides", "molecules/folding.py: __call__"},
    # How many samples each generator draws.
    "MixtureProposal": {"estimators/resampling.py: resample"},
}


def of_generator(make, energy):
    """Samples, densities and maps, and the gradient of a loss of both."""
    generator = make().build(energy)
    x = generator.sample(20, torch.Generator().manual_seed(2))[0].detach()
    x = x + 0.01 * torch.randn(x.shape)
    generator.adapt(x)
    given = [x[:4]] if generator.has_log_prob else []

    def run(rng, *x):
        generator.zero_grad()
        found = list(generator.sample(3, rng))
        loss = found[1].mean() + found[0].square().mean()
        if generator.has_log_prob:
            found.append(generator.log_prob(x[0]))
            loss = loss - found[-1].mean()
        if isinstance(generator, ContinuousFlow):  # others sample by the same functions
            with torch.no_grad():
                found += generator(generator.inverse(x[0])[0])
        loss.backward()
        return [t.detach() for t in found] + learned([generator])

    return Subject([generator], given, run)


@pytest.mark.parametrize("case", GENERATORS)
def test_generators(case):
    check(lambda: of_generator(*GENERATORS[case]), OF_GENERATORS.get(case, ()))


def test_every_generator_is_under_law():
    assert exported(generators, generators.Generator) == {case.split(",")[0] for case in GENERATORS}


def test_every_transform_is_part_of_a_generator_under_law():
    built = [make().build(energy) for make, energy in GENERATORS.values()] + [TRAINED["molecule"]().build(MOLECULE)]
    assert exported(transforms, nn.Module) <= {type(part).__name__ for generator in built for part in generator.modules()}


LOSSES = {
    "DenoisingScoreMatching": (DenoisingScoreMatching, "Diffusion", DoubleWell()),
    "FlowMatching": (FlowMatching, "ContinuousFlow", DoubleWell()),
    "FlowMatching, noisy and paired": (lambda: FlowMatching(Linear(noise=0.3), MinibatchOT()), "ContinuousFlow", DoubleWell()),
    "FlowMatching, aligned": (lambda: FlowMatching(pairing=EquivariantOT(4)), "particles", LennardJones(3, factor=1)),
    "ForwardKL": (ForwardKL, "CouplingFlow", DoubleWell()),
    "ForwardKL, of a molecule": (ForwardKL, "molecule", MOLECULE),
    "ReverseKL": (lambda: ReverseKL(cut=5.0), "CouplingFlow", DoubleWell()),
    "ReverseKL, of a molecule": (ReverseKL, "molecule", MOLECULE),
    "ReactionCoordinate": (lambda: ReactionCoordinate("x1", range=(-3.0, 3.0)), "CouplingFlow", DoubleWell()),
    "ReweightedKL": (ReweightedKL, "CouplingFlow", DoubleWell()),
    "ReweightedKL, of every mode": (lambda: ReweightedKL(0.3), "CouplingFlow", DoubleWell()),
    "WeightedSum": (lambda: WeightedSum([ForwardKL(), ReverseKL(cut=5.0)], [1.0, 0.1]), "CouplingFlow", DoubleWell()),
}
TRAINED = {
    "CouplingFlow": lambda: CouplingFlow(1, "affine", (8,)),
    "molecule": lambda: CouplingFlow(1, hidden=(8,), coordinates=InternalCoordinates()),
    "ContinuousFlow": lambda: ContinuousFlow(MLPField((4,)), solver=STEP),
    "particles": lambda: ContinuousFlow(EGNN(1, 4), solver=STEP),
    "Diffusion": lambda: Diffusion(MLPField((4,)), solver=STEP),
}
GUARD = {"callbacks/nonfinite_guard.py: on_before_optimizer_step"}  # whether the optimizer steps at all
FINITE = {"losses/proposals.py: u"}  # how many proposals have a finite energy, and whether one is -inf
OF_LOSSES = {
    # Assignments are solved by SciPy.
    "FlowMatching, noisy and paired": {"losses/pairings/minibatch_ot.py: assign"},
    "FlowMatching, aligned": {"losses/pairings/equivariant_ot.py: _partners", "estimators/alignment.py: match_particles"},
    "ReverseKL": FINITE,
    "ReverseKL, of a molecule": FINITE,
    "ReactionCoordinate": {"losses/reaction_coordinate.py: forward"},  # whether any value is finite
    "ReweightedKL": FINITE,
    "ReweightedKL, of every mode": FINITE,
    "WeightedSum": FINITE,
}


def of_training_step(make, generator, energy):
    """A training step as Lightning has it, with the callbacks that work in every step."""
    module = BoltzmannGenerator(energy, TRAINED[generator](), make(), torch.optim.Adam)
    data = Data(batch_size=8)
    n = 20
    rng = torch.Generator().manual_seed(3)
    x = energy.exact_samples(n, rng) if energy.has_exact_samples else configurations(energy, n).float()
    callbacks = [EMA(), NonFiniteGuard()]
    strategy = SimpleNamespace(reduce_boolean_decision=lambda bad, all: bad)
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=7))
    trainer = SimpleNamespace(
        fit_loop=loop, world_size=1, global_rank=0, global_step=7, strategy=strategy, datamodule=data, training=True
    )
    module._trainer, module.log, module.log_dict = trainer, lambda *a, **k: None, lambda *a, **k: None
    for callback in callbacks:
        callback.setup(trainer, module, "fit")
    optimizer = SimpleNamespace(param_groups=[{"params": list(module.generator.parameters()), "lr": 1e-3}])
    trainer.optimizers = [optimizer]

    def run(rng, x):
        module._device = rng.device
        data.train = Dataset(x, x, x, x, {})
        module.zero_grad()
        callbacks[0]._steps = 0
        loss = module.training_step(0, 0)
        for callback in callbacks:
            callback.on_before_backward(trainer, module, loss)
        loss.backward()
        optimizer.param_groups[0]["params"] = list(module.generator.parameters())
        for callback in callbacks:
            callback.on_before_optimizer_step(trainer, module, optimizer)
        for callback in callbacks:
            callback.on_train_batch_end(trainer, module)
        return [loss.detach(), *module.loss.parts().values(), *learned([module.generator])]

    return Subject([module], [x], run)


@pytest.mark.parametrize("case", LOSSES)
def test_training_steps(case):
    check(lambda: of_training_step(*LOSSES[case]), GUARD | OF_LOSSES.get(case, set()), brings=True)


def test_every_loss_is_under_law():
    assert exported(losses, losses.Loss) == {case.split(",")[0] for case in LOSSES}


def of_kernel(make, system):
    """The beginning of a walk, and one move."""
    energy = system()
    kernel = make(energy)
    generator = getattr(kernel, "generator", None)
    x = configurations(energy, 4).float().repeat(kernel.replicas, *[1] * len(energy.space.shape))

    def run(rng, x):
        kernel.reset()
        moved = kernel.step(energy, kernel.init(energy, x, rng), rng)
        return [t for t in tree_leaves(moved) if isinstance(t, Tensor) and t.is_floating_point()]  # counters are the host's

    return Subject([energy] if generator is None else [energy, generator], [x], run)


def gaussian():
    """A system that lives where its parameters do."""
    return Gaussian(3, loc=[1.0, 0.0, -2.0], scale=[0.5, 1.0, 2.0])


def flow_on(energy):
    """A flow that proposes where its parameters are."""
    return CouplingFlow(blocks=1, hidden=(4,)).build(energy).requires_grad_(False)


KERNELS = {
    "Cycle": (lambda _: Cycle([Metropolis(0.1), MALA(0.1)]), gaussian),
    "Exchange": (lambda energy: Exchange(Langevin(0.01, 2), [energy.at(2.0), energy.at(4.0)]), gaussian),
    "HMC": (lambda _: HMC(0.01, 2, None), gaussian),
    "ISIR": (lambda energy: ISIR(3, flow_on(energy)), gaussian),
    "Independence": (lambda energy: Independence(2, flow_on(energy)), gaussian),
    "LatentWalk": (lambda energy: LatentWalk(0.1, None, flow_on(energy)), gaussian),
    "ULA": (lambda _: ULA(0.1), gaussian),
    "Langevin": (lambda _: Langevin(0.01, 2), gaussian),
    "MALA": (lambda _: MALA(0.1), gaussian),
    "Metropolis": (lambda _: Metropolis(0.1), gaussian),
    "Mixture": (lambda _: Mixture([Metropolis(0.1), MALA(0.1)], [0.5, 0.5]), gaussian),
    "OverdampedLangevin": (lambda _: OverdampedLangevin(0.01, 2), gaussian),
    "SpinFlip": (lambda _: SpinFlip(), lambda: Ising(3)),
    "TorsionMoves": (lambda _: TorsionMoves(1), lambda: MOLECULE),
}
OF_KERNELS = {  # a move asks what to do
    "HMC": {"kernels/hmc.py: propose"},  # how many steps
    "LatentWalk": {"spaces/vectors.py: _circles"},  # the ends of circles are sent
    "Mixture": {"kernels/mixture.py: step"},  # which kernel
    "SpinFlip": {"kernels/spin_flip.py: step"},  # the values of spins are sent
    "TorsionMoves": {"kernels/torsion_moves.py: turn"},  # which were accepted, and the bonds are sent
}


@pytest.mark.parametrize("case", KERNELS)
def test_kernels(case):
    check(lambda: of_kernel(*KERNELS[case]), OF_KERNELS.get(case, ()), counts=case == "Exchange")


def test_every_kernel_is_under_law():
    assert exported(kernels, kernels.Kernel) == set(KERNELS)


RANDOM = torch.Generator().manual_seed(5)
LOG_W = torch.randn(200, generator=RANDOM)
SERIES = torch.randn(64, 4, generator=RANDOM)
EDGES = torch.linspace(-2, 2, 9)
PAIRED = torch.randn(2, 6, 4, 3, generator=RANDOM)
OFFSETS = torch.tensor([0.0, 0.5, 1.0])
ENERGIES = OFFSETS[:, None] * SERIES[:, :3].T.reshape(-1)[None] ** 2  # of three states
COUNTS = torch.tensor([64, 64, 64])
LADDER = torch.stack([SERIES[:, :, None].expand(-1, -1, 3) ** 2 / (0.5 + a) for a in OFFSETS])  # (K, T, W, K)
LABEL = (SERIES[:, :, None].expand(-1, -1, 3) > 0).long()
FREE = torch.zeros(3, dtype=torch.float64)
TYPES = torch.tensor([0, 0, 1, 1])
INSIDE = LOG_W > 0.3
OVERLAP = torch.softmax(SERIES[:4], 1)
GROUPS = torch.arange(200) // 10
POPULATIONS = LOG_W.reshape(8, 25)
ANCESTORS = (torch.arange(25) // 2).repeat(8, 1)
ESTIMATES = {  # a function of tensors, and the tensors
    "align": (lambda x, y, types: estimators.align(x, y, Moves(types, True, True), 3), *PAIRED, TYPES),
    "balance": (lambda w, label: estimators.balance(w, label, 2, 0.3), LOG_W.exp(), INSIDE.long()),
    "average": (lambda a, w: estimators.average(a, w, "draws"), LOG_W.sin(), LOG_W),
    "average, of chains": (lambda a, w: estimators.average(a, w, "chains"), SERIES.sin(), SERIES),
    "average, of populations": (lambda a, w: estimators.average(a, w, "populations"), SERIES.sin(), SERIES),
    "bar": (estimators.bar, LOG_W, LOG_W.sin()),
    "bar_overlap": (lambda f, r: estimators.bar_overlap(f, r, 0.2), LOG_W, LOG_W.sin()),
    "bar_terms": (lambda f, r: estimators.bar_terms(f, r, 0.2), LOG_W, LOG_W.sin()),
    "bootstrap": (lambda x, g: estimators.bootstrap(lambda x: x.mean(), (x,), 4, torch.Generator(), (g,)), LOG_W, GROUPS),
    "bootstrap_error": (lambda x: estimators.bootstrap_error(x, 16), LOG_W),
    "circular_basins": (lambda a: estimators.circular_basins(a, 100.0), LOG_W % 3),
    "count_ancestors": (estimators.count_ancestors, POPULATIONS, ANCESTORS),
    "count_entries": (lambda label: estimators.count_entries(label, 2), LABEL[..., 0]),
    "density": (estimators.density, SERIES, LOG_W[:64], EDGES),
    "effective_ancestors": (estimators.effective_ancestors, POPULATIONS, ANCESTORS, POPULATIONS > 0),
    "effective_count": (estimators.effective_count, LOG_W, LOG_W, EDGES),
    "effective_in": (estimators.effective_in, INSIDE, LOG_W),
    "effective_samples": (lambda w, s: estimators.effective_samples(w, "chains", s[None]), SERIES, SERIES.sin()),
    "ess": (estimators.ess, LOG_W),
    "ess_with_error": (estimators.ess_with_error, LOG_W),
    "expectation": (estimators.expectation, LOG_W.sin(), LOG_W),
    "expectation, of an event": (estimators.expectation, INSIDE, LOG_W),
    "forward_ess": (estimators.forward_ess, LOG_W),
    "forward_ess_with_error": (estimators.forward_ess_with_error, SERIES),
    "forward_log_z": (estimators.forward_log_z, SERIES),
    "geometric_w2": (lambda x, y, types: estimators.geometric_w2(x, y, Moves(types, True, True)), *PAIRED, TYPES),
    "geometric_w2, of vectors": (estimators.geometric_w2, SERIES[:8], SERIES[8:20]),
    "ladder_populations": (lambda u, label: estimators.ladder_populations(u, label, 2), LADDER, LABEL),
    "log_norm": (lambda w: estimators.log_norm(w, "draws"), LOG_W),
    "log_norm, of chains": (lambda w: estimators.log_norm(w, "chains"), SERIES),
    "log_norm, of populations": (lambda w: estimators.log_norm(w, "populations"), SERIES),
    "log_z": (estimators.log_z, LOG_W),
    "mbar": (estimators.mbar, ENERGIES, COUNTS),
    "mbar_covariance": (estimators.mbar_covariance, ENERGIES, COUNTS, FREE),
    "mbar_events": (estimators.mbar_events, ENERGIES, ENERGIES[0], torch.stack([INSIDE, ~INSIDE])[:, :192], COUNTS, FREE),
    "mbar_log_weights": (estimators.mbar_log_weights, ENERGIES, ENERGIES[0], COUNTS, FREE),
    "mean_of_walkers": (estimators.mean_of_walkers, SERIES.repeat(1, 2).sin()),
    "mean_with_error": (estimators.mean_with_error, SERIES),
    "multinomial": (lambda log_w: estimators.multinomial(log_w, torch.Generator().manual_seed(0)), LOG_W),
    "next_to_diagonal": (estimators.next_to_diagonal, OVERLAP),
    "overlap_matrix": (estimators.overlap_matrix, ENERGIES, COUNTS, FREE),
    "overlap_matrix, of equal counts": (lambda u, n, f: estimators.overlap_matrix(u, n, f, True), ENERGIES, COUNTS, FREE),
    "pareto_k": (estimators.pareto_k, LOG_W),
    "populations_disagree": (estimators.populations_disagree, POPULATIONS, ANCESTORS, POPULATIONS.sin()),
    "profile": (estimators.profile, LOG_W, LOG_W, EDGES),
    "profile, of a circle": (lambda a, edges: estimators.profile(a, None, edges, periodic=True), LOG_W, EDGES),
    "r_hat": (estimators.r_hat, SERIES),
    "raise_shares": (estimators.raise_shares, LOG_W.exp(), torch.full((200,), 0.002)),
    "resample": (lambda log_w: estimators.resample(log_w, 50, torch.Generator().manual_seed(0)), SERIES),
    "shell_factor": (lambda edges: estimators.shell_factor(edges, 4, 3), EDGES + 2),
    "smooth_weights": (lambda log_w: [*(s := estimators.smooth_weights(log_w)), *s.ess(), *s.mean(log_w.sin())], LOG_W),
    "statistical_inefficiency": (estimators.statistical_inefficiency, SERIES),
    "systematic": (lambda log_w: estimators.systematic(log_w, torch.Generator().manual_seed(0)), SERIES),
    "profile, of chains": (lambda a, edges: estimators.profile(a, None, edges, dependence="chains"), SERIES, EDGES),
    "surface": (lambda a, b, log_w, e: estimators.surface(a, b, log_w, (e, e)), LOG_W, LOG_W.sin(), LOG_W, EDGES),
    "surface, of populations": (
        lambda a, b, w, e: estimators.surface(a, b, w, (e, e), dependence="populations"),
        SERIES,
        SERIES.sin(),
        SERIES,
        EDGES,
    ),
    "tail": (estimators.tail, LOG_W, LOG_W.sin()),
    "tail_share": (estimators.tail_share, LOG_W),
    "unproposed_share": (lambda log_w: estimators.unproposed_share(log_w, 0.0, 10), SERIES),
    "upper_limit": (estimators.upper_limit, INSIDE, LOG_W),
    "virial": (lambda x: estimators.virial(DoubleWell(), x), SERIES[:, :2]),
    "virial_terms": (lambda x: estimators.virial_terms(DoubleWell(), x), SERIES[:, :2]),
    "wasserstein": (estimators.wasserstein, SERIES, SERIES[:8].cos(), LOG_W[:64]),
    "weakest_link": (estimators.weakest_link, OVERLAP),
    "work_bounds": (estimators.work_bounds, LOG_W, SERIES),
}
NO_TENSORS = {"Moves", "Smoothed", "SmoothedWeights", "Tail", "ess_is_known", "least_overlap", "group_frames", "subsample"}
NO_TENSORS |= {"Bounds", "Convergence", "both_directions"}  # which leave tensors to a function of numbers


@pytest.mark.parametrize("case", ESTIMATES)
def test_estimators(case):
    """Numbers with error bars are for the host, so that they are read is no fault; that all lies on one device is asked."""
    function, *given = ESTIMATES[case]
    right = function(*given)
    with watched() as watch:
        found = function(*map(watch.there, given))
    for a, b in zip(tree_leaves(found), tree_leaves(right), strict=True):
        a = a.here if isinstance(a, Remote) else a
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_every_estimator_is_under_law():
    assert set(estimators.__all__) - NO_TENSORS == {case.split(",")[0] for case in ESTIMATES}


class LeftBehind(DoubleWell):
    """Its constant was made on the CPU."""

    def potential(self, x):
        return super().potential(x) + (x * torch.ones(2)).sum(-1)


class Returned(DoubleWell):
    """Its values are on the CPU."""

    def potential(self, x):
        return super().potential(x).cpu()


class Asking(DoubleWell):
    """It looks at a number."""

    def potential(self, x):
        return super().potential(x if x.sum() > 0 else 1 * x)


class Uploading(DoubleWell):
    """It sends its constant in every call."""

    def potential(self, x):
        return super().potential(x) + (x * torch.tensor([1.0, 2.0], device=x.device)).sum(-1)


class Following(Gaussian):
    """It sends its parameters wherever the configurations are."""

    def potential(self, x):
        return ((x - self.mean.to(x)) ** 2).sum(-1)


class NoiseAtHome(ForwardKL):
    """It draws on the CPU, with no stream or with that of the device."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def forward(self, batch):
        x = batch.frames.x
        return -self.generator.log_prob(x + torch.randn(x.shape, generator=batch.rng("noise") if self.stream else None)).mean()


WRONG = {
    "a constant": (lambda: of_energy(LeftBehind), RuntimeError, "same device"),
    "a result": (lambda: of_energy(Returned), (RuntimeError, AssertionError), None),
    "a question": (lambda: of_energy(Asking), AssertionError, "read"),
    "a copy": (lambda: of_energy(Uploading), AssertionError, "upload"),
    "parameters": (lambda: of_energy(lambda: Following(2)), pytest.fail.Exception, "DID NOT RAISE"),
    "noise": (lambda: of_training_step(lambda: NoiseAtHome(False), "CouplingFlow", DoubleWell()), RuntimeError, "same device"),
    "a stream": (lambda: of_training_step(lambda: NoiseAtHome(True), "CouplingFlow", DoubleWell()), RuntimeError, "generator"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_law_is_broken_by(case):
    make, error, sentence = WRONG[case]
    with pytest.raises(error, match=sentence):
        check(make, GUARD if "noise" in case or "stream" in case else ())


@pytest.mark.parametrize(("energy", "allowed"), [(DoubleWell, True), (Asking, False), (LeftBehind, False), (Returned, False)])
def test_a_device_without_numbers_refuses_what_it_should(energy, allowed):
    if allowed:
        asks_for_no_number(lambda: of_energy(energy))
    else:
        with pytest.raises((RuntimeError, AssertionError, *READS)):
            asks_for_no_number(lambda: of_energy(energy))
