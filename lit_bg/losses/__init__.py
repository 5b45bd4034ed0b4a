"""Losses: what a generator minimises in training."""

from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.denoising_score_matching import DenoisingScoreMatching
from lit_bg.losses.flow_matching import FlowMatching
from lit_bg.losses.forward_kl import ForwardKL
from lit_bg.losses.proposals import Proposals
from lit_bg.losses.reaction_coordinate import ReactionCoordinate
from lit_bg.losses.reverse_kl import ReverseKL
from lit_bg.losses.reweighted_kl import ReweightedKL
from lit_bg.losses.schedule import Schedule
from lit_bg.losses.weighted_sum import WeightedSum

__all__ = [
    "Batch",
    "DenoisingScoreMatching",
    "FlowMatching",
    "ForwardKL",
    "Loss",
    "Proposals",
    "ReactionCoordinate",
    "ReverseKL",
    "ReweightedKL",
    "Schedule",
    "WeightedSum",
]
