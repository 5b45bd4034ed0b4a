"""Reference data: simulated or read, checked, with a card."""

from lit_bg.data.card import make_card
from lit_bg.data.dataset import Dataset
from lit_bg.data.sources import BalancedData, ExactSamples, ReferenceData, Source, WeightedFrames

__all__ = ["BalancedData", "Dataset", "ExactSamples", "ReferenceData", "Source", "WeightedFrames", "make_card"]
