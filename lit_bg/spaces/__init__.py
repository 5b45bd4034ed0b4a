"""Spaces: where configurations live, and the measure."""

from lit_bg.spaces.base import Space, Symmetry
from lit_bg.spaces.domain import Domain, Kind
from lit_bg.spaces.lattice import Lattice
from lit_bg.spaces.particles import Particles
from lit_bg.spaces.product import Product
from lit_bg.spaces.spins import Spins
from lit_bg.spaces.target import Target
from lit_bg.spaces.vectors import Vectors

__all__ = ["Domain", "Kind", "Lattice", "Particles", "Product", "Space", "Spins", "Symmetry", "Target", "Vectors"]
