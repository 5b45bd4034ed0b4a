"""Interpolants between a base density and the data, for flow matching."""

from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.linear import Linear
from lit_bg.interpolants.trigonometric import Trigonometric

__all__ = ["Interpolant", "Linear", "Trigonometric"]
