"""Simulators: reference data without any generator."""

from lit_bg.samplers.base import Progress, Simulator, Trajectory
from lit_bg.samplers.chain import Chain
from lit_bg.samplers.dynamics import Dynamics
from lit_bg.samplers.exact import Exact
from lit_bg.samplers.hmc import HMC
from lit_bg.samplers.langevin import Langevin
from lit_bg.samplers.mala import MALA
from lit_bg.samplers.metropolis import Metropolis
from lit_bg.samplers.openmm_langevin import OpenMMLangevin
from lit_bg.samplers.overdamped_langevin import OverdampedLangevin
from lit_bg.samplers.recorder import Interrupted, Recorder
from lit_bg.samplers.replica_exchange import ReplicaExchange

__all__ = [
    "HMC",
    "MALA",
    "Chain",
    "Dynamics",
    "Exact",
    "Interrupted",
    "Langevin",
    "Metropolis",
    "OpenMMLangevin",
    "OverdampedLangevin",
    "Progress",
    "Recorder",
    "ReplicaExchange",
    "Simulator",
    "Trajectory",
]
