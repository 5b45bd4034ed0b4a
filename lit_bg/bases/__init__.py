"""Bases: normalised densities that a flow starts from."""

from lit_bg.bases.base import BaseDensity
from lit_bg.bases.canonical import Canonical
from lit_bg.bases.crystal import Crystal
from lit_bg.bases.harmonic import Harmonic
from lit_bg.bases.known import Known
from lit_bg.bases.normal import Normal
from lit_bg.bases.periodic_crystal import PeriodicCrystal

__all__ = ["BaseDensity", "Canonical", "Crystal", "Harmonic", "Known", "Normal", "PeriodicCrystal"]
