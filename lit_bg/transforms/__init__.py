"""Invertible maps: the pieces of flows, and coordinates of systems."""

from lit_bg.transforms.affine import Affine
from lit_bg.transforms.base import Chart, Transform
from lit_bg.transforms.chain import Chain
from lit_bg.transforms.conditional import ConditionalMap
from lit_bg.transforms.coupling import Coupling
from lit_bg.transforms.elementwise import Elementwise
from lit_bg.transforms.internal_coordinates import InternalCoordinates
from lit_bg.transforms.marginals import CircularMarginals
from lit_bg.transforms.mixed_coordinates import MixedCoordinates
from lit_bg.transforms.periodic_cell import PeriodicCell
from lit_bg.transforms.permutation import Permutation
from lit_bg.transforms.spline import Spline
from lit_bg.transforms.standardize import Standardize
from lit_bg.transforms.whitening import Whitening
from lit_bg.transforms.zmatrix_chart import ZMatrixChart

__all__ = [
    "Affine",
    "Chain",
    "Chart",
    "CircularMarginals",
    "ConditionalMap",
    "Coupling",
    "Elementwise",
    "InternalCoordinates",
    "MixedCoordinates",
    "PeriodicCell",
    "Permutation",
    "Spline",
    "Standardize",
    "Transform",
    "Whitening",
    "ZMatrixChart",
]
