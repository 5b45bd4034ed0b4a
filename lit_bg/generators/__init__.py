"""Generators: how to propose configurations with their log density."""

from lit_bg.generators.base import Generator
from lit_bg.generators.base_density import BaseDensity
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.generators.coupling_flow import CouplingFlow
from lit_bg.generators.diffusion import Diffusion
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.generators.folded_flow import FoldedFlow
from lit_bg.generators.harmonic import Harmonic
from lit_bg.generators.known import Known
from lit_bg.generators.lattice import Lattice
from lit_bg.generators.normal import Normal
from lit_bg.generators.prior import Prior
from lit_bg.generators.reverse_diffusion import ReverseDiffusion
from lit_bg.generators.transport import Transport

__all__ = [
    "BaseDensity",
    "ContinuousFlow",
    "CouplingFlow",
    "Diffusion",
    "FieldGenerator",
    "FoldedFlow",
    "Generator",
    "Harmonic",
    "Known",
    "Lattice",
    "Normal",
    "Prior",
    "ReverseDiffusion",
    "Transport",
]
