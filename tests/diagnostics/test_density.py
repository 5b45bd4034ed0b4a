"""Log q of a transport against the determinant of its map."""

import math

import pytest
import torch

from lit_bg.bases import Known, Normal
from lit_bg.bases.base import is_normalised
from lit_bg.bases.canonical import Canonical
from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import DW4, DoubleWell, Molecule
from lit_bg.generators import ContinuousFlow, CouplingFlow
from lit_bg.nets import EGNN, KernelField, MLPField
from lit_bg.spaces import Vectors
from lit_bg.transforms import InternalCoordinates


def shaken(generator, energy, by=0.1):
    torch.manual_seed(0)
    generator = generator.build(energy)
    for p in generator.parameters():
        torch.nn.init.normal_(p, std=by)
    return generator


def defect(generator, energy):
    return density_defect(generator, energy, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("field", [lambda: EGNN(1, 8), lambda: KernelField()], ids=["EGNN", "KernelField"])
def test_particles_without_a_centre_of_mass(field):
    found = defect(shaken(ContinuousFlow(field()), DW4()), DW4())
    assert found.agrees
    assert found.worst < 1e-3


def test_a_solver_is_asked_one_configuration_at_a_time():
    """Its graph holds every evaluation: of 55 particles eight at once took 20 GB."""
    flow, sizes = shaken(ContinuousFlow(KernelField()), DW4()), []

    class Watched(ContinuousFlow):
        def forward(self, z, context=None):
            sizes.append(len(z))
            return super().forward(z, context)

    flow.__class__ = Watched
    assert defect(flow, DW4()).agrees
    assert sizes == [1] * 8


def test_a_shape_with_a_drawn_orientation():
    molecule = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml", "implicit/obc1.xml"])
    flow = shaken(CouplingFlow(blocks=1, hidden=(8,), coordinates=InternalCoordinates()), molecule)
    before, state = molecule.n_values, torch.get_rng_state()
    found = defect(flow, molecule)
    assert found.agrees
    assert found.worst < 1e-8
    assert molecule.n_values == before
    assert torch.equal(torch.get_rng_state(), state)


class Forgetful(CouplingFlow):
    """Leaves its Jacobian out, in `sample` and where asked in `log_prob`."""

    def sample(self, n, rng, context=None):
        z, log_p = self.prior.sample(n, rng)
        return self(z)[0], log_p


class Constant(CouplingFlow):
    """Has lost a constant of its norm."""

    def forward(self, z, context=None):
        x, ladj = super().forward(z, context)
        return x, ladj - 0.2

    def inverse(self, x, context=None):
        z, ladj = super().inverse(x, context)
        return z, ladj + 0.2


class Elsewhere(CouplingFlow):
    """Its inverse leads to another place, with the density of that."""

    def inverse(self, x, context=None):
        return super().inverse(x + 0.1, context)


@pytest.mark.parametrize("kind", [Forgetful, Constant, Elsewhere])
def test_a_wrong_density_is_found(kind):
    found = defect(shaken(kind(blocks=1, hidden=(8,)), DoubleWell()), DoubleWell())
    assert not found.agrees


def test_a_constant_is_found_with_its_size():
    found = defect(shaken(Constant(blocks=1, hidden=(8,)), DoubleWell()), DoubleWell())
    assert found.mean == pytest.approx(0.2)


class Loose(Canonical):
    """A density without its norm."""

    def log_prob(self, z):
        return super().log_prob(z) + 1.0


def test_a_base_must_say_itself_that_it_is_normalised():
    assert is_normalised(Canonical().on(Vectors(2)))
    assert is_normalised(Normal())
    assert is_normalised(Known(DoubleWell()))
    assert not is_normalised(Loose().on(Vectors(2)))
    flow = shaken(CouplingFlow(blocks=1, hidden=(8,)), DoubleWell())
    flow.prior = Loose().on(Vectors(2))
    assert defect(flow, DoubleWell()) is None


def test_a_compiled_flow_is_asked_without_compiling():
    flow = shaken(CouplingFlow(blocks=1, hidden=(8,), compile=True), DoubleWell())
    assert defect(flow, DoubleWell()).agrees


@pytest.mark.parametrize(
    "base", [Canonical().on(Vectors(3)), Normal(1.3).build(DoubleWell(dim=3))], ids=["Canonical", "Normal"]
)
def test_bases_integrate_to_one(base):
    """Against a wider normal density, within 4 standard errors."""
    g = torch.Generator().manual_seed(0)
    x = 1.7 * torch.randn(20_000, 3, generator=g)
    log_q = -0.5 * (x / 1.7).square().sum(1) - 3 * (math.log(1.7) + 0.5 * math.log(2 * math.pi))
    ratio = (base.log_prob(x) - log_q).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20_000**0.5


def test_what_is_no_transport_or_too_large_is_unknown():
    assert defect(shaken(ContinuousFlow(MLPField((4,))), DoubleWell(dim=300)), DoubleWell(dim=300)) is None


@pytest.mark.parametrize(("slow", "told"), [({0}, True), ({0, 1}, True), (set(range(8)), False)])
def test_a_busy_moment_of_the_machine_decides_nothing(slow, told, monkeypatch):
    """Rows of the Jacobian that take ten seconds by the clock: some of eight, or all."""
    ticks = (second for row in range(8) for second in (100.0 * row, 100.0 * row + (10.0 if row in slow else 0.01)))
    monkeypatch.setattr("lit_bg.diagnostics.density.time.monotonic", lambda: next(ticks))
    energy = DoubleWell(8)
    assert (defect(shaken(CouplingFlow(blocks=1, hidden=(8,)), energy), energy) is not None) == told
