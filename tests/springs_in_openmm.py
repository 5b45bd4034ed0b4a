"""Replica exchange of particles on springs by OpenMM's own sampler: every free energy is known."""

import math

import openmm
from openmm import app, unit

PARTICLES, STIFFNESS = 4, 1000.0  # [kJ/mol/nm^2]
FREQUENCY = math.sqrt(STIFFNESS / 40.0)  # of a mass of 40 amu [1/ps]


def run_openmm(folder, states, iterations, steps=25, energy=True, interval=1):
    """Write what `ReplicaExchangeReporter` does of independent particles, each on a spring of k (1 + lambda)."""
    system, topology = openmm.System(), app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    spring = openmm.CustomExternalForce(f"0.5*{STIFFNESS}*(1+lambda)*(x^2+y^2+z^2)")
    spring.addGlobalParameter("lambda", 0.0)
    for k in range(PARTICLES):
        system.addParticle(40.0)
        spring.addParticle(k)
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), residue)
    system.addForce(spring)
    integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5.0 / unit.picosecond, 0.02 * unit.picosecond)
    integrator.setRandomNumberSeed(3)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions([openmm.Vec3(0.05, -0.03, 0.04)] * PARTICLES)
    simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
    sampler = app.ReplicaExchangeSampler(states, simulation, steps)
    sampler.simulate(10)
    reporter = app.ReplicaExchangeReporter(str(folder), interval, sampler, energy=energy)
    sampler.reporters.append(reporter)
    sampler.simulate(iterations)
    del sampler.reporters[:], reporter


def exact(temperature, stiffer=0.0, reference=300.0):
    """-ln Z relative to that at the reference temperature with lambda = 0."""
    return -1.5 * PARTICLES * (math.log(temperature / reference) - math.log(1 + stiffer))
