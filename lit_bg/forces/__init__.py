"""Force fields of OpenMM as batched, differentiable torch: one file per kind of force."""

from lit_bg.forces.base import Force, Untranslatable
from lit_bg.forces.force_field import ForceField
from lit_bg.forces.translate import box_of, translate

__all__ = ["Force", "ForceField", "Untranslatable", "box_of", "translate"]
