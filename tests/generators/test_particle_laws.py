"""Laws of every generator on particles: without a centre of mass, in a trap, and of a molecule."""

import math

import pytest
import torch

from lit_bg.bases import Crystal, Harmonic, Known
from lit_bg.energies import Energy, Molecule
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion, FoldedFlow, ReverseDiffusion
from lit_bg.nets import EGNN, KernelField, TensorProductField
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Particles
from lit_bg.testing import GENERATOR_LAWS, DoesNotApply, GeneratorCase
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
STEPS = RungeKutta4(8)
GENERATORS = {
    "EGNN": lambda: ContinuousFlow(EGNN(1, 6), solver=STEPS),
    "KernelField": lambda: ContinuousFlow(KernelField(), solver=STEPS),
    "TensorProductField": lambda: ContinuousFlow(TensorProductField(), solver=RungeKutta4(2)),
    "Diffusion": lambda: Diffusion(KernelField(), solver=RungeKutta4(16)),
    "ReverseDiffusion": lambda: ReverseDiffusion(KernelField(), steps=20),
    "from another system": lambda: ContinuousFlow(KernelField(), prior=Known(Springs()), solver=STEPS),
    "from a lattice": lambda: ContinuousFlow(KernelField(), prior=Crystal(), solver=STEPS),
    "FoldedFlow": lambda: FoldedFlow(EGNN(1, 6), prior=Harmonic(), solver=RungeKutta4(2)),
    "InternalCoordinates": lambda: CouplingFlow(blocks=1, hidden=(8,), coordinates=InternalCoordinates()),
}
CASES = [
    *((g, s) for g in ("EGNN", "KernelField") for s in ("plane", "space")),
    *((g, "plane") for g in ("Diffusion", "ReverseDiffusion")),
    *((g, "trap") for g in ("KernelField", "ReverseDiffusion")),  # the others when slow
    *(pytest.param((g, "trap"), marks=pytest.mark.slow) for g in ("EGNN", "Diffusion")),
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
    @pytest.mark.parametrize("law", GENERATOR_LAWS)
    def test_obeys_every_law(self, case, law):
        """Errors of log q are those of the solvers; not every feature of a field reaches what is proposed."""
        unbuilt, how = GENERATORS[case[0]](), {"tolerance": 5e-3, "single": 0.5, "draws": 1500, "reached": 0.5}
        try:
            GENERATOR_LAWS[law](GeneratorCase(make(case), SYSTEMS[case[1]], unbuilt, **how))
        except DoesNotApply:
            silent = {"norm", "conditions"} | ({"inverse"} if case[1] == "molecule" else set())
            silent |= (
                {"density", "single precision", "edges", "inverse", "Jacobian"} if case[0] == "ReverseDiffusion" else set()
            )
            silent |= {"log Z"} if case[1] == "molecule" or case[0] == "from a lattice" else set()
            assert law in silent or (law == "edges" and case[1] == "trap")
            raise

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
