"""Networks and vector fields that generators are built from."""

from lit_bg.nets.divergence import Divergence, Exact, Hutchinson
from lit_bg.nets.egnn import EGNN
from lit_bg.nets.field import VectorField
from lit_bg.nets.mlp import MLP
from lit_bg.nets.mlp_field import MLPField

__all__ = ["EGNN", "MLP", "Divergence", "Exact", "Hutchinson", "MLPField", "VectorField"]
