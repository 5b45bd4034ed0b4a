"""A molecule from files: PDB and mmCIF, Amber, GROMACS and CHARMM."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lit_bg.molecules.coordinates import PDB, check_atoms, existing, parse, read_coordinates, read_topology
from lit_bg.molecules.force_field import one_line, read_system, system_from_force_field, system_options, unconstrained

PERIODIC = ("CutoffPeriodic", "Ewald", "PME", "LJPME")
NONBONDED = ("NoCutoff", "CutoffNonPeriodic", *PERIODIC)
IMPLICIT = {name: f"implicit/{name.lower()}.xml" for name in ("HCT", "OBC1", "OBC2", "GBn", "GBn2")}
"""Implicit solvents: their names with Amber and CHARMM files, and OpenMM's force-field files"""


class Inputs(NamedTuple):
    """A molecule as OpenMM has it."""

    topology: Any  # openmm.app.Topology
    positions: np.ndarray  # (N, 3) float64 [nm]
    system: Any  # openmm.System, unconstrained


class Request(NamedTuple):
    """What is asked of a topology file: its unit cell, its force field, and how the System is made."""

    file: Path
    box: Any  # vectors, or None
    forcefield: list[str] | None
    nonbonded: str
    cutoff: float  # [nm]
    implicit_solvent: str | None
    defines: dict[str, str]


def read_molecule(
    topology: str,
    forcefield: list[str] | None = None,
    system: str | None = None,
    coordinates: str | None = None,
    nonbonded: str = "NoCutoff",
    cutoff: float = 1.0,
    constraints: str | None = None,
    implicit_solvent: str | None = None,
    defines: dict[str, str] | None = None,
) -> Inputs:
    """Topology, positions and an unconstrained System from the files of the usual programs, by the topology's suffix.

    ======================  =============================================  ==============================  ================
    topology                forcefield                                     coordinates                     implicit solvent
    ======================  =============================================  ==============================  ================
    .pdb .ent .cif .mmcif   OpenMM's XML files                             its own, or any below           in `forcefield`
    .prmtop .parm7          (in the topology)                              .inpcrd .rst7 .crd, .pdb, .gro  by name
    .top (GROMACS)          [directory of #include files], if not found    .gro, .pdb                      none
    .psf                    CHARMM's .rtf .prm .str                        .crd .cor, .pdb, .gro           by name
    ======================  =============================================  ==============================  ================

    Implicit solvents of prmtop files have a surface term (ACE), those of psf files none: OpenMM's defaults.

    Args:
        topology: file with the atoms and bonds.
        forcefield: files that the topology needs, as above.
        system: a serialized System (XML) instead of a force field; how it treats nonbonded interactions is its own.
        coordinates: file with the positions, and the unit cell if there is one; None takes the topology's.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].
        constraints: only None. Constrained coordinates have no density.
        implicit_solvent: HCT, OBC1, OBC2, GBn or GBn2.
        defines: names for `#ifdef` of a GROMACS topology with their values, such as {FLEXIBLE: ""}.

    Raises:
        ValueError: files that are missing, unreadable or of different molecules, atoms or residues that the force
            field does not know, coordinates in another unit, no box or too small a one, constraints, virtual sites.
    """
    _check_options(nonbonded, cutoff, constraints, implicit_solvent)
    file = existing("topology", topology)
    read = _reader(file)
    if read is None:
        raise ValueError(f"topology {topology} has the suffix '{file.suffix}', known are {', '.join([*PDB, *FORMATS])}.")
    if defines and read is not _gromacs:
        raise ValueError(f"defines={defines} are for GROMACS topologies, and {topology} is none: leave them out.")
    if coordinates is None and read is not _pdb:
        raise ValueError(f"topology {topology} holds no positions: give coordinates=, such as its .rst7, .gro, .crd or .pdb.")
    if system is not None and (forcefield is not None or implicit_solvent is not None):
        raise ValueError(f"system {system} holds its own force field and solvent: leave forcefield and implicit_solvent out.")
    found = read_coordinates(coordinates or topology, amber=read is _amber)
    atoms, create = read(Request(file, found.box, forcefield, nonbonded, cutoff, implicit_solvent, defines or {}))
    check_atoms(atoms, found, topology, coordinates or topology)
    if system is not None:
        made = read_system(system, atoms.getNumAtoms())
        if made.usesPeriodicBoundaryConditions():
            _check_box(made.getDefaultPeriodicBoxVectors(), _longest_cutoff(made), f"system {system}")
    else:
        if nonbonded in PERIODIC:
            _check_box(atoms.getPeriodicBoxVectors(), cutoff, f"nonbonded={nonbonded}")
        made = unconstrained(create(), f"topology {topology}", "take [ constraints ] and [ settles ] out of it")
    return Inputs(atoms, found.positions, made)


# One function a format: the Topology of a file, and what makes its System.
Format = Callable[[Request], tuple[Any, Callable[[], Any]]]


def _pdb(request: Request) -> tuple[Any, Callable[[], Any]]:
    if request.implicit_solvent is not None:
        raise ValueError(
            f"implicit_solvent={request.implicit_solvent} is for Amber and CHARMM files: "
            f"with {request.file} add {IMPLICIT[request.implicit_solvent]} to forcefield."
        )
    topology = read_topology(str(request.file)).topology
    topology.setPeriodicBoxVectors(request.box)
    return topology, lambda: system_from_force_field(topology, request.forcefield or [], request.nonbonded, request.cutoff)


def _amber(request: Request) -> tuple[Any, Callable[[], Any]]:
    from openmm import app

    if request.forcefield is not None:
        raise ValueError(f"topology {request.file} holds its force field: leave forcefield out.")
    read = parse(request.file, app.AmberPrmtopFile, periodicBoxVectors=request.box)
    return read.topology, lambda: _create(request, read.createSystem, implicitSolvent=_solvent(request))


def _gromacs(request: Request) -> tuple[Any, Callable[[], Any]]:
    if request.implicit_solvent is not None:
        raise ValueError(
            f"implicit_solvent={request.implicit_solvent} is for Amber and CHARMM files, and OpenMM reads none from "
            f"{request.file}: use a PDB file with {IMPLICIT[request.implicit_solvent]} in forcefield."
        )
    include = None
    if request.forcefield is not None:
        if len(request.forcefield) != 1 or not Path(request.forcefield[0]).is_dir():
            raise ValueError(
                f"forcefield={request.forcefield} is not one directory: "
                f"with {request.file} give the one that its #include files lie in."
            )
        include = request.forcefield[0]
    try:
        options = {"defines": dict(request.defines)} if request.defines else {}
        read = parse(request.file, _gromacs_reader(), periodicBoxVectors=request.box, includeDir=include, **options)
    except ValueError as error:
        if "#include" not in str(error):
            raise
        raise ValueError(f"{str(error)[:-1]}; set forcefield: [directory that holds it] or GMXDATA.") from error
    if read.left_out:
        warnings.warn(
            f"{request.file} has {', '.join(f'[ {name} ]' for name in read.left_out)}, which OpenMM leaves out of the energy: "
            "what they hold is free here.",
            stacklevel=4,
        )
    return read.topology, lambda: _create(request, read.createSystem)


READ = """atoms bonds pairs angles dihedrals exclusions constraints settles cmap virtual_sites dummies
moleculetype molecules system"""
"""Directives of a molecule in a GROMACS topology that OpenMM reads"""


def _gromacs_reader() -> Any:
    """OpenMM's reader of GROMACS topologies, which also notes the directives that it passes over, in `left_out`."""
    from openmm import app

    class Noting(app.GromacsTopFile):
        def __init__(self, *args: Any, **options: Any) -> None:
            self.left_out: dict[str, None] = {}  # in their order; all lines are read by the constructor
            super().__init__(*args, **options)

        def _processLine(self, line: str, file: str) -> None:  # of every line of every included file
            super()._processLine(line, file)
            category = self._currentCategory
            if category is None or not all(self._ifStack) or self._currentMoleculeType is None:
                return
            if category.rstrip("234n") not in READ.split() and not category.endswith("types"):
                self.left_out[category] = None

    return Noting


def _charmm(request: Request) -> tuple[Any, Callable[[], Any]]:
    from openmm import app

    files = [str(existing("force-field file", f)) for f in request.forcefield or []]
    read = parse(request.file, app.CharmmPsfFile, periodicBoxVectors=request.box)

    def create() -> Any:
        if not files:
            raise ValueError(f"topology {request.file} needs forcefield=[...], CHARMM's .rtf, .prm and .str files.")
        try:
            parameters = app.CharmmParameterSet(*files)
        except Exception as error:
            raise ValueError(
                f"the force field {', '.join(files)} cannot be read: {one_line(error)}; "
                "CHARMM's files are .rtf, .top, .par, .prm, .str and .inp."
            ) from error
        return _create(request, read.createSystem, params=parameters, implicitSolvent=_solvent(request))

    return read.topology, create


FORMATS: dict[str, Format] = {".prmtop": _amber, ".parm7": _amber, ".top": _gromacs, ".psf": _charmm}


def _reader(file: Path) -> Format | None:
    suffix = file.suffix.lower()
    if suffix == ".top" and file.read_text(errors="replace").lstrip().startswith("%VERSION"):
        return _amber  # Amber's topologies bear the suffix of GROMACS's at times
    return _pdb if suffix in PDB else FORMATS.get(suffix)


def _create(request: Request, create: Callable[..., Any], **options: Any) -> Any:
    try:
        return create(**system_options(request.nonbonded, request.cutoff), **options)
    except Exception as error:  # anything from KeyError to classes of its own
        raise ValueError(
            f"OpenMM cannot make a System of {request.file}: {type(error).__name__}, {one_line(error)}."
        ) from error


def _solvent(request: Request) -> Any:
    from openmm import app

    return None if request.implicit_solvent is None else getattr(app, request.implicit_solvent)


def _check_options(nonbonded: str, cutoff: float, constraints: str | None, implicit_solvent: str | None) -> None:
    if constraints is not None:
        raise ValueError(
            f"constraints={constraints} takes degrees of freedom away, and what is left has another measure: "
            "use constraints: null (heavier hydrogens allow long time steps instead)."
        )
    if nonbonded not in NONBONDED:
        raise ValueError(f"nonbonded={nonbonded} is unknown: use one of {', '.join(NONBONDED)}.")
    if not cutoff > 0:
        raise ValueError(f"cutoff must be positive, got {cutoff} nm.")
    if implicit_solvent is not None and implicit_solvent not in IMPLICIT:
        raise ValueError(f"implicit_solvent={implicit_solvent} is unknown: use one of {', '.join(IMPLICIT)}.")


def _check_box(box: Any, cutoff: float, what: str) -> None:
    """The minimum image is unique: the cutoff fits into half of every width of the box."""
    if box is None:
        raise ValueError(f"{what} needs a box, and the files have none: give coordinates with a unit cell, or NoCutoff.")
    width = min(float(box[k][k]._value) for k in range(3))
    if 2 * cutoff > width:
        raise ValueError(
            f"{what} has a cutoff of {cutoff:g} nm, more than half the width {width:g} nm of the box: "
            "use a larger box, a shorter cutoff, or NoCutoff for a molecule without a box."
        )


def _longest_cutoff(system: Any) -> float:
    forces = [f for f in system.getForces() if hasattr(f, "getCutoffDistance") and f.usesPeriodicBoundaryConditions()]
    return max((float(f.getCutoffDistance()._value) for f in forces), default=0.0)
