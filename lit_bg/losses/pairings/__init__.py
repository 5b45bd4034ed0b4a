"""Pairings of base samples and data, for flow matching."""

from lit_bg.losses.pairings.base import Independent, Pairing
from lit_bg.losses.pairings.equivariant_ot import EquivariantOT
from lit_bg.losses.pairings.minibatch_ot import MinibatchOT

__all__ = ["EquivariantOT", "Independent", "MinibatchOT", "Pairing"]
