"""Callbacks of training and testing: they turn evaluations into numbers, pictures and a verdict."""

from lit_bg.callbacks.checkpoints import Checkpoints
from lit_bg.callbacks.conditions import Conditions
from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.ema import EMA
from lit_bg.callbacks.figures import Figures
from lit_bg.callbacks.nonfinite_guard import NonFiniteGuard
from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.particle_distances import ParticleDistances
from lit_bg.callbacks.progress import Progress
from lit_bg.callbacks.report import Report
from lit_bg.callbacks.structures import Structures

__all__ = [
    "EMA",
    "Checkpoints",
    "Conditions",
    "Diagnose",
    "Figures",
    "NonFiniteGuard",
    "Observer",
    "ParticleDistances",
    "Progress",
    "Report",
    "Structures",
]
