"""What a System is invariant under is found: a molecule held by a field has all coordinates, one let go is refused."""

import openmm
import pytest
import torch
from openmm import app

from lit_bg.energies import Molecule
from lit_bg.generators import ContinuousFlow
from lit_bg.nets import EGNN

PDB = app.PDBFile("experiments/alanine_dipeptide.pdb")
FORCE_FIELD = app.ForceField("amber96.xml")


def system(*forces):
    made = FORCE_FIELD.createSystem(PDB.topology, constraints=None, rigidWater=False)
    for force in forces:
        made.addForce(force)
    return made


def external(expression, atom=4):
    force = openmm.CustomExternalForce(expression)
    force.addParticle(atom, [])
    return force


def compound(expression, n):
    force = openmm.CustomCompoundBondForce(n, expression)
    force.addBond(list(range(4, 4 + n)), [])
    return force


def field_of_born_radii():
    force = openmm.CustomGBForce()
    force.addComputedValue("I", "exp(-r)", force.ParticlePair)  # OpenMM wants a first one of pairs
    force.addComputedValue("B", "I+0.1*x", force.SingleParticle)
    force.addEnergyTerm("B", force.SingleParticle)
    for _ in range(22):
        force.addParticle([])
    return force


@pytest.mark.parametrize("backend", ["torch", "openmm"])
@pytest.mark.parametrize(
    "force",
    [
        lambda: external("100*max(0,abs(z)-3)^2"),  # zero wherever the molecule is now
        lambda: external("100*max(0,-x-30)^2"),
        lambda: external("100*max(0,y-30)^2"),
        lambda: external("1e-4*x"),
        lambda: external("10*(x-y)^2+10*z^2"),  # nothing holds it along (1, 1, 0)
        lambda: external("-200*exp(-x^2-y^2-z^2)"),  # a well with flat surroundings
        lambda: external("2*log(1+x^2+y^2+z^2)"),  # too soft: u = 1.6 ln r
        field_of_born_radii,
    ],
    ids=["wall", "left wall", "upper wall", "field", "trough", "well", "soft", "radii"],
)
def test_a_field_that_lets_go_is_refused_by_name(force, backend):
    with pytest.raises(ValueError, match=r"Custom\w+ of .* holds atoms at points in space .* and lets it go to infinity along"):
        Molecule.from_system(system(force()), PDB, backend=backend)


@pytest.mark.parametrize("backend", ["torch", "openmm"])
@pytest.mark.parametrize(
    "force",
    [
        lambda: external("25*((x-0.5)^2+(y-0.5)^2+(z-0.5)^2)"),
        lambda: compound("10*pointdistance(x1,y1,z1,0,0,0)^2", 1),
        lambda: external("100*max(0,abs(x)-3)^2+100*max(0,abs(y)-3)^2+100*max(0,abs(z)-3)^2"),
        lambda: external("100*(x-y)^2+0.001*(x+y)^2+z^2"),
        lambda: external("5*log(1+x^2+y^2+z^2)"),  # u = 4 ln r
    ],
    ids=["spring", "point", "box of walls", "tilted", "soft"],
)
def test_a_field_that_holds_takes_all_coordinates(force, backend):
    molecule = Molecule.from_system(system(force()), PDB, backend=backend)
    assert not molecule.space.centred
    assert molecule.space.dof == 66
    assert molecule.symmetries == frozenset()
    file = torch.tensor(PDB.getPositions(asNumpy=True)._value)
    torch.testing.assert_close(molecule.initial[0].double(), file, atol=1e-6, rtol=0)


def test_a_field_in_a_box_is_refused():
    made, read = argon(box=True)
    made.addForce(external("25*(x^2+y^2+z^2)", 0))
    with pytest.raises(ValueError, match="a periodic box is measured without its centre of mass"):
        Molecule.from_system(made, read)


@pytest.mark.parametrize("backend", ["torch", "openmm"])
def test_a_field_is_not_hidden_by_another_force_of_its_name(backend):
    with pytest.raises(ValueError, match="holds atoms at points in space"):
        Molecule.from_system(system(external("x^2"), external("0*x")), PDB, backend=backend)


@pytest.mark.parametrize("kind", [external, lambda text: compound(text, 1)])
def test_large_systems_are_asked_for_their_fields_too(kind, monkeypatch):
    monkeypatch.setattr("lit_bg.energies.molecule.MANY_ATOMS", 10)
    text = "100*max(0,-{})^2".format("z" if kind is external else "z1-30")
    for backend in ("torch", "openmm"):
        with pytest.raises(ValueError, match="holds atoms at points in space"):
            Molecule.from_system(system(kind(text)), PDB, backend=backend)
        Molecule.from_system(system(), PDB, backend=backend)


def test_a_collective_variable_is_asked_for_what_it_sees():
    field, shape = openmm.CustomCVForce("3*a"), openmm.CustomCVForce("300*a^2")
    field.addCollectiveVariable("a", external("x^2"))
    shape.addCollectiveVariable("a", openmm.RMSDForce(PDB.positions, list(range(10))))
    with (
        pytest.warns(UserWarning, match="CustomCVForce has no translation"),
        pytest.raises(ValueError, match="CustomCVForce of"),
    ):
        Molecule.from_system(system(field), PDB)
    with pytest.warns(UserWarning, match="CustomCVForce has no translation"):
        Molecule.from_system(system(shape), PDB)


@pytest.mark.parametrize("method", ["PME", "LJPME", "Ewald"])
def test_the_mesh_of_a_lattice_sum_is_no_field(method):
    files = {"topology": "tests/molecules/data/ala2.prmtop", "coordinates": "tests/molecules/data/ala2.gro"}
    with pytest.warns(UserWarning, match="has no translation to torch"):
        Molecule(**files, nonbonded=method, cutoff=1.2)


@pytest.mark.parametrize("expression", ["5*(z1-z2)", "(x1-x2)^2"])
def test_a_force_on_the_orientation_is_no_symmetry(expression):
    molecule = Molecule.from_system(system(compound(expression, 2)), PDB)
    assert molecule.symmetries == {"translation"}
    assert molecule.space.centred
    with pytest.raises(ValueError, match="does not change under any reflection"):
        ContinuousFlow(EGNN(1, 4)).build(molecule)


@pytest.mark.parametrize(
    ("expression", "n"),
    [
        ("10*pointdistance(x1,y1,z1,x2,y2,z2)^2", 2),
        ("pointangle(x1,y1,z1,x2,y2,z2,x3,y3,z3)", 3),
        ("sin(pointdihedral(x1,y1,z1,x2,y2,z2,x3,y3,z3,x4,y4,z4)+0.3)", 4),
    ],
)
def test_points_of_atoms_are_translated_and_no_field(expression, n):
    ours = Molecule.from_system(system(compound(expression, n)), PDB)
    theirs = Molecule.from_system(system(compound(expression, n)), PDB, backend="openmm", platform="Reference")
    x = (ours.initial.double() + 0.01 * torch.randn(3, 22, 3, dtype=torch.float64)).requires_grad_()
    energies = [m.potential(x) for m in (ours, theirs)]
    torch.testing.assert_close(*energies, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(e.sum(), x)[0] for e in energies), rtol=1e-7, atol=1e-4)


def test_atoms_without_mass_are_refused():
    made = system()
    for atom in (1, 2, 3):
        made.setParticleMass(atom, 0.0)
    with pytest.raises(ValueError, match="3 atoms of mass 0, which OpenMM holds in place"):
        Molecule.from_system(made, PDB)


def test_drude_particles_are_refused():
    with pytest.raises(ValueError, match="Drude particles"):
        Molecule.from_system(system(openmm.DrudeForce()), PDB)


BAROSTATS = {
    "MonteCarloBarostat": lambda: openmm.MonteCarloBarostat(1.0, 300.0),
    "MonteCarloAnisotropicBarostat": lambda: openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1), 300.0),
    "MonteCarloMembraneBarostat": lambda: openmm.MonteCarloMembraneBarostat(
        1.0, 0.0, 300.0, openmm.MonteCarloMembraneBarostat.XYIsotropic, openmm.MonteCarloMembraneBarostat.ZFree
    ),
    "MonteCarloFlexibleBarostat": lambda: openmm.MonteCarloFlexibleBarostat(1.0, 300.0),
}


@pytest.mark.parametrize("kind", BAROSTATS)
def test_a_barostat_becomes_the_fixed_box(kind):
    with pytest.warns(UserWarning, match=f"{kind} is left out, so that NPT becomes the fixed box"):
        molecule = Molecule.from_system(system(BAROSTATS[kind]()), PDB)
    assert molecule.field is not None
    assert kind not in molecule.evaluator.system  # OpenMM's dynamics would change the box


def argon(n=3, box=False):
    topology, made = app.Topology(), openmm.System()
    chain = topology.addChain()
    force = openmm.NonbondedForce()
    for _ in range(n):
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), topology.addResidue("AR", chain))
        made.addParticle(39.9)
        force.addParticle(0.0, 0.34, 1.0)
    if box:
        made.setDefaultPeriodicBoxVectors(*(3 * openmm.Vec3(*(float(i == k) for i in range(3))) for k in range(3)))
        force.setNonbondedMethod(force.CutoffPeriodic)
        force.setCutoffDistance(1.0)
        force.setUseDispersionCorrection(False)
    made.addForce(force)
    positions = [openmm.Vec3(0.38 * k, 0.1 * k**2, 0) for k in range(n)]
    read = type("Read", (), {"topology": topology, "positions": positions * openmm.unit.nanometer})
    return made, read


def test_a_cluster_in_vacuum_has_no_finite_partition_function():
    with pytest.warns(UserWarning, match="3 parts that no bond holds together"):
        molecule = Molecule.from_system(*argon())
    molecule.check_configurations(molecule.initial)
    assert molecule.find_faults(molecule.initial) == {}
    assert molecule.in_region(molecule.initial).all()


def test_in_a_box_only_translations_are_a_symmetry(recwarn):
    molecule = Molecule.from_system(*argon(box=True))
    assert molecule.symmetries == {"translation"}
    assert not any("no bond" in str(w.message) for w in recwarn)


def test_a_urey_bradley_term_is_no_bond_and_a_ring_of_three_has_three():
    for ring in (False, True):
        made, read = argon()
        bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
        for pair in ((0, 1), (1, 2), (2, 0)):
            bonds.addBond(*pair, 0.38, 100.0)
        for angle in ((0, 1, 2), (1, 2, 0), (2, 0, 1))[: 3 if ring else 1]:
            angles.addAngle(*angle, 1.0, 10.0)
        made.addForce(bonds)
        made.addForce(angles)
        assert Molecule.from_system(made, read).structure.bonds == (((0, 1), (1, 2), (0, 2)) if ring else ((0, 1), (1, 2)))


def test_an_atom_that_the_topology_leaves_bare_takes_the_bonds_of_the_system():
    made, read = argon()
    atoms = list(read.topology.atoms())
    read.topology.addBond(atoms[0], atoms[1])
    bonds = openmm.HarmonicBondForce()
    for pair in ((0, 1), (1, 2)):
        bonds.addBond(*pair, 0.38, 100.0)
    made.addForce(bonds)
    assert Molecule.from_system(made, read).structure.bonds == ((0, 1), (1, 2))


def test_bonds_are_those_of_the_system_where_the_topology_has_none():
    made, read = argon()
    bonds = openmm.HarmonicBondForce()
    for _ in range(2):  # two terms of one pair are one of twice the constant
        bonds.addBond(0, 1, 0.38, 100.0)
    bonds.addBond(2, 1, 0.38, 100.0)
    made.addForce(bonds)
    structure = Molecule.from_system(made, read).structure
    assert structure.bonds == ((0, 1), (1, 2))
    assert structure.harmonic_bonds[0, 1] == (pytest.approx(0.38), 200.0)


@pytest.mark.parametrize(
    "groups", [[([0], [1])], [([0], [1])] * 2, [([0], [1]), ([1], [0])], [([0, 1], [0, 1]), ([0], [1])], [([1], [0])]]
)
def test_a_pair_counts_once_for_every_interaction_group(groups):
    made, read = argon(2)
    force = openmm.CustomNonbondedForce("a1*r^2+a2")
    force.addPerParticleParameter("a")
    for a in (1.0, 3.0):
        force.addParticle([a])
    for first, second in groups:
        force.addInteractionGroup(first, second)
    made.addForce(force)
    ours, theirs = (Molecule.from_system(made, read, backend=b, platform="Reference") for b in ("torch", "openmm"))
    torch.testing.assert_close(ours.potential(ours.initial.double()), theirs.potential(ours.initial.double()))
