"""Generators: how to propose configurations with their log density."""

from lit_bg.generators.base import Generator
from lit_bg.generators.coupling_flow import CouplingFlow
from lit_bg.generators.prior import Prior
from lit_bg.generators.transport import Transport

__all__ = ["CouplingFlow", "Generator", "Prior", "Transport"]
