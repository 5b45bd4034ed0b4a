"""Molecules apart from their energy: atoms, bonds, torsions, a Z-matrix, and files to look at."""

from lit_bg.molecules.structure import Structure
from lit_bg.molecules.writing import pdb_text, save_structures, save_topology
from lit_bg.molecules.zmatrix import ZMatrix

__all__ = ["Structure", "ZMatrix", "pdb_text", "save_structures", "save_topology"]
