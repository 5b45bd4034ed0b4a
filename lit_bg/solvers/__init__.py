"""Solvers of the ordinary differential equations of continuous flows."""

from lit_bg.solvers.adaptive import DormandPrince
from lit_bg.solvers.base import Solver
from lit_bg.solvers.fixed_step import FixedStep, Heun, Midpoint, RungeKutta4

__all__ = ["DormandPrince", "FixedStep", "Heun", "Midpoint", "RungeKutta4", "Solver"]
