"""Molecules with a classical force field."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.molecular_modes import FoundModes, find_modes, phi_modes, torsion_modes
from lit_bg.energies.molecular_observables import observables_of
from lit_bg.energies.openmm_bridge import OpenMMEvaluator, Potential, choose_platform
from lit_bg.energies.openmm_terms import energies_by_force
from lit_bg.forces import ForceField, Untranslatable, box_of, translate
from lit_bg.forces.translate import BAROSTATS
from lit_bg.molecules.chirality import Chirality
from lit_bg.molecules.force_field import remove_forces
from lit_bg.molecules.geometry import distance
from lit_bg.molecules.hydrogen_mass import repartitioned_masses
from lit_bg.molecules.invariance import Term, find_symmetries
from lit_bg.molecules.rotatable import RotatableBonds, rotatable_bonds
from lit_bg.molecules.structure import Structure, unbound_parts
from lit_bg.molecules.topologies import FLAT, OpenMMObjects, Topology, topology_of
from lit_bg.molecules.torsion_starts import draw_torsions
from lit_bg.spaces import Particles, Symmetry

R = 8.31446261815324e-3  # gas constant [kJ/mol/K]
LONG_BOND = 0.4  # [nm], or twice a bond's own length where that is more: it is broken, by a wrapped molecule, say
SHORT_BOND = 0.3  # of a bond's own length: its atoms coincide
MANY_ATOMS = 300  # from here on only forces that may act on positions in space are asked whether they do


class Molecule(Energy):
    r"""Describes a molecule by topology, force field and temperature; (N, 3) [nm], potential in kJ/mol, kT = R T.

    The force field is read by OpenMM once and translated to torch (`lit_bg.forces`): batched, differentiable twice, on
    any device, in float32 or float64. What has no translation (lattice sums, unknown forces) is evaluated by OpenMM,
    one configuration at a time in each process, with a warning that names it.

    The reference measure is the centre-of-mass-free subspace, 3(N - 1) dimensions. A molecule that an external field holds in
    its place (a force that acts on positions in space) is measured on all 3N coordinates instead. The potential does not
    see mirror images: averages are those of the topology file's enantiomer as long as what proposes
    configurations keeps it (internal coordinates and dynamics do; `in_region` tells).
    Configurations that overlap or are NaN have energy +inf and zero force.

    >>> from lit_bg.molecules.topologies import PDB
    >>> Molecule(PDB("experiments/alanine_dipeptide.pdb", ["amber96.xml", "implicit/obc1.xml"]), 300.0).space.shape
    (22, 3)

    Args:
        topology: the atoms, a first configuration and the forces, one of `lit_bg.molecules.topologies`: PDB, Amber, GROMACS,
            CHARMM, SerializedSystem, OpenMMObjects or one of your own. Or the path of its file, with what it needs beside it
            (`flat`).
        temperature: T [K].
        modes: the metastable states. "phi": the signs of the phi torsions of a peptide; "basins": those of the free energy
            along all torsions, found in the reference data; or borders [rad] by torsion, {phi: [0, 2.15]}, also with the
            combinations that count, {borders: ..., states: [[0, 1], ...]}, as a run writes what it has found. None: "phi", or
            "basins" for a molecule without.
        backend: what evaluates the energy; "openmm" is for comparison.
        compile: evaluate through compiled code: on a CPU that of `lit_bg.forces.kernel`, for the forces that it has, and
            torch.compile for all others; None: the first always, the second from the point on where it pays (batches of some
            size, and 2e8 pairs of atoms so far: a million energies of 22 atoms); False: neither.
        platform: of OpenMM; None takes the faster of Reference (double precision) and CPU (single).
        processes: of OpenMM; null: one per core.
        flat: keys beside the path of a topology: forcefield, nonbonded, cutoff, constraints, system, coordinates,
            implicit_solvent and defines, as in `topology_of`.

    Raises:
        ValueError: a missing or unreadable file, a residue the force field does not know, a system that is
            constrained: with the way out, before anything is computed.

    References:
        Eastman et al., OpenMM 8, J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662.
        Alanine dipeptide as in Midgley, Stimper, Simm, Schoelkopf, Hernandez-Lobato, FAB, arXiv:2208.01893:
        amber96.xml and implicit/obc1.xml, no cutoff, no constraints, 300 K.
    """

    unit = "kJ/mol"
    space: Particles
    structure: Structure
    symmetries: frozenset[Symmetry]  # translation, and rotation without a box
    incidental: ClassVar[tuple[str, ...]] = ("temperature", "backend", "compile", "platform", "processes")

    def __init__(
        self,
        topology: str | Topology | Path,  # in this order: Path, or jsonargparse reads the file as YAML; last, or it takes all
        temperature: float = 300.0,
        modes: Literal["phi", "basins"] | dict[str, list[float]] | FoundModes | None = None,
        backend: Literal["torch", "openmm"] = "torch",
        compile: bool | None = None,
        platform: str | None = None,
        processes: int | None = 1,
        **flat: Any,
    ) -> None:
        import openmm

        _check_temperature(temperature)
        super().__init__(kT=R * temperature)
        source = topology_of(topology, **flat)
        structure, system = source.build()
        self.name = source.name or f"the molecule of {structure.n_atoms} atoms"
        if backend not in ("torch", "openmm"):
            raise ValueError(f"backend={backend} is unknown: use torch, or openmm for comparison.")
        choose_platform(system, platform)  # so that a wrong name is refused here
        for kind in remove_forces(system, {*BAROSTATS, "AndersenThermostat"}):  # else they would act in OpenMM's dynamics
            if kind in BAROSTATS:
                warnings.warn(
                    f"{self.name}: {kind} is left out, so that NPT becomes the fixed box of the System.", stacklevel=2
                )
        self.evaluator = OpenMMEvaluator(openmm.XmlSerializer.serialize(system), platform, processes)
        self.field: ForceField | None = None
        if backend == "torch":
            try:
                self.field = translate(system)
                self.field.compile = compile
                if compile is False:
                    self.field.code = "torch"
            except Untranslatable as reason:
                warnings.warn(
                    f"{self.name}: {reason} has no translation to torch, so OpenMM evaluates the energy, one configuration "
                    "at a time (processes: null uses all cores).",
                    stacklevel=2,
                )

        box, positions = box_of(system), torch.from_numpy(structure.positions)
        few = len(positions) <= MANY_ATOMS
        self.symmetries = find_symmetries(self._by_force(system, few), positions, box is not None, self.name, self.kT)
        centred = "translation" in self.symmetries
        self.space = Particles(len(positions), 3, centred=centred, box=box)
        self.structure = replace(structure, positions=structure.positions - structure.positions.mean(0) * centred)
        self._modes = None if modes == "basins" else self._known_modes(modes)
        self.finds_modes = self._modes is None
        parts = [] if box is not None or not centred else unbound_parts(self.structure, system)
        if len(parts) > 1:
            warnings.warn(
                f"{self.name} has {len(parts)} parts that no bond holds together ({', '.join(parts[:4])}) and no box: a "
                "cluster in vacuum evaporates, so log Z does not exist and averages are those of as long as it lasts.",
                stacklevel=2,
            )

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        if "topology" not in arguments:  # a subclass with a constructor of its own
            return arguments
        source = topology_of(arguments["topology"], **{key: arguments[key] for key in FLAT if key in arguments})
        return {key: value for key, value in arguments.items() if key not in FLAT} | {"topology": source}

    @classmethod
    def from_system(cls, system: Any, topology: Any, temperature: float = 300.0, **options: Any) -> Self:
        """Return a molecule from objects of OpenMM, `Molecule(OpenMMObjects(system, topology), temperature, ...)`.

        Args:
            system: an openmm.System without constraints.
            topology: something with `.topology` and `.positions`, as PDBFile and Modeller have, or a PDB file's path.
            temperature: T [K].
            options: modes, backend, compile, platform and processes, as in the constructor.

        Raises:
            ValueError: constraints in place of bonds, virtual sites, or another number of atoms.
        """
        return cls(OpenMMObjects(system, topology), temperature, **options)

    def _by_force(self, system: Any, few: bool) -> Callable[[Tensor], Iterable[Term]]:
        """Return the energies of every force in double precision; of large systems only of those that may be fields."""
        field = self.field
        if field is None:
            return lambda x: energies_by_force(system, x, all_kinds=few)
        return lambda x: [Term(*term) for term in field.components(x, lambda f: few or f.sees_positions).items()]

    def potential(self, x: Tensor) -> Tensor:
        if self.field is not None:
            return self.field.energy(x).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            return Potential.apply(x, self.evaluator)
        return self.evaluator.energy(x).to(x.dtype)

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._by_field(x, self.kT) or super().value_and_gradient(x)

    def potential_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        own = type(self).value_and_gradient is Molecule.value_and_gradient
        return (self._by_field(x, 1.0) if own else None) or super().potential_and_gradient(x)

    def _by_field(self, x: Tensor, unit: float) -> tuple[Tensor, Tensor] | None:
        """Return energies and gradient in a unit [kJ/mol], counted; None where a subclass or OpenMM evaluates them."""
        own = type(self).potential is Molecule.potential and type(self).forward is Energy.forward
        if self.field is None or not own or x.dtype not in (torch.float32, torch.float64):
            return None
        self.space.check(x, self.name)
        u, gradient = self.field.energy_and_gradient(x, unit)
        self.meter.values += len(x)
        self.meter.gradients += len(x)
        return u.to(x.dtype), gradient

    def get_extra_state(self) -> dict[str, int]:
        work = [] if self.field is None else self.field.work
        return super().get_extra_state() | {f"work_{k}": done for k, done in enumerate(work)}

    def set_extra_state(self, state: dict[str, int]) -> None:
        super().set_extra_state(state)
        if self.field is not None:
            self.field.work = [max(done, state.get(f"work_{k}", 0)) for k, done in enumerate(self.field.work)]

    def energy_components(self, x: Tensor) -> dict[str, Tensor]:
        """Return the potential energy of every force by name, each (B,) [kJ/mol]; not counted.

        Raises:
            ValueError: OpenMM evaluates this molecule.
        """
        if self.field is None:
            raise ValueError(f"{self.name} is evaluated by OpenMM, which gives force groups only: use `evaluator`.")
        return self.field.components(x)

    @property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        return self.structure.bonds

    @cached_property
    def rotatable_bonds(self) -> RotatableBonds:
        """Return the single bonds that turn more than a methyl."""
        return rotatable_bonds(self.structure)

    def repartitioned_masses(self, hydrogen_mass: float) -> Tensor:
        return torch.tensor(repartitioned_masses(self.structure, hydrogen_mass), dtype=torch.float64)

    def start_from_torsions(self, walkers: int, rng: torch.Generator) -> Tensor:
        """Return (walkers, N, 3) float64 [nm]: the topology file's configuration with its backbone torsions drawn uniformly."""
        if not self.structure.backbone_torsions:
            raise ValueError(f"{self.name} has no peptide backbone to turn: use start: initial.")
        return draw_torsions(self.structure, walkers, rng)

    @property
    def temperature(self) -> float:
        """Return the temperature [K]."""
        return self.kT / R

    @property
    def masses(self) -> Tensor:
        """Return the masses, (N,) [amu]; no average depends on them."""
        return torch.tensor(self.structure.masses, dtype=torch.float64)

    @property
    def initial(self) -> Tensor:
        """Return the configuration of the topology file, (1, N, 3) [nm], centred unless an external field holds it."""
        return torch.from_numpy(self.structure.positions)[None].to(torch.get_default_dtype())

    @property
    def observables(self) -> dict[str, Observable]:
        return observables_of(self.structure)

    @property
    def modes(self) -> Modes | None:
        return self._modes

    def _known_modes(self, wanted: str | Mapping[str, Any] | None) -> Modes | None:
        """Return the modes that the user asks for; None where there are none.

        Raises:
            ValueError: phi of what has none, or borders that make no modes.
        """
        if wanted is not None and not isinstance(wanted, str):
            borders, states = (wanted["borders"], wanted["states"]) if "borders" in wanted else (wanted, None)
            return torsion_modes(self.structure, borders, states)
        found = phi_modes(self.structure)
        if found is None and wanted == "phi":
            raise ValueError(f"{self.name} has no phi torsion: use modes: basins, or give borders of its torsions.")
        return found

    def find_modes(self, x: Tensor) -> dict[str, Any] | None:
        found = find_modes(self.structure, x)
        return None if found is None else dict(found)

    def adopt_modes(self, found: dict[str, Any]) -> None:
        self._modes = torsion_modes(self.structure, found["borders"], found["states"])
        self.found_modes = found

    @cached_property
    def chirality(self) -> Chirality:
        """Return the hand of every stereocentre, as the topology file has it."""
        return Chirality(self.structure)

    def in_region(self, x: Tensor) -> Tensor:
        """Say which configurations have the hand of the topology file at every stereocentre, (B, N, 3) -> (B,) bool.

        The potential does not see the mirror image, and the target is one enantiomer. Labels of equivalent hydrogens are no
        matter of it: dynamics and internal coordinates keep those of the topology file, `FoldedFlow` folds onto them, and a
        generator that proposes other labels as well counts each of them in log Z. Configurations that are flat or NaN have no
        hand; of the latter there is no finite energy either.
        """
        return ~self.chirality.is_mirrored(x)

    def find_faults(self, x: Tensor) -> dict[str, Tensor]:
        """Return which configurations cannot be of this molecule in nanometres, (B,) bool, by what is wrong with them.

        Atoms that no bond ties may be at any distance: their energy tells.
        """
        found: dict[str, Tensor] = {}
        if self.structure.bonds:
            own = self.structure.bond_lengths.to(x)
            length = distance(x, torch.tensor(self.structure.bonds, device=x.device))
            found[f"a bond longer than {LONG_BOND} nm"] = (length > (2 * own).clamp_min(LONG_BOND)).any(-1)
            found[f"a bond shorter than {SHORT_BOND:.0%} of its length"] = (length < SHORT_BOND * own).any(-1)
        wrong = self.chirality.find_wrong(x)
        for k in wrong.any(0).nonzero().flatten().tolist():
            found[f"the other hand at {self.chirality.names[k]}"] = wrong[:, k]
        return found

    def check_configurations(self, x: Tensor) -> None:
        """Refuse configurations that are not of this molecule in nanometres, (B, N, 3).

        Raises:
            ValueError: another shape, or lengths of bonds that say another unit or another order of the atoms.
        """
        if x.shape[1:] != self.space.shape:
            raise ValueError(f"{self.name} has {self.structure.n_atoms} atoms, the configurations have shape {tuple(x.shape)}.")
        if not self.structure.bonds or len(x) == 0:
            return
        own = self.structure.bond_lengths.to(x)
        ratio = float((distance(x, torch.tensor(self.structure.bonds, device=x.device)) / own).median())
        if not 0.5 < ratio < 2:
            raise ValueError(
                f"the median bond of the configurations is {ratio:.3g} times as long as in the molecule: "
                "give nanometres (1 nm = 10 angstrom) and the atoms in the order of the topology."
            )


def _check_temperature(temperature: float) -> None:
    if isinstance(temperature, (str, list, tuple)):  # force-field files, which came here when the path alone was the topology
        raise ValueError(
            f"temperature must be a number [K], got {temperature!r}: force-field files belong to the topology, such as "
            "Molecule(PDB(path, [...])), or stand beside its path by their name, forcefield=[...]."
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature} K.")
