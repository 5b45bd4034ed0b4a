"""Systems to sample, each with what is known of it exactly."""

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.double_well import DoubleWell

__all__ = ["DoubleWell", "Energy", "Modes", "Observable"]
