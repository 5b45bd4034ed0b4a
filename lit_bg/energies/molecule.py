"""Molecules with a classical force field."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.openmm_bridge import (
    OpenMMEvaluator,
    Potential,
    choose_platform,
    harmonic_terms,
    read_system,
    system_from_force_field,
)
from lit_bg.molecules.geometry import dihedral, distance
from lit_bg.molecules.structure import Structure, read_topology

R = 8.31446261815324e-3  # gas constant [kJ/mol/K]
PHI_BARRIER = 2.15  # [rad] upper end of the basin phi > 0


class Molecule(Energy):
    r"""A molecule without a box: topology, force field and temperature; (N, 3) [nm], potential in kJ/mol, kT = R T.

    The reference measure is the centre-of-mass-free subspace, 3(N - 1) dimensions. The potential does not
    see mirror images: averages are those of the topology file's enantiomer as long as what proposes
    configurations keeps it (internal coordinates and dynamics do; the observable `P(L)` tells).

    Evaluated by OpenMM, one configuration at a time (`openmm_bridge`); the molecule itself is plain data.
    Configurations that overlap or are NaN have energy +inf and zero force.

    Args:
        topology: PDB or mmCIF file with hydrogens; also the starting configuration.
        forcefield: OpenMM force-field files, its own (`amber96.xml`, `implicit/obc1.xml`) or yours.
        temperature: T [K].
        nonbonded: without a cutoff, or cut (a cut that is not smooth spoils forces).
        cutoff: of CutoffNonPeriodic [nm].
        constraints: only None. Constrained coordinates have no density.
        system: a serialized System (XML), instead of `forcefield`.
        platform: of OpenMM; None takes the faster of Reference (double precision) and CPU (single).

    Raises:
        ValueError: a missing or unreadable file, a residue the force field does not know, a system that is
            periodic or constrained: with the way out, before anything is computed.

    References:
        Eastman et al., OpenMM 8, J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662.
        Alanine dipeptide as in Midgley, Stimper, Simm, Schoelkopf, Hernandez-Lobato, FAB, arXiv:2208.01893:
        amber96.xml and implicit/obc1.xml, no cutoff, no constraints, 300 K.
    """

    unit = "kJ/mol"

    def __init__(
        self,
        topology: str,
        forcefield: list[str] | None = None,
        temperature: float = 300.0,
        nonbonded: Literal["NoCutoff", "CutoffNonPeriodic"] = "NoCutoff",
        cutoff: float = 1.0,
        constraints: str | None = None,
        system: str | None = None,
        platform: str | None = None,
    ) -> None:
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature} K.")
        super().__init__(kT=R * temperature)
        if constraints is not None:
            raise ValueError(
                f"constraints={constraints} takes degrees of freedom away, and what is left has another measure: "
                "use constraints: null (heavier hydrogens allow long time steps instead)."
            )
        if nonbonded not in ("NoCutoff", "CutoffNonPeriodic"):
            raise ValueError(
                f"nonbonded={nonbonded} is periodic or unknown, and a molecule has no box: use NoCutoff or CutoffNonPeriodic."
            )
        if (forcefield is None) == (system is None):
            raise ValueError("Molecule takes either forcefield=[...] or system=path of a serialized System, and not both.")
        import openmm

        self.topology_path = topology
        self.forcefield = forcefield
        read = read_topology(topology)
        n = read.topology.getNumAtoms()
        if system is not None:
            openmm_system = read_system(system, n)
        else:
            openmm_system = system_from_force_field(read.topology, forcefield or [], nonbonded, cutoff)
        choose_platform(openmm_system, platform)  # so that a wrong name is refused here
        self.structure = _structure(read, openmm_system)
        self.event_shape = (n, 3)
        self.evaluator = OpenMMEvaluator(openmm.XmlSerializer.serialize(openmm_system), platform)

    def potential(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return Potential.apply(x, self.evaluator)
        return self.evaluator.energy(x).to(x.dtype)

    @property
    def temperature(self) -> float:
        """T [K]."""
        return self.kT / R

    @property
    def masses(self) -> Tensor:
        """(N,) [amu]; no average depends on them."""
        return torch.tensor(self.structure.masses, dtype=torch.float64)

    @property
    def degrees_of_freedom(self) -> int:
        return 3 * (self.structure.n_atoms - 1)

    @property
    def initial(self) -> Tensor:
        """(1, N, 3) the configuration of the topology file, centred [nm]."""
        return torch.from_numpy(self.structure.positions)[None].to(torch.get_default_dtype())

    @property
    def observables(self) -> dict[str, Observable]:
        torsions = {
            name: Observable(partial(_torsion, atoms=atoms), unit="rad", range=(-torch.pi, torch.pi), periodic=True)
            for name, atoms in self.structure.backbone_torsions.items()
        }
        observables = {
            **torsions,
            "Rg": Observable(partial(_radius_of_gyration, masses=self.structure.masses), unit="nm"),
        }
        if self.structure.chiral_centres:
            observables["P(L)"] = Observable(partial(_fraction_l, centres=self.structure.chiral_centres))
        return observables

    @property
    def modes(self) -> Modes | None:
        """For a molecule with one phi: its two sides, parted at 0 and 2.15 rad (the barriers of alanine dipeptide)."""
        phi = self.structure.backbone_torsions.get("phi")
        if phi is None:
            return None
        return Modes(names=("phi<0", "phi>0"), label=partial(_side_of_phi, atoms=phi))

    def check_configurations(self, x: Tensor) -> None:
        """Refuse configurations that are not of this molecule in nanometres, (B, N, 3).

        Raises:
            ValueError: another shape, or bonds of impossible length.
        """
        if x.shape[1:] != self.event_shape:
            raise ValueError(
                f"{self.topology_path} has {self.structure.n_atoms} atoms, the configurations have shape {tuple(x.shape)}."
            )
        length = float(distance(x, torch.tensor(self.structure.bonds, device=x.device)).median())
        if not 0.05 < length < 0.4:
            raise ValueError(
                f"the median bond of the configurations is {length:.3g} nm long, a chemical bond 0.07 to 0.25 nm: "
                "give nanometres (1 nm = 10 angstrom) and the atoms in the order of the topology."
            )


def _structure(read: object, system: object) -> Structure:
    """Plain data of an OpenMM topology and System."""
    from openmm import unit

    topology = read.topology  # type: ignore[attr-defined]
    atoms, residues = list(topology.atoms()), list(topology.residues())
    x = np.asarray(read.positions.value_in_unit(unit.nanometer), dtype=np.float64)  # type: ignore[attr-defined]
    masses = [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(len(atoms))]  # type: ignore[attr-defined]
    bonds, angles = harmonic_terms(system)
    return Structure(
        positions=x - x.mean(0),
        names=tuple(a.name for a in atoms),
        elements=tuple(a.element.symbol if a.element is not None else "X" for a in atoms),
        masses=tuple(masses),
        bonds=tuple((b[0].index, b[1].index) for b in topology.bonds()),
        residues=tuple(r.name for r in residues),
        residue_of=tuple(a.residue.index for a in atoms),
        harmonic_bonds=bonds,
        harmonic_angles=angles,
    )


# Observables are module functions with bound data, not lambdas: they can be pickled with what holds them.


def _torsion(x: Tensor, atoms: tuple[int, ...]) -> Tensor:
    return dihedral(x, torch.tensor([atoms], device=x.device))[:, 0]


def _side_of_phi(x: Tensor, atoms: tuple[int, ...]) -> Tensor:
    phi = _torsion(x, atoms)
    return ((phi > 0) & (phi < PHI_BARRIER)).long()


def _radius_of_gyration(x: Tensor, masses: tuple[float, ...]) -> Tensor:
    m = torch.tensor(masses, dtype=x.dtype, device=x.device)
    m = m / m.sum()
    centred = x - (m[:, None] * x).sum(1, keepdim=True)
    return (m * centred.square().sum(-1)).sum(-1).sqrt()


def _fraction_l(x: Tensor, centres: tuple[tuple[int, ...], ...]) -> Tensor:
    """Fraction of amino acids that are L: seen along H-CA, the order is CO, R, N clockwise."""
    ca, n, c, cb = x[:, torch.tensor(centres, device=x.device).T].unbind(1)
    volume = (torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1)
    return (volume > 0).to(x.dtype).mean(-1)
