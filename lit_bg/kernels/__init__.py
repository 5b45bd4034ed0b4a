"""Kernels: moves that leave exp(-u) as it is."""

from lit_bg.kernels.base import Info, Kernel, State
from lit_bg.kernels.cycle import Cycle
from lit_bg.kernels.exchange import Exchange
from lit_bg.kernels.hmc import HMC
from lit_bg.kernels.independence import Independence
from lit_bg.kernels.isir import ISIR
from lit_bg.kernels.langevin import Langevin
from lit_bg.kernels.latent_walk import LatentWalk
from lit_bg.kernels.mala import MALA
from lit_bg.kernels.metropolis import Metropolis
from lit_bg.kernels.mixture import Mixture
from lit_bg.kernels.overdamped_langevin import OverdampedLangevin
from lit_bg.kernels.spin_flip import SpinFlip
from lit_bg.kernels.torsion_moves import TorsionMoves
from lit_bg.kernels.ula import ULA

__all__ = [
    "HMC",
    "ISIR",
    "MALA",
    "ULA",
    "Cycle",
    "Exchange",
    "Independence",
    "Info",
    "Kernel",
    "Langevin",
    "LatentWalk",
    "Metropolis",
    "Mixture",
    "OverdampedLangevin",
    "SpinFlip",
    "State",
    "TorsionMoves",
]
