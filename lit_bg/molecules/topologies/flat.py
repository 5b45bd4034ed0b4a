"""The flat spelling of a topology: the path of a file, with everything else beside it."""

from __future__ import annotations

from pathlib import Path

from lit_bg.molecules.coordinates import PDB_SUFFIXES, existing
from lit_bg.molecules.topologies.amber import Amber
from lit_bg.molecules.topologies.base import Topology
from lit_bg.molecules.topologies.charmm import CHARMM
from lit_bg.molecules.topologies.gromacs import GROMACS
from lit_bg.molecules.topologies.openmm_system import SerializedSystem
from lit_bg.molecules.topologies.options import IMPLICIT, check_implicit_solvent, check_nonbonded
from lit_bg.molecules.topologies.pdb import PDB

KINDS: dict[str, type[Topology]] = dict.fromkeys(PDB_SUFFIXES, PDB)
KINDS |= {".prmtop": Amber, ".parm7": Amber, ".top": GROMACS, ".psf": CHARMM}


FLAT = (
    "forcefield", "nonbonded", "cutoff", "constraints", "system", "coordinates", "implicit_solvent", "defines",
)  # fmt: skip
"""Keys that may stand beside the path of a topology"""


def topology_of(
    topology: str | Topology | Path,
    forcefield: list[str] | None = None,
    nonbonded: str | None = None,
    cutoff: float | None = None,
    constraints: str | None = None,
    system: str | None = None,
    coordinates: str | None = None,
    implicit_solvent: str | None = None,
    defines: dict[str, str] | None = None,
) -> Topology:
    """Return the topology that a path means, by its suffix, with what is given beside it; one that is an object as it is.

    ======================  =============================================  ==============================  ================
    topology                forcefield                                     coordinates                     implicit_solvent
    ======================  =============================================  ==============================  ================
    .pdb .ent .cif .mmcif   OpenMM's XML files                             its own, or any below           in `forcefield`
    .prmtop .parm7          (in the topology)                              .inpcrd .rst7 .crd, .pdb, .gro  by name
    .top (GROMACS)          [directory of #include files], if not found    .gro, .pdb                      none
    .psf                    CHARMM's .rtf .prm .str                        .crd .cor, .pdb, .gro           by name
    ======================  =============================================  ==============================  ================

    Args:
        topology: file with the atoms and bonds, or a `Topology`, which takes nothing beside it.
        forcefield: files that the topology needs, as above.
        nonbonded: NoCutoff (None), CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm]; None: 1 nm.
        constraints: only None. Constrained coordinates have no density.
        system: a serialized System (XML) instead of a force field; how it treats nonbonded pairs is its own.
        coordinates: file with the positions, and the unit cell if there is one; None takes the topology's.
        implicit_solvent: HCT, OBC1, OBC2, GBn or GBn2.
        defines: names for #ifdef of a GROMACS topology with their values, such as {FLEXIBLE: ""}.

    Raises:
        ValueError: keys that do not belong to this kind of file, an unknown suffix, no file.
    """
    if isinstance(topology, Topology):
        beside = {
            "forcefield": forcefield, "nonbonded": nonbonded, "cutoff": cutoff, "constraints": constraints, "system": system,
            "coordinates": coordinates, "implicit_solvent": implicit_solvent, "defines": defines,
        }  # fmt: skip
        if given := [key for key, value in beside.items() if value is not None]:
            raise ValueError(
                f"{', '.join(given)} cannot stand beside a topology that is a {type(topology).__name__}: "
                "write what it takes under its own init_args."
            )
        return topology
    topology = str(topology)
    if constraints is not None:
        raise ValueError(
            f"constraints={constraints} takes degrees of freedom away, and what is left has another measure: "
            "use constraints: null (heavier hydrogens allow long time steps instead)."
        )
    method, reach = "NoCutoff" if nonbonded is None else nonbonded, 1.0 if cutoff is None else cutoff
    check_nonbonded(method, reach)
    check_implicit_solvent(implicit_solvent)
    file = existing("topology", topology)
    kind = _kind(file)
    if kind is None:
        raise ValueError(f"topology {topology} has the suffix '{file.suffix}', known are {', '.join(KINDS)}.")
    if defines and kind is not GROMACS:
        raise ValueError(f"defines={defines} are for GROMACS topologies, and {topology} is none: leave them out.")
    if system is not None:
        if forcefield is not None or implicit_solvent is not None:
            raise ValueError(
                f"system {system} holds its own force field and solvent: leave forcefield and implicit_solvent out."
            )
        return SerializedSystem(system, topology_of(topology, None, method, reach, None, None, coordinates, None, defines))
    if kind is PDB:
        _refuse_solvent(implicit_solvent, f"with {topology} add {{}} to forcefield")
        return PDB(topology, forcefield, coordinates, method, reach)
    if coordinates is None:
        raise ValueError(f"topology {topology} holds no positions: give coordinates=, such as its .rst7, .gro, .crd or .pdb.")
    if kind is CHARMM:
        return CHARMM(topology, coordinates, forcefield, method, reach, implicit_solvent)
    if kind is Amber:
        if forcefield is not None:
            raise ValueError(f"topology {topology} holds its force field: leave forcefield out.")
        return Amber(topology, coordinates, method, reach, implicit_solvent)
    _refuse_solvent(implicit_solvent, f"OpenMM reads none from {topology}, so use a PDB file with {{}} in forcefield")
    if forcefield is not None and (len(forcefield) != 1 or not Path(forcefield[0]).is_dir()):
        raise ValueError(
            f"forcefield={forcefield} is not one directory: with {topology} give the one that its #include files lie in."
        )
    return GROMACS(topology, coordinates, None if forcefield is None else forcefield[0], defines, method, reach)


def _kind(file: Path) -> type[Topology] | None:
    suffix = file.suffix.lower()
    if suffix == ".top" and file.read_text(errors="replace").lstrip().startswith("%VERSION"):
        return Amber  # its topologies bear the suffix of GROMACS's at times
    return KINDS.get(suffix)


def _refuse_solvent(name: str | None, way_out: str) -> None:
    if name is not None:
        raise ValueError(f"implicit_solvent={name} is for Amber and CHARMM files: {way_out.format(IMPLICIT[name])}.")
