"""The expression language of OpenMM's custom forces, which is parsed, simplified, and evaluated on tensors."""

from lit_bg.forces.expressions.expression import Expression
from lit_bg.forces.expressions.operations import Function

__all__ = ["Expression", "Function"]
