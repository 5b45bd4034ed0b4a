"""A molecule that an external field holds in its place: all 3N coordinates, from the chart to log Z."""

import math

import openmm
import pytest
import torch
from openmm import app

from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import Molecule
from lit_bg.estimators import log_z
from lit_bg.generators import CouplingFlow
from lit_bg.transforms import InternalCoordinates, MixedCoordinates

K = 50.0  # kJ/mol/nm^2 of the spring that holds the oxygen
PLACE = (0.5, 0.5, 0.5)  # [nm]


def water(*forces):
    """Flexible water about a point in space."""
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("HOH", topology.addChain())
    oxygen = topology.addAtom("O", app.element.oxygen, residue)
    for name in ("H1", "H2"):
        topology.addBond(oxygen, topology.addAtom(name, app.element.hydrogen, residue))
    for mass in (15.999, 1.008, 1.008):
        system.addParticle(mass)
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for h in (1, 2):
        bonds.addBond(0, h, 0.09572, 4e5)
    angles.addAngle(1, 0, 2, 1.82421813, 400.0)
    for force in (bonds, angles, *forces):
        system.addForce(force)
    x = [
        openmm.Vec3(*(a + b for a, b in zip(p, PLACE, strict=True)))
        for p in ((0, 0, 0), (0.09572, 0, 0), (-0.0239987, 0.0926627, 0))
    ]
    return Molecule.from_system(system, type("Read", (), {"topology": topology, "positions": x * openmm.unit.nanometer}))


def spring(k=K):
    force = openmm.CustomExternalForce(f"0.5*{k}*((x-{PLACE[0]})^2+(y-{PLACE[1]})^2+(z-{PLACE[2]})^2)")
    force.addParticle(0, [])
    return force


def pull():
    """A uniform field on one hydrogen, which turns the molecule."""
    force = openmm.CustomExternalForce("30*x")
    force.addParticle(1, [])
    return force


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def flow(molecule, chart=InternalCoordinates, stir=0.0):
    torch.manual_seed(0)
    made = CouplingFlow(1, hidden=(8,), coordinates=chart()).build(molecule)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=stir)
    return made.double()


def test_log_z_is_that_of_the_free_molecule_in_a_spring():
    r"""$\log Z - \log Z_{free} = \frac32 \ln 3 + \frac32 \ln(2 \pi kT / k)$: of nine and of six dimensions, within 4 sigma."""
    held, free = water(spring()), water()
    found = []
    for molecule in (held, free):
        with torch.no_grad():
            x, log_q = flow(molecule).sample(40_000, rng())
            found.append(log_z(-molecule(x) - log_q))
    (a, da), (b, db) = found
    expected = 1.5 * math.log(3) + 1.5 * math.log(2 * math.pi * held.kT / K)
    error = math.hypot(da, db)
    assert error < 0.02
    assert abs(a - b - expected) < 4 * error
    assert abs(a + 18.558) < 4 * da + 5e-4  # 9 dimensions


@pytest.mark.parametrize("chart", [InternalCoordinates, lambda: MixedCoordinates(["O", "H1", "H2"])], ids=["internal", "mixed"])
class TestChart:
    def test_inverse_and_density(self, chart):
        molecule = water(spring(), pull())
        made = flow(molecule, chart, stir=0.1)
        x, log_q = made.sample(50, rng())
        assert made.chart.domain.dim == 9
        torch.testing.assert_close(made.log_prob(x), log_q, atol=1e-4, rtol=0)
        z, _ = made.inverse(x)
        torch.testing.assert_close(made(z)[0], x, atol=1e-6, rtol=0)

    def test_the_determinant_is_that_of_autograd(self, chart):
        molecule = water(spring())
        defect = density_defect(flow(molecule, chart, stir=0.1), molecule, rng(), 8)
        assert defect is not None
        assert defect.agrees

    def test_data_give_place_and_width(self, chart):
        molecule = water(spring())
        made = flow(molecule, chart)
        x = molecule.initial.double() + 0.3 * torch.randn(500, 1, 3, generator=rng(), dtype=torch.float64)
        x = x + 0.002 * torch.randn(500, 3, 3, generator=rng(1), dtype=torch.float64)
        made.adapt(x)
        placement = made.chart.placement
        torch.testing.assert_close(placement.centre, x.mean((0, 1)), atol=1e-6, rtol=0)
        assert ((placement.width / 0.3 - 1).abs() < 0.15).all()


def test_the_width_before_data_is_that_of_the_field():
    placement = flow(water(spring())).chart.placement
    expected = math.sqrt(water().kT / K)
    torch.testing.assert_close(placement.width, torch.full((3,), expected, dtype=torch.float64), rtol=1e-2, atol=0)


def test_every_orientation_is_proposed():
    """The axes of the molecule have mean zero and mean square 1/3 in every direction, within 5 sigma."""
    n = 20_000
    with torch.no_grad():
        x, _ = flow(water(spring())).sample(n, rng())
    axis = torch.nn.functional.normalize(x[:, 1] - x[:, 0], dim=-1)
    assert (axis.mean(0).abs() < 5 / math.sqrt(3 * n)).all()
    assert ((axis.T @ axis / n - torch.eye(3) / 3).abs() < 5 / math.sqrt(n)).all()
