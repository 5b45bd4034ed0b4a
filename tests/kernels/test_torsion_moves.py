"""Rotations about bonds: which ones, what they change, and that they keep the Boltzmann distribution."""

import math

import pytest
import torch
from lit_bg.samplers import ReplicaExchange
from lit_bg.samplers.motion import centred, thermal_velocities
from lit_bg.samplers.torsion_moves import torsion_move
from sampler_cases import rng

from lit_bg.energies import Molecule
from lit_bg.molecules.geometry import angle, dihedral, distance, wrap
from lit_bg.molecules.rotatable import side_of_bond, turned

K_TORSION = 4.0  # [kJ/mol]


@pytest.fixture(scope="module")
def difluoroethane():
    """F-CH2-CH2-F with springs and one torsion: whatever the springs, p(phi) is proportional to exp(-U_torsion / kT)."""
    import openmm
    from openmm import app, unit

    elements = ["F", "C", "H", "H", "C", "H", "H", "F"]
    bonds = [(0, 1), (1, 2), (1, 3), (1, 4), (4, 5), (4, 6), (4, 7)]
    topology = app.Topology()
    residue = topology.addResidue("DFE", topology.addChain())
    atoms = [topology.addAtom(f"{e}{i}", app.Element.getBySymbol(e), residue) for i, e in enumerate(elements)]
    system, springs, torsion = openmm.System(), openmm.HarmonicBondForce(), openmm.PeriodicTorsionForce()
    for atom in atoms:
        system.addParticle(atom.element.mass)
    up, down = (0.05, 0.09), (0.2, 0.09)
    ends = [(up[0], 0.12 * math.cos(a), 0.12 * math.sin(a)) for a in (0.0, 2.1, 4.2)]
    far = [(down[0], 0.12 * math.cos(a), 0.12 * math.sin(a)) for a in (1.0, 5.2, 3.1)]
    x = [ends[0], (0.09, 0, 0), ends[1], ends[2], (0.16, 0, 0), far[0], far[1], far[2]]
    for i, j in bonds:
        topology.addBond(atoms[i], atoms[j])
        springs.addBond(i, j, math.dist(x[i], x[j]), 2e5)
    torsion.addTorsion(0, 1, 4, 7, 1, 0.4, K_TORSION)
    system.addForce(springs)
    system.addForce(torsion)

    class Read:
        pass

    read = Read()
    read.topology, read.positions = topology, [openmm.Vec3(*p) for p in x] * unit.nanometer
    return Molecule.from_system(system, read, 300.0)


def walkers(energy, n, kT=None):
    """State of n walkers at the initial configuration, centred."""
    x = centred(energy.initial.double().repeat(n, 1, 1))
    kT = torch.full((n,), energy.kT, dtype=torch.float64) if kT is None else kT
    mass = energy.masses[:, None]
    velocity = thermal_velocities(energy, kT, mass, rng(9), torch.float64)
    return {"x": x, "u": energy(x), "gradient": torch.zeros_like(x), "kT": kT, "mass": mass, "velocity": velocity}


def test_the_angle_and_nothing_else_changes(difluoroethane):
    energy, n = difluoroethane, 50
    x = energy.initial.double().repeat(n, 1, 1)
    side = torch.zeros(n, 8, dtype=torch.bool)
    side[:, side_of_bond(energy.structure, 1, 4)] = True
    assert side[0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    by = torch.linspace(-3.0, 3.0, n, dtype=torch.float64)
    new = turned(x, torch.tensor([1, 4]).expand(n, 2), side, by)
    torsion = torch.tensor([[0, 1, 4, 7], [2, 1, 4, 5]])
    torch.testing.assert_close(wrap(dihedral(new, torsion) - dihedral(x, torsion)), by[:, None].expand(n, 2))
    bonds, angles = torch.tensor(energy.structure.bonds), torch.tensor([[0, 1, 4], [1, 4, 7], [5, 4, 6], [2, 1, 3]])
    torch.testing.assert_close(distance(new, bonds), distance(x, bonds))
    torch.testing.assert_close(angle(new, angles), angle(x, angles))


@pytest.mark.parametrize("kT", [0.6, 1.0, 2.5])
def test_it_keeps_the_boltzmann_distribution(difluoroethane, kT):
    """From one angle, 25 moves reach <cos phi>, <sin phi> and <cos 2 phi> of exp(-U / kT), by quadrature, within 4 sigma."""
    energy, n = difluoroethane, 10_000
    state = walkers(energy, n, torch.full((n,), kT * energy.kT, dtype=torch.float64))
    random = rng(int(10 * kT))
    for _ in range(25):
        accepted = torsion_move(energy, state, random)
    assert 0.3 < accepted.double().mean() < 0.95
    torch.testing.assert_close(energy(state["x"]), state["u"])
    phi = dihedral(state["x"], torch.tensor([[0, 1, 4, 7]]))[:, 0]
    grid = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)[1:]
    p = torch.softmax(-K_TORSION * torch.cos(grid - 0.4) / (kT * energy.kT), 0)
    for function in (torch.cos, torch.sin, lambda a: torch.cos(2 * a)):
        exact = (p * function(grid)).sum().item()
        spread = ((p * function(grid) ** 2).sum() - exact**2).sqrt().item()
        assert abs(function(phi).mean().item() - exact) < 4 * spread / math.sqrt(n)
    assert state["gradient"].abs().max() > 0


def test_velocities_turn_with_their_atoms(difluoroethane):
    """No bond feels the move: its length changes as fast as before; and velocities stay Maxwellian, without drift."""
    energy, n = difluoroethane, 20_000
    state = walkers(energy, n)
    x, v, mass = state["x"].clone(), state["velocity"].clone(), state["mass"]
    i, j = torch.tensor(energy.structure.bonds).T
    accepted = torsion_move(energy, state, rng())
    assert 0.3 < accepted.double().mean() < 0.95

    def stretching(x, v):
        return ((x[:, i] - x[:, j]) * (v[:, i] - v[:, j])).sum(-1)

    torch.testing.assert_close(stretching(state["x"], state["velocity"]), stretching(x, v))
    assert torch.equal(state["velocity"][~accepted], v[~accepted])
    assert (state["velocity"] * mass).sum(1).abs().max() < 1e-10
    after = state["velocity"][accepted]
    for a in range(8):  # kT (1 / m - 1 / M) of every component without drift; 4 sigma of a variance
        expected = energy.kT * (1 / mass[a, 0] - 1 / mass.sum())
        error = expected * math.sqrt(2 / (3 * len(after)))
        assert abs(after[:, a].square().mean() - expected) < 4 * error


def test_what_overlaps_is_refused():
    """Every accepted turn of a real peptide has a finite energy, and forces are those of where it is."""
    energy = Molecule("experiments/alanine_dipeptide.pdb", ["amber99sbildn.xml", "amber99_obc.xml"])
    state, random = walkers(energy, 100), rng()
    moved = sum(torsion_move(energy, state, random).double().mean().item() for _ in range(10))
    assert 0.3 < moved < 9
    assert torch.isfinite(state["u"]).all()
    turned_ones = (state["x"] - energy.initial).abs().flatten(1).amax(1) > 1e-6
    x = state["x"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    torch.testing.assert_close(state["gradient"][turned_ones], gradient[turned_ones])
    assert (energy.observables["P(L)"].function(state["x"]) == 1).all()


@pytest.mark.parametrize(
    ("path", "bonds"),
    [
        ("experiments/alanine_dipeptide.pdb", {"N-CA", "CA-C"}),
        ("tests/data/V.pdb", {"N-CA", "CA-C", "CA-CB"}),  # methyls do not count
        ("tests/data/YF.pdb", {"N-CA", "CA-C", "CA-CB", "CB-CG"}),  # no rings, no amides
        ("tests/data/PP.pdb", {"CA-C"}),  # phi of proline is in its ring
        ("tests/data/CC.pdb", {"N-CA", "CA-C", "CA-CB", "CB-SG"}),  # two chains, joined by a disulfide
    ],
)
def test_the_bonds_of_peptides(path, bonds):
    energy = Molecule(path, ["amber99sbildn.xml", "amber99_obc.xml"])
    names, found = energy.structure.names, energy.rotatable_bonds
    assert {frozenset(names[a] for a in pair) for pair in found.axis.tolist()} == {frozenset(b.split("-")) for b in bonds}
    assert (found.side.sum(1) <= len(names) / 2).all()
    rows = torch.arange(len(found))
    assert found.side[rows, found.axis[:, 1]].all()
    assert not found.side[rows, found.axis[:, 0]].any()


def test_exchange_reports_them_and_can_do_without():
    energy = Molecule("experiments/alanine_dipeptide.pdb", ["amber99sbildn.xml", "amber99_obc.xml"])
    arguments = {"frames": 2, "walkers": 3, "burn_in": 0.0, "start": "initial", "temperatures": [300.0, 500.0]}
    with_moves = ReplicaExchange(**arguments, torsion_moves=3).run(energy, 0, lambda *_: None)
    rates = with_moves.info["torsion_moves_accepted"]
    assert len(rates) == 2
    assert 0 < max(rates) < 1
    without = ReplicaExchange(**arguments, torsion_moves=0).run(energy, 0, lambda *_: None)
    assert "torsion_moves_accepted" not in without.info
    with pytest.raises(ValueError, match="torsion_moves = -1"):
        ReplicaExchange(**arguments, torsion_moves=-1)
