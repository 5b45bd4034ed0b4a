"""Laws of every generator on particles: without a centre of mass, in a trap, and of a molecule."""

import copy
import math

import pytest
import torch

from lit_bg.bases import Crystal, Harmonic, Known
from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import Energy, Molecule
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion, FoldedFlow, ReverseDiffusion
from lit_bg.nets import EGNN, KernelField, TensorProductField
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Particles
from lit_bg.transforms import InternalCoordinates


class Springs(Energy):
    """Particles on springs to their common centre, or to the origin (a trap); log Z and samples are known."""

    def __init__(self, n=4, d=2, trap=False):
        super().__init__()
        self.space, self.trap = Particles(n, d, (0,) * n, centred=not trap), trap
        self.symmetries = frozenset({"rotation", "reflection"} if trap else {"translation", "rotation", "reflection"})

    def potential(self, x):
        y = x if self.trap else x - x.mean(1, keepdim=True)
        return 0.5 * y.square().flatten(1).sum(1)

    @property
    def log_Z(self):
        return 0.5 * self.space.dof * math.log(2 * math.pi)

    def exact_samples(self, n, rng):
        x = torch.randn(n, *self.event_shape, generator=rng)
        return x if self.trap else x - x.mean(1, keepdim=True)


MOLECULE = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml"])
SYSTEMS = {"plane": Springs(), "space": Springs(3, 3), "trap": Springs(3, 3, trap=True), "molecule": MOLECULE}
STEPS = RungeKutta4(20)
GENERATORS = {
    "EGNN": lambda: ContinuousFlow(EGNN(1, 6), solver=STEPS),
    "KernelField": lambda: ContinuousFlow(KernelField(), solver=STEPS),
    "TensorProductField": lambda: ContinuousFlow(TensorProductField(), solver=RungeKutta4(2)),
    "Diffusion": lambda: Diffusion(KernelField(), solver=RungeKutta4(40)),
    "ReverseDiffusion": lambda: ReverseDiffusion(KernelField(), steps=20),
    "from another system": lambda: ContinuousFlow(KernelField(), prior=Known(Springs()), solver=STEPS),
    "from a lattice": lambda: ContinuousFlow(KernelField(), prior=Crystal(), solver=STEPS),
    "FoldedFlow": lambda: FoldedFlow(EGNN(1, 6), prior=Harmonic(), solver=RungeKutta4(2)),
    "InternalCoordinates": lambda: CouplingFlow(blocks=1, hidden=(8,), coordinates=InternalCoordinates()),
}
CASES = [
    *((g, s) for g in ("EGNN", "KernelField", "Diffusion", "ReverseDiffusion") for s in ("plane", "space", "trap")),
    pytest.param(("TensorProductField", "space"), marks=pytest.mark.slow),  # its divergence has no short form
    ("from another system", "plane"),
    ("from a lattice", "plane"),
    pytest.param(("FoldedFlow", "molecule"), marks=pytest.mark.slow),
    ("InternalCoordinates", "molecule"),
]
REFUSED = {
    ("TensorProductField", "plane"): "moves particles in three dimensions, Springs has 4 particles in 2",
    ("from another system", "space"): "differ in shape",
    ("FoldedFlow", "plane"): "folds arrangements of molecules, and Springs is none",
    ("InternalCoordinates", "plane"): "needs a molecule with bonds",
}


def make(case, dtype=torch.float64):
    generator, system = case
    torch.manual_seed(0)
    made = GENERATORS[generator]().build(SYSTEMS[system])
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return made.to(dtype)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("case", "sentence"), REFUSED.items(), ids=str)
def test_what_does_not_fit_is_refused(case, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(case)


@pytest.mark.parametrize("case", CASES, ids=str)
class TestEveryGeneratorOfParticles:
    def test_samples_have_the_density_they_come_with(self, case):
        generator, energy = make(case), SYSTEMS[case[1]]
        x, log_q = generator.sample(6, rng())
        assert x.shape == (6, *energy.event_shape)
        assert torch.equal(x, generator.sample(6, rng())[0])
        assert not torch.equal(x, generator.sample(6, rng(1))[0])
        if generator.has_log_prob:
            fine = torch.isfinite(log_q)
            torch.testing.assert_close(generator.log_prob(x)[fine], log_q[fine], rtol=0, atol=5e-3)  # errors of the solver
            torch.testing.assert_close(generator.log_prob(x[fine][:1]), generator.log_prob(x[fine])[:1], rtol=0, atol=1e-8)

    def test_float32_is_good_enough_for_weights(self, case):
        generator = make(case, torch.float32)
        x, log_q = generator.sample(20, rng())
        assert x.dtype == log_q.dtype == torch.float32
        if generator.has_log_prob:
            fine = torch.isfinite(log_q)
            assert (make(case).log_prob(x[fine].double()) - log_q[fine]).abs().mean() < 1e-2

    def test_nothing_is_put_on_the_centre_of_mass(self, case):
        energy = SYSTEMS[case[1]]
        generator = make(case)
        x, _ = generator.sample(5, rng())
        if energy.space.centred and generator.has_log_prob:
            assert x.mean(1).abs().max() < 1e-6
            torch.testing.assert_close(generator.log_prob(x + 0.3), generator.log_prob(x))

    def test_gradients_reach_every_parameter(self, case):
        generator = make(case)
        x, log_q = generator.sample(8, rng())
        fine = torch.isfinite(log_q)
        (x[fine].square().sum() + log_q[fine].sum()).backward()
        gradients = [p.grad for p in generator.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert sum(float(g.abs().max()) > 0 for g in gradients) > 0.5 * len(list(generator.parameters()))

    def test_copies_and_states_are_the_same(self, case):
        generator = make(case)
        other = GENERATORS[case[0]]().build(SYSTEMS[case[1]]).double()
        other.load_state_dict(generator.state_dict())
        x = generator.sample(4, rng())[0]
        assert torch.equal(other.sample(4, rng())[0], x)
        assert torch.equal(copy.deepcopy(generator).sample(4, rng())[0], x)

    def test_log_q_is_the_density_of_the_map(self, case):
        generator = make(case)
        found = density_defect(generator, SYSTEMS[case[1]], rng(), samples=3)
        if case[0] == "ReverseDiffusion":
            assert found is None  # the weight of a path
        else:
            assert found.agrees
            assert found.worst < 2e-2

    def test_weights_give_log_z(self, case):
        """Of a generator that has learned nothing, within 4 sigma."""
        energy = SYSTEMS[case[1]]
        if energy is MOLECULE or case[0] == "from a lattice":
            pytest.skip("log Z is not known, or the base has nothing in common with the target")
        with torch.no_grad():
            x, log_q = make(case).sample(1500, rng(2))
        w = (-energy(x) - log_q - energy.log_Z).exp()
        error = (w.std() / len(w) ** 0.5).item()
        assert error < 0.5
        assert abs(w.mean().item() - 1) < 4 * error

    def test_declared_invariances_hold(self, case):
        generator, energy = make(case), SYSTEMS[case[1]]
        if not generator.has_log_prob or energy is MOLECULE:
            pytest.skip("no density, or folded onto one arrangement")
        x, _ = generator.sample(4, rng())
        d = energy.event_shape[1]
        turn = torch.linalg.qr(torch.randn(d, d, generator=rng(1), dtype=x.dtype))[0]
        turn[:, 0] *= torch.linalg.det(turn)
        if {"rotation"} <= generator.field.symmetries & generator.prior.symmetries:
            torch.testing.assert_close(generator.log_prob(x @ turn), generator.log_prob(x), rtol=0, atol=1e-7)
        if {"reflection"} <= generator.field.symmetries & generator.prior.symmetries:
            torch.testing.assert_close(generator.log_prob(-x), generator.log_prob(x), rtol=0, atol=1e-7)
        if generator.field.exchangeable and generator.prior.exchangeable:
            torch.testing.assert_close(generator.log_prob(x.flip(1)), generator.log_prob(x), rtol=0, atol=1e-7)
