"""Simulators: reference data without any generator."""

from lit_bg.simulators.base import ReportProgress, Simulator, States, Trajectory
from lit_bg.simulators.exact import Exact
from lit_bg.simulators.openmm_langevin import OpenMMLangevin
from lit_bg.simulators.recorder import Interrupted, Recorder
from lit_bg.simulators.replica_exchange import ReplicaExchange
from lit_bg.simulators.simulation import Simulation
from lit_bg.simulators.temperatures import Temperatures

__all__ = [
    "Exact",
    "Interrupted",
    "OpenMMLangevin",
    "Recorder",
    "ReplicaExchange",
    "ReportProgress",
    "Simulation",
    "Simulator",
    "States",
    "Temperatures",
    "Trajectory",
]
