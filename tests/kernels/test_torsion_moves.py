"""Rotations about bonds: which ones, what they change, and that they keep the Boltzmann distribution."""

import math

import difluoroethane as dfe
import pytest
import torch
from springs import rng

from lit_bg.energies import Molecule
from lit_bg.kernels import Cycle, Langevin, State, TorsionMoves
from lit_bg.kernels.motion import thermal_velocities
from lit_bg.molecules.geometry import angle, dihedral, distance, wrap
from lit_bg.molecules.rotatable import side_of_bond, turn
from lit_bg.simulators import ReplicaExchange, Temperatures


@pytest.fixture(scope="module")
def difluoroethane():
    return dfe.make()


def walkers(energy, n):
    """State of n walkers at the initial configuration, centred."""
    x = energy.space.project(energy.initial.double().repeat(n, 1, 1))
    velocity = thermal_velocities(energy, x, energy.masses[:, None], rng(9))
    return State(x, energy(x), torch.zeros_like(x), velocity)


def test_the_angle_and_nothing_else_changes(difluoroethane):
    energy, n = difluoroethane, 50
    x = energy.initial.double().repeat(n, 1, 1)
    side = torch.zeros(n, 8, dtype=torch.bool)
    side[:, side_of_bond(energy.structure, 1, 4)] = True
    assert side[0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    by = torch.linspace(-3.0, 3.0, n, dtype=torch.float64)
    new = turn(x, torch.tensor([1, 4]).expand(n, 2), side, by)
    torsion = torch.tensor([[0, 1, 4, 7], [2, 1, 4, 5]])
    torch.testing.assert_close(wrap(dihedral(new, torsion) - dihedral(x, torsion)), by[:, None].expand(n, 2))
    bonds, angles = torch.tensor(energy.structure.bonds), torch.tensor([[0, 1, 4], [1, 4, 7], [5, 4, 6], [2, 1, 3]])
    torch.testing.assert_close(distance(new, bonds), distance(x, bonds))
    torch.testing.assert_close(angle(new, angles), angle(x, angles))


@pytest.mark.parametrize("kT", [0.6, 1.0, 2.5])
def test_it_keeps_the_boltzmann_distribution(difluoroethane, kT):
    """From one angle, 25 moves reach <cos phi>, <sin phi> and <cos 2 phi> of exp(-U / kT), by quadrature, within 4 sigma."""
    energy, n = difluoroethane.at(kT * difluoroethane.kT), 10_000
    state, info = TorsionMoves(25).step(energy, walkers(energy, n), rng(int(10 * kT)))
    assert 0.3 < (info.measured["turned"] / info.measured["turns"]).mean() < 0.95
    torch.testing.assert_close(energy(state.x), state.u)
    phi = dfe.phi(state.x)
    grid = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)[1:]
    p = torch.softmax(-dfe.K_TORSION * torch.cos(grid - 0.4) / energy.kT, 0)
    for function in (torch.cos, torch.sin, lambda a: torch.cos(2 * a)):
        exact = (p * function(grid)).sum().item()
        spread = ((p * function(grid) ** 2).sum() - exact**2).sqrt().item()
        assert abs(function(phi).mean().item() - exact) < 4 * spread / math.sqrt(n)
    assert state.gradient.abs().max() > 0


def test_velocities_turn_with_their_atoms(difluoroethane):
    """No bond feels the move: its length changes as fast as before; and velocities stay Maxwellian, without drift."""
    energy, n = difluoroethane, 20_000
    before = walkers(energy, n)
    x, v, mass = before.x, before.velocity, energy.masses[:, None]
    i, j = torch.tensor(energy.structure.bonds).T
    state, info = TorsionMoves(1).step(energy, before, rng())
    accepted = info.measured["turned"] > 0
    assert 0.3 < accepted.double().mean() < 0.95

    def stretching(x, v):
        return ((x[:, i] - x[:, j]) * (v[:, i] - v[:, j])).sum(-1)

    torch.testing.assert_close(stretching(state.x, state.velocity), stretching(x, v))
    assert torch.equal(state.velocity[~accepted], v[~accepted])
    assert (state.velocity * mass).sum(1).abs().max() < 1e-10
    after = state.velocity[accepted]
    for a in range(8):  # kT (1 / m - 1 / M) of every component without drift; 4 sigma of a variance
        expected = energy.kT * (1 / mass[a, 0] - 1 / mass.sum())
        error = expected * math.sqrt(2 / (3 * len(after)))
        assert abs(after[:, a].square().mean() - expected) < 4 * error


def test_what_overlaps_is_refused():
    """Every accepted turn of a real peptide has a finite energy, and forces are those of where it is."""
    energy = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    state, info = TorsionMoves(10).step(energy, walkers(energy, 100), rng())
    assert 0.3 < info.measured["turned"].mean() < 9
    assert torch.isfinite(state.u).all()
    turned_ones = (state.x - energy.initial).abs().flatten(1).amax(1) > 1e-6
    x = state.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    torch.testing.assert_close(state.gradient[turned_ones], gradient[turned_ones])
    assert (energy.observables["P(L)"].function(state.x) == 1).all()


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
    energy = Molecule(path, forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    names, found = energy.structure.names, energy.rotatable_bonds
    assert {frozenset(names[a] for a in pair) for pair in found.axis.tolist()} == {frozenset(b.split("-")) for b in bonds}
    assert (found.side.sum(1) <= len(names) / 2).all()
    rows = torch.arange(len(found))
    assert found.side[rows, found.axis[:, 1]].all()
    assert not found.side[rows, found.axis[:, 0]].any()


def test_exchange_reports_them_and_can_do_without():
    energy = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    arguments = {
        "ladder": Temperatures(temperatures=[300.0, 500.0]),
        "frames": 2,
        "walkers": 3,
        "burn_in": 0,
        "start": "initial",
    }
    kernel = Langevin(0.001, 100)
    with_moves = ReplicaExchange(kernel, **arguments, torsion_moves=3).run(energy, 0, lambda *_: None)
    rates = with_moves.info["torsion_moves_accepted"]
    assert len(rates) == 2
    assert 0 < max(rates) < 1
    without = ReplicaExchange(kernel, **arguments, torsion_moves=0).run(energy, 0, lambda *_: None)
    assert "torsion_moves_accepted" not in without.info
    with pytest.raises(ValueError, match="torsion_moves = -1"):
        ReplicaExchange(kernel, **arguments, torsion_moves=-1)


def test_a_held_molecule_is_not_heated():
    """Torsion moves among dynamics in a field: kinetic temperature, and <r^2> = 3 kT / k of the tied atom, within 5 sigma."""
    k, n = 200.0, 400
    energy = dfe.make(hold=k)
    assert not energy.space.centred
    kernel = Cycle([TorsionMoves(4), Langevin(0.001, 50, friction=5.0)])
    kernel.check(energy)
    state, warmth = kernel.init(energy, energy.initial.repeat(n, 1, 1), rng()), []
    for move in range(80):
        state, info = kernel.step(energy, state, rng(move))
        if move >= 40:
            warmth.append(info.parts[1].measured["warmth"].mean())
    assert torch.stack(warmth).mean().item() == pytest.approx(1.0, abs=0.02)
    squares = state.x[:, 1].double().square().sum(-1)
    assert abs(squares.mean().item() - 3 * energy.kT / k) < 5 * squares.std().item() / math.sqrt(n)
