"""Generators: how to propose configurations with their log density."""

from lit_bg.generators.base import Generator
from lit_bg.generators.base_density import BaseDensity, StandardNormal
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.generators.coupling_flow import CouplingFlow
from lit_bg.generators.prior import Prior
from lit_bg.generators.transport import Transport

__all__ = ["BaseDensity", "ContinuousFlow", "CouplingFlow", "Generator", "Prior", "StandardNormal", "Transport"]
