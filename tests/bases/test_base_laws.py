"""Bases: what they sample has the density they say, and the density is one; what does not fit is refused."""

import itertools
import math

import pytest
import torch

import lit_bg.bases
from lit_bg.bases import BaseDensity, Canonical, Crystal, Harmonic, Known, Normal, PeriodicCrystal
from lit_bg.energies import DW4, CoulombGas, DoubleWell, Energy, Gaussian, GaussianMixture, LennardJones, Molecule
from lit_bg.estimators import log_z
from lit_bg.generators import ContinuousFlow
from lit_bg.nets import MLPField
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Particles


class Trap(Energy):
    """Particles of one type in a harmonic trap."""

    symmetries = frozenset({"rotation", "reflection"})

    def __init__(self):
        super().__init__()
        self.space = Particles(3, 2, (0, 0, 0), centred=False)

    def potential(self, x):
        return x.square().flatten(1).sum(-1) / 2

    @property
    def log_Z(self):
        return 3 * math.log(2 * math.pi)

    def exact_samples(self, n, rng):
        return torch.randn(n, 3, 2, generator=rng)


class Cell(Energy):
    """Four particles of one type in a periodic cell."""

    def __init__(self, box=((2.5, 0.0), (0.0, 3.0)), centred=False):
        super().__init__()
        self.space = Particles(4, 2, (0,) * 4, centred=centred, box=torch.tensor(box))
        self.symmetries = frozenset({"translation"})

    def potential(self, x):
        return 0 * x.flatten(1).sum(-1)

    @property
    def initial(self):
        return torch.tensor([[[0.2, 0.3], [1.4, 0.4], [0.3, 1.8], [1.5, 1.9]]])


TRICLINIC = ((2.5, 0.0), (1.1, 2.0))
CHAIN = [(0, 1), (1, 2), (2, 3)]
CASES = {  # base, system, and the width of a normal density that covers the base
    "normal": (Normal, DoubleWell(), 1.3),
    "wide": (lambda: Normal(3.0), DW4(), 3.6),
    "springs": (lambda: Harmonic(CHAIN), DW4(), 1.8),
    "springs between all": (lambda: Harmonic(list(itertools.combinations(range(4), 2))), DW4(), 1.3),
    "lattice": (lambda: Crystal(1.0), LennardJones(3, factor=1), 1.6),
    "sites in a trap": (lambda: Crystal(0.8, [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), CoulombGas(3), 1.6),
    "known particles": (lambda: Known(Trap()), CoulombGas(3), 1.3),
    "known": (lambda: Known(DoubleWell()), DoubleWell(), 2.5),
    "canonical": (Canonical, DoubleWell(), 1.3),
    "crystal in a cell": (lambda: PeriodicCrystal(0.2), Cell(), None),
    "crystal in a triclinic cell": (lambda: PeriodicCrystal(0.9), Cell(TRICLINIC), None),
    "crystal without translations": (lambda: PeriodicCrystal(0.1), Cell(centred=True), None),
}


def test_every_exported_base_is_under_law():
    exported = {c for c in vars(lit_bg.bases).values() if isinstance(c, type) and issubclass(c, BaseDensity)}
    assert exported - {BaseDensity} == {type(make()) for make, _, _ in CASES.values()}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("make", "energy", "width"), CASES.values(), ids=CASES)
class TestEveryBase:
    def test_samples_have_the_density_they_come_with(self, make, energy, width):
        base = make().build(energy).double()
        z, log_p = base.sample(20, rng())
        assert z.shape == (20, *energy.event_shape)
        torch.testing.assert_close(base.log_prob(z), log_p, rtol=0, atol=1e-5)  # tables are made in float32
        assert torch.equal(base.sample(20, rng())[0], z)

    def test_it_is_normalised(self, make, energy, width):
        """By weights of samples of a normal density in the degrees of freedom of the system, within 4 sigma."""
        base = make().build(energy).double()
        cover = PeriodicCrystal(1.3 * base.width) if width is None else Normal(width)
        cover.build(energy).double()
        z, log_p = cover.sample(20_000, rng(1))
        value, error = log_z(base.log_prob(z) - log_p)
        assert error < 0.05
        assert abs(value) < 4 * error


PARTICLES = {name: case[:2] for name, case in CASES.items() if case[1].space.types is not None}


@pytest.mark.parametrize(("make", "energy"), PARTICLES.values(), ids=PARTICLES)
def test_every_base_has_the_symmetries_it_declares_and_no_other(make, energy):
    base = make().build(energy).double()
    z, log_p = base.sample(10, rng())
    d = z.shape[-1]
    mirror = torch.ones(d, dtype=z.dtype)
    mirror[0] = -1
    angle = torch.tensor(0.7, dtype=z.dtype)
    rotation = torch.eye(d, dtype=z.dtype)
    rotation[:2, :2] = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    moved = {"translation": z + 0.3, "rotation": z @ rotation, "reflection": z * mirror, "exchange": z.roll(1, 1)}
    same = {move for move, x in moved.items() if torch.allclose(base.log_prob(x), log_p, atol=1e-4)}
    assert same - {"exchange"} == base.symmetries
    assert ("exchange" in same) == base.exchangeable


class TestPeriodicCrystal:
    @pytest.mark.parametrize("width", [0.05, 0.4, 3.0])
    def test_one_particle_in_the_plane_by_quadrature(self, width):
        """The trapezoid rule over a triclinic cell is exact for what is periodic and smooth."""
        energy = Cell(TRICLINIC)
        energy.space = Particles(1, 2, centred=False, box=torch.tensor(TRICLINIC))
        base = PeriodicCrystal(width, sites=[[0.4, 0.7]]).build(energy).double()
        g = torch.arange(300, dtype=torch.float64) / 300
        x = torch.cartesian_prod(g, g) @ energy.space.cell
        total = base.log_prob(x[:, None]).exp().mean() * energy.space.volume
        assert total.item() == pytest.approx(1.0, abs=1e-6)

    def test_32_particles_by_importance_sampling(self):
        """E_p[q / p] = 1 of another crystal q, within 4 sigma, where q reaches around the cell."""
        energy = Cell(TRICLINIC)
        energy.space = Particles(32, 2, centred=False, box=5 * torch.tensor(TRICLINIC))
        sites = torch.rand(32, 2, generator=rng()) * 5
        q, p = (PeriodicCrystal(w, sites.tolist()).build(energy).double() for w in (1.0, 1.1))
        x, log_p = p.sample(40_000, rng(1))
        assert energy.space.contains(x).all()
        torch.testing.assert_close(energy.space.wrap(x), x)
        value, error = log_z(q.log_prob(x) - log_p)
        assert error < 0.02
        assert abs(value) < 4 * error

    def test_moved_around_the_cell_it_is_the_same(self):
        energy = Cell(TRICLINIC)
        base = PeriodicCrystal(0.5).build(energy).double()
        x, log_p = base.sample(10, rng())
        turns = torch.randint(-3, 4, x.shape, generator=rng()).double() @ energy.space.cell
        torch.testing.assert_close(base.log_prob(x + turns), log_p)


def test_bonds_of_a_molecule():
    molecule = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml"])
    base = Harmonic().build(molecule)
    z, log_p = base.sample(2000, rng())
    torch.testing.assert_close(base.log_prob(z), log_p, rtol=1e-5, atol=1e-3)
    i, j = torch.tensor(molecule.bonds).T
    distances = torch.cdist(z, z)
    assert distances[:, i, j].mean() < 0.6 * distances.mean()


def test_springs():
    """Mean squares by the pseudo-inverse of the Laplacian, within 4 sigma; the mean width is one."""
    z, _ = Harmonic(CHAIN).build(DW4()).double().sample(40_000, rng())
    laplacian = torch.tensor([[1.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 1]], dtype=torch.float64)
    inverse = torch.linalg.pinv(laplacian)
    inverse *= 3 / inverse.trace()
    found = torch.einsum("bid,bjd->ij", z, z) / (2 * len(z))
    assert ((found - inverse).abs() < 4 * inverse.diagonal().max() / math.sqrt(len(z))).all()


def test_a_flow_from_another_system():
    """Another Gaussian as base: log Z of the target within 4 sigma."""
    energy = Gaussian(2, scale=[0.8, 1.1])
    torch.manual_seed(0)
    flow = ContinuousFlow(MLPField((8,)), Known(Gaussian(2, scale=[1.0, 1.3])), RungeKutta4(10)).build(energy).double()
    with torch.no_grad():
        x, log_q = flow.sample(4000, rng())
    value, error = log_z(-energy(x) - log_q)
    assert abs(value - energy.log_Z) < 4 * error
    assert error < 0.1


def test_what_does_not_fit_is_refused():
    refused = [
        (lambda: Harmonic(CHAIN).build(CoulombGas(4)), "do not hold CoulombGas in its place"),
        (lambda: Harmonic().build(DW4()), "DW4 has no bonds: give Harmonic its springs"),
        (lambda: Harmonic([(0, 1), (2, 3)]).build(DW4()), "leave some of the 4 particles of DW4 unconnected"),
        (lambda: Harmonic([(0, 4)]).build(DW4()), "tie two of the particles 0 to 3 of DW4"),
        (lambda: Known(LennardJones(5, factor=1)), "LennardJones has no exact samples or no exact log Z"),
        (lambda: Known(GaussianMixture.forty()).build(DoubleWell(3)), "differ in shape"),
        (lambda: Normal(-1.0), "needs width > 0, got -1"),
        (lambda: Crystal(0.0), "needs width > 0, got 0"),
        (lambda: Crystal().build(DoubleWell()), "hold particles, and DoubleWell has 2 coordinates"),
        (lambda: Crystal().build(Cell()), "wrapped: use PeriodicCrystal"),
        (lambda: Normal().build(Cell()), "lives on lines, and Cell has 4 particles"),
        (lambda: PeriodicCrystal(0.1).build(DW4()), "in a periodic cell, and DW4 has 4 particles"),
        (lambda: PeriodicCrystal(0.3).build(Cell(centred=True)), "translations do not count there"),
        (lambda: PeriodicCrystal(0.1, [[0.0, 0.0]]).build(Cell()), "needs as many sites"),
        (lambda: PeriodicCrystal(-0.1), "need width > 0"),
        (lambda: Canonical().build(DW4()), "lives on vectors"),
        (lambda: Crystal(sites=[[0.0, 1.0]]).build(DW4()), "needs as many sites"),
    ]
    for make, message in refused:
        with pytest.raises(ValueError, match=message):
            make()
