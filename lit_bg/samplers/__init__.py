"""Samplers: from the proposals of a generator to the target."""

from lit_bg.samplers.ais import AIS
from lit_bg.samplers.annealed_path import AnnealedPath
from lit_bg.samplers.base import Proposer, Result, Sampler
from lit_bg.samplers.importance import Importance
from lit_bg.samplers.markov_chains import MarkovChains
from lit_bg.samplers.smc import SMC

__all__ = ["AIS", "SMC", "AnnealedPath", "Importance", "MarkovChains", "Proposer", "Result", "Sampler"]
