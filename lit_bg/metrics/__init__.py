"""Distributed numbers: states that reduce over ranks to what the gathered samples would give."""

from lit_bg.metrics.forward_ess import ForwardESS
from lit_bg.metrics.gathered import Gathered
from lit_bg.metrics.kish_ess import ImportanceSummary, KishESS

__all__ = ["ForwardESS", "Gathered", "ImportanceSummary", "KishESS"]
