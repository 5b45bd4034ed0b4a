"""Topologies of molecules: one class for every source of atoms and forces."""

from lit_bg.molecules.topologies.amber import Amber
from lit_bg.molecules.topologies.base import Read, Topology
from lit_bg.molecules.topologies.charmm import CHARMM
from lit_bg.molecules.topologies.flat import FLAT, topology_of
from lit_bg.molecules.topologies.gromacs import GROMACS
from lit_bg.molecules.topologies.openmm_system import OpenMMObjects, SerializedSystem
from lit_bg.molecules.topologies.pdb import PDB
from lit_bg.molecules.topologies.topology_file import TopologyFile

__all__ = [
    "CHARMM",
    "FLAT",
    "GROMACS",
    "PDB",
    "Amber",
    "OpenMMObjects",
    "Read",
    "SerializedSystem",
    "Topology",
    "TopologyFile",
    "topology_of",
]
