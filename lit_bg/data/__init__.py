"""Reference data: simulated or read, checked, with a card."""

from lit_bg.data.card import make_card
from lit_bg.data.dataset import Dataset

__all__ = ["Dataset", "make_card"]
