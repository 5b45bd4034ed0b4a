"""Simulators: reference data without any generator."""

from lit_bg.samplers.base import Progress, Simulator, Trajectory
from lit_bg.samplers.exact import Exact
from lit_bg.samplers.mala import MALA
from lit_bg.samplers.metropolis import Metropolis
from lit_bg.samplers.openmm_langevin import OpenMMLangevin

__all__ = ["MALA", "Exact", "Metropolis", "OpenMMLangevin", "Progress", "Simulator", "Trajectory"]
