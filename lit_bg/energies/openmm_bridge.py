"""Potential energy and forces of a molecule from OpenMM, one configuration at a time."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class OpenMMEvaluator:
    """Energies and forces of a System, in one process.

    It holds the System as text, and makes the Context when it is first asked. Copies and pickles carry the
    text alone, so they work in other processes and checkpoints hold no object of OpenMM.

    A configuration with NaN, or so overlapping that its energy is no finite number, has energy +inf and zero force.

    Args:
        system: a serialized System (XML).
        platform: OpenMM's name; None takes the faster one of Reference and CPU.
    """

    def __init__(self, system: str, platform: str | None = None) -> None:
        self.system = system
        self.platform = platform
        self._context: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}

    @property
    def context(self) -> Any:
        if self._context is None:
            import openmm

            system = openmm.XmlSerializer.deserialize(self.system)
            platform, properties = choose_platform(system, self.platform)
            self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)
        return self._context

    def energy(self, x: Tensor) -> Tensor:
        """Potential energy (B,) float64 [kJ/mol] of x (B, N, 3) [nm]."""
        return self._evaluate(x, forces=False)[0]

    def energy_and_forces(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Potential energy (B,) [kJ/mol] and forces (B, N, 3) [kJ/mol/nm], float64, from one call per configuration."""
        energy, forces = self._evaluate(x, forces=True)
        assert forces is not None  # for the type checker
        return energy, forces

    def _evaluate(self, x: Tensor, forces: bool) -> tuple[Tensor, Tensor | None]:
        from openmm import OpenMMException, unit

        context = self.context
        positions = x.detach().to("cpu", torch.float64).numpy()
        energy = np.full(len(positions), math.inf)
        force = np.zeros_like(positions) if forces else None
        for b in np.flatnonzero(np.isfinite(positions).all((1, 2))):
            try:
                context.setPositions(positions[b])
                state = context.getState(getEnergy=True, getForces=forces)
            except OpenMMException:  # some platforms raise on overlaps instead of returning NaN
                continue
            e = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            if not math.isfinite(e):
                continue
            if force is not None:
                f = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
                if not np.isfinite(f).all():
                    continue
                force[b] = f
            energy[b] = e
        device = x.device
        return torch.from_numpy(energy).to(device), None if force is None else torch.from_numpy(force).to(device)


class Potential(torch.autograd.Function):
    """U(x) with gradient -F, both from one call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, evaluator: OpenMMEvaluator) -> Tensor:
        energy, forces = evaluator.energy_and_forces(x)
        ctx.save_for_backward(forces.to(x.dtype))
        return energy.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (forces,) = ctx.saved_tensors
        # An infinite energy has zero force; a loss may still send it an infinite or NaN gradient.
        return -torch.where(forces == 0, 0.0, grad[:, None, None] * forces), None


def choose_platform(system: Any, name: str | None) -> tuple[Any, dict[str, str]]:
    """The platform to run on, with one thread: parallel are processes, not the threads of one small molecule.

    Measured, alanine dipeptide, evaluations/s on one core: with GBSAOBCForce Reference 21 000, CPU 7 700; with
    CustomGBForce (implicit/obc1.xml) Reference 750, CPU 1 400. CPU works in single precision, which
    costs 1e-4 kJ/mol at 22 atoms.

    Raises:
        ValueError: OpenMM has no platform of this name here.
    """
    import openmm

    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    if name is None:
        custom = any(force.getName().startswith("Custom") for force in system.getForces())
        name = "CPU" if custom or system.getNumParticles() > 100 else "Reference"
    if name not in names:
        raise ValueError(f"OpenMM has no platform {name} here, only {', '.join(names)}.")
    return openmm.Platform.getPlatformByName(name), {"Threads": "1"} if name == "CPU" else {}


def system_from_force_field(topology: Any, files: list[str], nonbonded: str, cutoff: float) -> Any:
    """An unconstrained System for a molecule without a box.

    Raises:
        ValueError: an unknown or unreadable force-field file, or a residue it does not know.
    """
    from openmm import app, unit

    if not files:
        raise ValueError("Molecule needs forcefield=[...] (such as amber96.xml) or system=path of a serialized System.")
    try:
        force_field = app.ForceField(*files)
    except Exception as error:  # XML errors and ValueError alike
        builtin = Path(app.__file__).parent / "data"
        known = [str(p.relative_to(builtin)) for p in builtin.rglob("*.xml")]
        missing = [f for f in files if f not in known and not Path(f).is_file()]
        if not missing:
            raise ValueError(f"the force field {', '.join(files)} cannot be read: {error}.") from error
        near = difflib.get_close_matches(missing[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else "give a file, or a name OpenMM ships such as amber14-all.xml."
        raise ValueError(f"force-field file {missing[0]} does not exist: {hint}") from error
    unmatched = force_field.getUnmatchedResidues(topology)
    if unmatched:
        residue = unmatched[0]
        elements = [atom.element.symbol for atom in residue.atoms() if atom.element is not None]
        hint = (
            "it has no hydrogens: add them with openmm.app.Modeller(...).addHydrogens(forcefield)"
            if "H" not in elements
            else "check its name, its hydrogens and the ends of the chain, or add a force-field file that describes it"
        )
        raise ValueError(
            f"the force field {', '.join(files)} does not know residue {residue.name} {residue.id} "
            f"with {len(elements)} atoms ({len(unmatched)} of {topology.getNumResidues()} residues unknown): {hint}."
        )
    method = {"NoCutoff": app.NoCutoff, "CutoffNonPeriodic": app.CutoffNonPeriodic}[nonbonded]
    try:
        return force_field.createSystem(
            topology, nonbondedMethod=method, nonbondedCutoff=cutoff * unit.nanometer,
            constraints=None, rigidWater=False, removeCMMotion=False,
        )  # fmt: skip
    except Exception as error:
        raise ValueError(f"the force field {', '.join(files)} cannot make a System: {error}.") from error


def read_system(path: str, n_atoms: int) -> Any:
    """A serialized System.

    Raises:
        ValueError: no such file, no System, or one that is periodic, constrained or of another size.
    """
    import openmm

    if not Path(path).is_file():
        raise ValueError(f"system {path} does not exist: paths are relative to the working directory.")
    try:
        system = openmm.XmlSerializer.deserialize(Path(path).read_text())
        n = system.getNumParticles()
    except Exception as error:
        raise ValueError(f"system {path} is no serialized OpenMM System: {error}.") from error
    if n != n_atoms:
        raise ValueError(f"system {path} has {n} particles and the topology {n_atoms} atoms: they must be one molecule.")
    if system.usesPeriodicBoundaryConditions():
        raise ValueError(f"system {path} is periodic: Molecule is for molecules without a box; serialize it with NoCutoff.")
    if system.getNumConstraints():
        raise ValueError(
            f"system {path} has {system.getNumConstraints()} constraints, and constrained coordinates have no density: "
            "serialize it with constraints=None, rigidWater=False."
        )
    virtual = sum(system.isVirtualSite(i) for i in range(n))
    if virtual:
        raise ValueError(f"system {path} has {virtual} virtual sites, which have no density of their own: use a model without.")
    return system


def harmonic_terms(
    system: Any,
) -> tuple[dict[tuple[int, int], tuple[float, float]], dict[tuple[int, int, int], tuple[float, float]]]:
    """Equilibrium value and force constant of every harmonic bond [nm, kJ/mol/nm^2] and angle [rad, kJ/mol/rad^2]."""
    import openmm

    bonds, angles = {}, {}
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            for n in range(force.getNumBonds()):
                i, j, r0, k = force.getBondParameters(n)
                bonds[min(i, j), max(i, j)] = (float(r0._value), float(k._value))
        elif isinstance(force, openmm.HarmonicAngleForce):
            for n in range(force.getNumAngles()):
                i, j, k, theta, stiffness = force.getAngleParameters(n)
                angles[min(i, k), j, max(i, k)] = (float(theta._value), float(stiffness._value))
    return bonds, angles
