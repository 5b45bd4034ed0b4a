"""Searches over the keys of an experiment, described as `wandb sweep` reads them and run here by Optuna."""

from lit_bg.sweeps.definition import Sweep
from lit_bg.sweeps.parameter import Choice, Range

__all__ = ["Choice", "Range", "Sweep"]
