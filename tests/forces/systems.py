"""Systems that between them hold every kind of force, and random configurations of each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import openmm
import torch
from openmm import app, unit

from lit_bg.forces import ForceField, translate

PDB = Path(__file__).parents[1] / "data"
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ALANINE = EXPERIMENTS / "alanine_dipeptide.pdb"


@cache  # reading a force field takes seconds
def _made(pdb: Path, files: tuple[str, ...], method: object, cutoff: float) -> tuple[str, np.ndarray]:
    read = app.PDBFile(str(pdb))
    system = app.ForceField(*files).createSystem(
        read.topology, nonbondedMethod=method, nonbondedCutoff=cutoff * unit.nanometer, constraints=None, rigidWater=False
    )
    return openmm.XmlSerializer.serialize(system), np.asarray(read.positions.value_in_unit(unit.nanometer))


def force_field(
    pdb: Path, files: list[str], method: object = app.NoCutoff, cutoff: float = 1.0
) -> tuple[openmm.System, np.ndarray]:
    text, x = _made(pdb, tuple(files), method, cutoff)
    return openmm.XmlSerializer.deserialize(text), x


def cluster(n: int = 8, box: float | None = None) -> tuple[openmm.System, np.ndarray]:
    """A System of n atoms without forces, on a wound-up chain."""
    system = openmm.System()
    for i in range(n):
        system.addParticle(10.0 + i)
    if box is not None:
        system.setDefaultPeriodicBoxVectors([box, 0, 0], [0.3, 0.9 * box, 0], [-0.2, 0.4, 1.1 * box])
    t = np.arange(n)
    return system, 0.25 * np.stack([np.cos(1.3 * t) * (1 + 0.1 * t), np.sin(1.3 * t), 0.5 * t], -1)


def one(build: Callable[[int], openmm.Force], box: float | None = None) -> tuple[openmm.System, np.ndarray]:
    """A cluster with one force."""
    system, x = cluster(box=box)
    system.addForce(build(len(x)))
    if box is not None:  # atoms far outside the cell, to be seen through images
        x = x + box * np.array([[0, 1, -2], [3, 0, 0]] * 4)[: len(x)]
    return system, x


def nonbonded(method: int, switch: bool = False, offsets: bool = False, images: bool = False) -> Callable[[int], openmm.Force]:
    def build(n: int) -> openmm.Force:
        force = openmm.NonbondedForce()
        for i in range(n):
            force.addParticle((-1) ** i * (0.3 + 0.05 * i), 0.2 + 0.01 * i, 0.5 + 0.1 * i)
        force.addException(0, 1, 0, 0.3, 0)
        force.addException(3, 1, -0.05, 0.25, 0.4)
        force.setNonbondedMethod(method)
        force.setCutoffDistance(0.7)
        force.setReactionFieldDielectric(50.0)
        force.setExceptionsUsePeriodicBoundaryConditions(images)
        if switch:
            force.setUseSwitchingFunction(True)
            force.setSwitchingDistance(0.4)
        if offsets:
            force.addGlobalParameter("scale", 0.7)
            force.addParticleParameterOffset("scale", 2, 0.3, 0.02, 0.1)
            force.addExceptionParameterOffset("scale", 1, 0.1, -0.01, 0.2)
        return force

    return build


def gbsa(method: int) -> Callable[[int], openmm.Force]:
    def build(n: int) -> openmm.Force:
        force = openmm.GBSAOBCForce()
        for i in range(n):
            force.addParticle((-1) ** i * 0.4, 0.12 + 0.02 * i, 0.7 + 0.04 * i)  # the largest swallow the smallest
        force.setNonbondedMethod(method)
        force.setCutoffDistance(0.8)
        return force

    return build


def bonded(force: openmm.Force, add: str, terms: list[tuple]) -> Callable[[int], openmm.Force]:
    def build(n: int) -> openmm.Force:
        for term in terms:
            getattr(force, add)(*term)
        return force

    return build


def with_parameters(force: openmm.Force, kind: str, names: list[str], shared: dict[str, float]) -> openmm.Force:
    for name in names:
        getattr(force, f"addPer{kind}Parameter")(name)
    for name, value in shared.items():
        force.addGlobalParameter(name, value)
    return force


def cmap(n: int) -> openmm.Force:
    force = openmm.CMAPTorsionForce()
    rng = np.random.default_rng(1)
    for size in (8, 12, 8):
        force.addMap(size, rng.normal(size=size * size).tolist())
    force.addTorsion(0, 0, 1, 2, 3, 1, 2, 3, 4)
    force.addTorsion(1, 2, 3, 4, 5, 3, 4, 5, 6)
    force.addTorsion(2, 4, 5, 6, 7, 3, 4, 5, 6)
    return force


def custom_nonbonded(method: int, groups: bool = False, switch: bool = False) -> Callable[[int], openmm.Force]:
    def build(n: int) -> openmm.Force:
        text = "table(k1, k2)*scale*(c1+c2)*exp(-r/lam) + 1e-4/r^6 + smooth(r); lam=0.2+0.1*sqrt(a1*a2)"
        force = with_parameters(openmm.CustomNonbondedForce(text), "Particle", ["a", "k"], {"scale": 1.7})
        force.addComputedValue("c", "a^2 + 0.1*k")
        force.addTabulatedFunction("table", openmm.Discrete2DFunction(2, 2, [1.0, 0.5, 0.5, 2.0]))
        force.addTabulatedFunction("smooth", openmm.Continuous1DFunction([0.0, 1.0, -0.5, 0.3, 0.0], 0.1, 1.5))
        for i in range(n):
            force.addParticle([0.3 + 0.1 * i, i % 2])
        force.addExclusion(0, 1)
        force.addExclusion(5, 2)
        force.setNonbondedMethod(method)
        force.setCutoffDistance(0.8)
        if groups:
            force.addInteractionGroup({0, 1, 2, 3}, {2, 3, 4, 5})
        if switch:
            force.setUseSwitchingFunction(True)
            force.setSwitchingDistance(0.5)
        return force

    return build


def custom_gb(method: int) -> Callable[[int], openmm.Force]:
    def build(n: int) -> openmm.Force:
        force = with_parameters(openmm.CustomGBForce(), "Particle", ["q", "s"], {"k": 3.0})
        force.addComputedValue("I", "select(step(r-0.3*s2), s2*exp(-r/s1), 0)", openmm.CustomGBForce.ParticlePair)
        force.addComputedValue("B", "1/(s+0.5*tanh(I))+0.01*x", openmm.CustomGBForce.SingleParticle)
        force.addEnergyTerm("k*q^2/B+0.1*z*I", openmm.CustomGBForce.SingleParticle)
        pair = "k*q1*q2/sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))"
        force.addEnergyTerm(pair, openmm.CustomGBForce.ParticlePairNoExclusions)
        force.addEnergyTerm("0.1*(I1+I2)*cos(3*r)", openmm.CustomGBForce.ParticlePair)
        for i in range(n):
            force.addParticle([(-1) ** i * 0.5, 0.2 + 0.05 * i])
        force.addExclusion(1, 2)
        force.addExclusion(6, 0)
        force.setNonbondedMethod(method)
        force.setCutoffDistance(0.8)
        return force

    return build


def compound(n: int) -> openmm.Force:
    text = "k*(distance(p1,p3)-r0)^2+angle(p1,p2,p3)*cos(dihedral(p1,p2,p3,p4))+0.5*(x1-y2)^2+step(z3)*z3^2"
    force = with_parameters(openmm.CustomCompoundBondForce(4, text), "Bond", ["r0"], {"k": 20.0})
    force.addBond([0, 2, 4, 6], [0.4])
    force.addBond([7, 3, 5, 1], [0.6])
    return force


def centroid(n: int) -> openmm.Force:
    force = with_parameters(openmm.CustomCentroidBondForce(3, "k*distance(g1,g2)^2+angle(g1,g2,g3)"), "Bond", ["k"], {})
    force.addGroup([0, 1, 2])
    force.addGroup([3, 4], [0.25, 0.75])
    force.addGroup([5, 6, 7])
    force.addBond([0, 1, 2], [3.0])
    force.addBond([2, 0, 1], [5.0])
    return force


NO, CUT, BOX = 0, 1, 2
bond_terms = [(0, 1, 0.2, 900.0), (2, 6, 0.7, 300.0)]
torsions = [(0, 1, 2, 3, 1, 0.4, 2.0), (0, 1, 2, 3, 3, 3.1, 1.0), (4, 3, 2, 1, 6, 0.0, 0.7), (2, 4, 5, 7, 2, 1.0, 5.0)]

KINDS: dict[str, Callable[[], tuple[openmm.System, np.ndarray]]] = {
    "HarmonicBond": lambda: one(bonded(openmm.HarmonicBondForce(), "addBond", bond_terms)),
    "HarmonicAngle": lambda: one(bonded(openmm.HarmonicAngleForce(), "addAngle", [(0, 1, 2, 1.9, 50.0), (5, 2, 7, 2.5, 9.0)])),
    "PeriodicTorsion": lambda: one(bonded(openmm.PeriodicTorsionForce(), "addTorsion", torsions)),
    "RBTorsion": lambda: one(
        bonded(openmm.RBTorsionForce(), "addTorsion", [(0, 1, 2, 3, 1, 2, -3, 4, 0.5, -6), (7, 3, 5, 1, 0, 1, 0, 2, 0, 3)])
    ),
    "CMAPTorsion": lambda: one(cmap),
    "Nonbonded": lambda: one(nonbonded(NO)),
    "Nonbonded offsets": lambda: one(nonbonded(NO, offsets=True)),
    "Nonbonded cutoff": lambda: one(nonbonded(CUT)),
    "Nonbonded switched": lambda: one(nonbonded(CUT, switch=True)),
    "Nonbonded in a box": lambda: one(nonbonded(BOX), box=2.0),
    "Nonbonded in a box, switched": lambda: one(nonbonded(BOX, switch=True, images=True), box=2.0),
    "GBSAOBC": lambda: one(gbsa(NO)),
    "GBSAOBC cutoff": lambda: one(gbsa(CUT)),
    "CustomBond": lambda: one(
        bonded(
            with_parameters(openmm.CustomBondForce("d*(1-exp(-a*(r-r0)))^2"), "Bond", ["d", "r0"], {"a": 8.0}),
            "addBond",
            [(0, 1, [3.0, 0.3]), (6, 2, [1.0, 0.5])],
        )
    ),
    "CustomAngle": lambda: one(
        bonded(
            with_parameters(openmm.CustomAngleForce("k*(cos(theta)-c)^2"), "Angle", ["k", "c"], {}),
            "addAngle",
            [(0, 1, 2, [3.0, 0.3])],
        )
    ),
    "CustomTorsion": lambda: one(
        bonded(
            with_parameters(
                openmm.CustomTorsionForce("k*min(d,6.283185307179586-d)^2; d=abs(theta-t)"), "Torsion", ["k", "t"], {}
            ),
            "addTorsion",
            [(0, 1, 2, 3, [3.0, 0.3]), (7, 5, 3, 1, [2.0, -2.0])],
        )
    ),
    "CustomExternal": lambda: one(
        bonded(
            with_parameters(openmm.CustomExternalForce("k*(x^2+2*y^2)+sin(z)"), "Particle", ["k"], {}),
            "addParticle",
            [(0, [3.0]), (6, [0.3])],
        )
    ),
    "CustomNonbonded": lambda: one(custom_nonbonded(NO)),
    "CustomNonbonded groups": lambda: one(custom_nonbonded(NO, groups=True)),
    "CustomNonbonded switched": lambda: one(custom_nonbonded(CUT, switch=True)),
    "CustomNonbonded in a box": lambda: one(custom_nonbonded(BOX), box=2.0),
    "CustomGB": lambda: one(custom_gb(NO)),
    "CustomGB cutoff": lambda: one(custom_gb(CUT)),
    "CustomCompoundBond": lambda: one(compound),
    "CustomCentroidBond": lambda: one(centroid),
}

ALANINES: dict[str, Callable[[], tuple[openmm.System, np.ndarray]]] = {
    "amber96 implicit/obc1": lambda: force_field(ALANINE, ["amber96.xml", "implicit/obc1.xml"]),
    "amber96 vacuum": lambda: force_field(ALANINE, ["amber96.xml"]),
    "amber96 amber96_obc": lambda: force_field(ALANINE, ["amber96.xml", "amber96_obc.xml"]),
    "amber99sbildn amber99_obc": lambda: force_field(ALANINE, ["amber99sbildn.xml", "amber99_obc.xml"]),
    "amber14 implicit/obc1 cut": lambda: force_field(
        ALANINE, ["amber14-all.xml", "implicit/obc1.xml"], app.CutoffNonPeriodic, 2.0
    ),
    "amber14 implicit/obc1": lambda: force_field(ALANINE, ["amber14-all.xml", "implicit/obc1.xml"]),
}
ALANINES |= {
    f"amber96 implicit/{model}": lambda model=model: force_field(ALANINE, ["amber96.xml", f"implicit/{model}.xml"])
    for model in ("hct", "obc2", "gbn", "gbn2")
}
ALANINES |= {
    f"amber96 implicit/{model} cut": lambda model=model: force_field(
        ALANINE, ["amber96.xml", f"implicit/{model}.xml"], app.CutoffNonPeriodic, 0.6
    )
    for model in ("hct", "gbn2")
}
PEPTIDES = {
    f"{name} {solvent}": lambda name=name, solvent=solvent: force_field(
        EXPERIMENTS / f"{name}.pdb", ["amber99sbildn.xml", solvent]
    )
    for name in ("tri_alanine", "penta_alanine")
    for solvent in ("amber99_obc.xml", "implicit/gbn2.xml")
}


def by(code: str, system: openmm.System) -> ForceField:
    field = translate(system)
    field.code = code  # type: ignore[assignment]
    return field


def charged_pair(distance: float, charges: tuple[float, float] = (0.4, -0.3)) -> tuple[openmm.System, np.ndarray]:
    """Two atoms with every pair force."""
    system = openmm.System()
    pairs, born = openmm.NonbondedForce(), openmm.GBSAOBCForce()
    for q in charges:
        system.addParticle(12.0)
        pairs.addParticle(q, 0.3, 0.4)
        born.addParticle(q, 0.15, 0.8)
    system.addForce(pairs)
    system.addForce(born)
    return system, np.array([[0.1, -0.2, 0.3], [0.1 + 0.6 * distance, -0.2, 0.3 + 0.8 * distance]])


def chain(n: int) -> tuple[openmm.System, np.ndarray]:
    """n atoms with every pair force, bonds, angles and torsions, as far as there are atoms for them."""
    system, x = cluster(n)
    torsion, bond, angle = openmm.PeriodicTorsionForce(), openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for i in range(n - 1):
        bond.addBond(i, i + 1, 0.2, 400.0)
    for i in range(n - 2):
        angle.addAngle(i, i + 1, i + 2, 1.8, 60.0)
    for i in range(n - 3):
        torsion.addTorsion(i, i + 1, i + 2, i + 3, 1 + i % 6, 0.3 * i, 2.0)
    pairs, born = openmm.NonbondedForce(), gbsa(0)(n)
    for i in range(n):
        pairs.addParticle(0.0 if i % 3 == 0 else (-1) ** i * 0.3, 0.25, 0.0 if i % 4 == 1 else 0.5)
    if n > 2:
        pairs.addException(0, 2, 0.1, 0.2, 0.3)
    for force in (bond, angle, torsion, pairs, born):
        system.addForce(force)
    return system, x


LIMITS = {
    "a near overlap": lambda: charged_pair(0.02),
    "one sphere in the other": lambda: one(gbsa(0)),
    "zero charges": lambda: charged_pair(0.3, (0.0, 0.0)),
    "far apart": lambda: charged_pair(4.0),
    **{f"{n} atoms": lambda n=n: chain(n) for n in (1, 2, 3, 4, 5, 8, 9)},
    "salt": lambda: salted(),
    **{f"one sphere in the other, {model}": lambda model=model: swallowed(model) for model in ("hct", "obc2", "gbn2")},
    "a straight angle": lambda: straight(),
    "spheres too large for a series": lambda: one(lambda n: amber_model("obc2", n, 0.02, 0.5)),
}


def salted() -> tuple[openmm.System, np.ndarray]:
    read = app.PDBFile(str(ALANINE))
    files = app.ForceField("amber96.xml", "implicit/obc2.xml")
    system = files.createSystem(read.topology, implicitSolventKappa=0.7)
    return system, np.asarray(read.positions.value_in_unit(openmm.unit.nanometer))


def straight() -> tuple[openmm.System, np.ndarray]:
    """Three atoms in a row at the rest of their angle, and three that are bent to be so."""
    system = openmm.System()
    for _ in range(6):
        system.addParticle(12.0)
    angle = openmm.HarmonicAngleForce()
    angle.addAngle(0, 1, 2, np.pi, 300.0)
    angle.addAngle(3, 4, 5, 2.0, 300.0)
    system.addForce(angle)
    return system, np.array([[0.1 * k, 0.0, 0.5 * (k > 2)] for k in range(6)])


def amber_model(model: str, n: int, reduced: float, scaled: float) -> openmm.CustomGBForce:
    """A model of Amber for n atoms whose spheres grow from atom to atom."""
    known, _ = force_field(ALANINE, ["amber96.xml", f"implicit/{model}.xml"])
    (force,) = (f for f in known.getForces() if isinstance(f, openmm.CustomGBForce))
    made = openmm.CustomGBForce()
    for k in range(force.getNumPerParticleParameters()):
        made.addPerParticleParameter(force.getPerParticleParameterName(k))
    for k in range(force.getNumTabulatedFunctions()):
        made.addTabulatedFunction(force.getTabulatedFunctionName(k), copy.deepcopy(force.getTabulatedFunction(k)))
    for k in range(force.getNumComputedValues()):
        made.addComputedValue(*force.getComputedValueParameters(k))
    for k in range(force.getNumEnergyTerms()):
        made.addEnergyTerm(*force.getEnergyTermParameters(k))
    for i in range(n):
        q, _, _, *others = force.getParticleParameters(i % 22)
        made.addParticle([q, reduced * (1 + i / n), scaled * (1 + i / n), *others])
    return made


def swallowed(model: str) -> tuple[openmm.System, np.ndarray]:
    """Atoms of which some hold others, in a model of Amber."""
    system, x = one(lambda n: amber_model(model, n, 0.1, 0.2))
    return system, 0.3 * x  # at distances from 0.05 nm


def batch(name: str, n: int) -> torch.Tensor:
    x0 = (ALANINES | PEPTIDES)[name]()[1]
    return torch.from_numpy(x0) + 0.005 * torch.randn(n, *x0.shape, dtype=torch.float64)
