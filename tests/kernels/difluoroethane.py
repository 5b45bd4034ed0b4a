"""A molecule with springs and one torsion, whose distribution is known by quadrature."""

import math

import torch

from lit_bg.energies import Molecule
from lit_bg.molecules.geometry import dihedral
from lit_bg.molecules.rotatable import side_of_bond, turn

K_TORSION = 4.0  # [kJ/mol]
TORSION = torch.tensor([[0, 1, 4, 7]])


def make(hold=None):
    """F-CH2-CH2-F with springs and one torsion: whatever the springs, p(phi) is proportional to exp(-U_torsion / kT).

    `hold` is the constant of a spring [kJ/mol/nm^2] that ties the first carbon to the origin.
    """
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
    if hold is not None:
        field = openmm.CustomExternalForce(f"0.5*{hold}*(x^2+y^2+z^2)")
        field.addParticle(1, [])
        system.addForce(field)

    class Read:
        pass

    read = Read()
    read.topology, read.positions = topology, [openmm.Vec3(*p) for p in x] * unit.nanometer
    return Molecule.from_system(system, read, 300.0)


def phi(x):
    """The torsion of configurations, (B,) [rad]."""
    return dihedral(x, TORSION)[:, 0]


def torsion_samples(energy, n, rng):
    """Configurations whose torsion has its equilibrium distribution, with all else as it is at first, (n, 8, 3) float64."""
    grid = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)[1:]
    p = torch.softmax(-K_TORSION * torch.cos(grid - 0.4) / energy.kT, 0)
    wanted = grid[torch.multinomial(p, n, replacement=True, generator=rng)]
    x = energy.initial.double().repeat(n, 1, 1)
    side = torch.zeros(n, 8, dtype=torch.bool)
    side[:, side_of_bond(energy.structure, 1, 4)] = True
    x = turn(x, torch.tensor([1, 4]).expand(n, 2), side, wanted - phi(x))
    return energy.space.project(x)
