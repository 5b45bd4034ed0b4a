"""Generators: models that propose configurations with their log density."""

from lit_bg.generators.base import Generator
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.generators.coupling_flow import CouplingFlow
from lit_bg.generators.diffusion import Diffusion
from lit_bg.generators.field_generator import FieldGenerator
from lit_bg.generators.folded_flow import FoldedFlow
from lit_bg.generators.mixture_proposal import MixtureProposal
from lit_bg.generators.reverse_diffusion import ReverseDiffusion
from lit_bg.generators.transport import Transport

__all__ = [
    "ContinuousFlow",
    "CouplingFlow",
    "Diffusion",
    "FieldGenerator",
    "FoldedFlow",
    "Generator",
    "MixtureProposal",
    "ReverseDiffusion",
    "Transport",
]
