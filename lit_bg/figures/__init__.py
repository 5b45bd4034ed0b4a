"""Pictures of samples, energies, free energies and weights; each function takes arrays and returns a Figure."""

from lit_bg.figures.configurations import Plane, draw_configurations
from lit_bg.figures.convergence import draw_convergence
from lit_bg.figures.distances import draw_distances
from lit_bg.figures.energies import draw_energies
from lit_bg.figures.matrix import draw_matrix
from lit_bg.figures.molecule import draw_molecule
from lit_bg.figures.paths import draw_paths
from lit_bg.figures.profiles import draw_profile
from lit_bg.figures.replicas import draw_replicas
from lit_bg.figures.surfaces import draw_surface
from lit_bg.figures.temperatures import draw_temperatures
from lit_bg.figures.training import TrainingCurve, draw_training
from lit_bg.figures.weights import draw_weights

__all__ = [
    "Plane",
    "TrainingCurve",
    "draw_configurations",
    "draw_convergence",
    "draw_distances",
    "draw_energies",
    "draw_matrix",
    "draw_molecule",
    "draw_paths",
    "draw_profile",
    "draw_replicas",
    "draw_surface",
    "draw_temperatures",
    "draw_training",
    "draw_weights",
]
