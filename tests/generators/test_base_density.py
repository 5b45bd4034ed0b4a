"""Bases: what they sample has the density they say, and the density is one; what does not fit is refused."""

import itertools
import math

import pytest
import torch

from lit_bg.energies import DW4, CoulombGas, DoubleWell, Energy, Gaussian, GaussianMixture, LennardJones, Molecule
from lit_bg.estimators import log_z
from lit_bg.generators import ContinuousFlow, Harmonic, Known, Lattice, Normal
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


CHAIN = [(0, 1), (1, 2), (2, 3)]
CASES = {  # base, system, and the width of a normal density that covers the base
    "normal": (Normal, DoubleWell(), 1.3),
    "wide": (lambda: Normal(3.0), DW4(), 3.6),
    "springs": (lambda: Harmonic(CHAIN), DW4(), 1.8),
    "springs between all": (lambda: Harmonic(list(itertools.combinations(range(4), 2))), DW4(), 1.3),
    "lattice": (lambda: Lattice(1.0), LennardJones(3, factor=1), 1.6),
    "sites in a trap": (lambda: Lattice(0.8, [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), CoulombGas(3), 1.6),
    "known particles": (lambda: Known(Trap()), CoulombGas(3), 1.3),
    "known": (lambda: Known(DoubleWell()), DoubleWell(), 2.5),
}


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
        base, cover = make().build(energy).double(), Normal(width).build(energy).double()
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


def test_bonds_of_a_molecule():
    molecule = Molecule("experiments/alanine_dipeptide.pdb", ["amber96.xml"])
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
        (lambda: Lattice(0.0), "needs width > 0, got 0"),
        (lambda: Lattice().build(DoubleWell()), "hold particles, and DoubleWell has shape"),
        (lambda: Lattice(sites=[[0.0, 1.0]]).build(DW4()), "needs as many sites"),
    ]
    for make, message in refused:
        with pytest.raises(ValueError, match=message):
            make()
