"""Networks and vector fields that generators are built from."""

from lit_bg.nets.divergence import Divergence, ExactDivergence, Hutchinson
from lit_bg.nets.egnn import EGNN
from lit_bg.nets.field import VectorField
from lit_bg.nets.gradient_field import GradientField
from lit_bg.nets.kernel_field import KernelField
from lit_bg.nets.mlp import MLP
from lit_bg.nets.mlp_field import MLPField
from lit_bg.nets.tensor_product_field import TensorProductField

__all__ = [
    "EGNN",
    "MLP",
    "Divergence",
    "ExactDivergence",
    "GradientField",
    "Hutchinson",
    "KernelField",
    "MLPField",
    "TensorProductField",
    "VectorField",
]
