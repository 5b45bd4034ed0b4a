"""Kernels: moves that leave exp(-u) as it is."""

from lit_bg.kernels.base import Info, Kernel, State
from lit_bg.kernels.cycle import Cycle
from lit_bg.kernels.exchange import Exchange
from lit_bg.kernels.hmc import HMC
from lit_bg.kernels.langevin import Langevin
from lit_bg.kernels.mala import MALA
from lit_bg.kernels.metropolis import Metropolis
from lit_bg.kernels.mixture import Mixture
from lit_bg.kernels.overdamped_langevin import OverdampedLangevin
from lit_bg.kernels.spin_flip import SpinFlip
from lit_bg.kernels.torsion_moves import TorsionMoves

__all__ = [
    "HMC",
    "MALA",
    "Cycle",
    "Exchange",
    "Info",
    "Kernel",
    "Langevin",
    "Metropolis",
    "Mixture",
    "OverdampedLangevin",
    "SpinFlip",
    "State",
    "TorsionMoves",
]
