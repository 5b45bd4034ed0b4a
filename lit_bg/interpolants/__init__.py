"""Interpolants between a base density and the data, for flow matching and diffusion."""

from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.linear import Linear
from lit_bg.interpolants.trigonometric import Trigonometric
from lit_bg.interpolants.variance_exploding import VarianceExploding
from lit_bg.interpolants.variance_preserving import VariancePreserving

__all__ = ["Interpolant", "Linear", "Trigonometric", "VarianceExploding", "VariancePreserving"]
