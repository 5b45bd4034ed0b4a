"""The operations of OpenMM's expression language, on tensors.

Names of operators and of the internal forms made by the compiler (`?:`, `x|mask`, ...) cannot be spelled as a function in an
expression, so a function of the caller's never collides with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature

import torch
from torch import Tensor

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Operation:
    """Says how an operation is evaluated.

    Args:
        arity: the number of arguments.
        evaluate: the function of that many tensors.
        regular: its derivatives are finite wherever its arguments are, so it never makes a NaN gradient out of a zero one.
    """

    arity: int
    evaluate: Function
    regular: bool = False


def _step(x: Tensor) -> Tensor:
    return (x >= 0).to(x.dtype)


def _delta(x: Tensor) -> Tensor:
    return (x == 0).to(x.dtype)


def _select(condition: Tensor, chosen: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(condition != 0, chosen, otherwise)


OPERATIONS: Mapping[str, Operation] = {
    "+": Operation(2, lambda x, y: x + y, regular=True),
    "-": Operation(2, lambda x, y: x - y, regular=True),
    "*": Operation(2, lambda x, y: x * y, regular=True),
    "/": Operation(2, lambda x, y: x / y),
    "^": Operation(2, torch.pow),
    "-x": Operation(1, torch.neg, regular=True),
    "sqrt": Operation(1, torch.sqrt),
    "exp": Operation(1, torch.exp),
    "log": Operation(1, torch.log),
    "sin": Operation(1, torch.sin, regular=True),
    "cos": Operation(1, torch.cos, regular=True),
    "sec": Operation(1, lambda x: torch.cos(x).reciprocal()),
    "csc": Operation(1, lambda x: torch.sin(x).reciprocal()),
    "tan": Operation(1, torch.tan),
    "cot": Operation(1, lambda x: torch.tan(x).reciprocal()),
    "asin": Operation(1, torch.asin),
    "acos": Operation(1, torch.acos),
    "atan": Operation(1, torch.atan, regular=True),
    "atan2": Operation(2, torch.atan2),
    "sinh": Operation(1, torch.sinh),
    "cosh": Operation(1, torch.cosh),
    "tanh": Operation(1, torch.tanh, regular=True),
    "erf": Operation(1, torch.erf, regular=True),
    "erfc": Operation(1, torch.erfc, regular=True),
    "step": Operation(1, _step, regular=True),
    "delta": Operation(1, _delta, regular=True),
    "square": Operation(1, torch.square, regular=True),
    "cube": Operation(1, lambda x: x * x * x, regular=True),
    "recip": Operation(1, torch.reciprocal),
    "min": Operation(2, torch.minimum, regular=True),
    "max": Operation(2, torch.maximum, regular=True),
    "abs": Operation(1, torch.abs, regular=True),
    "floor": Operation(1, torch.floor, regular=True),
    "ceil": Operation(1, torch.ceil, regular=True),
    "select": Operation(3, _select, regular=True),
    # What the compiler makes of the operations above.
    "x>=0": Operation(1, lambda x: x >= 0, regular=True),
    "x!=0": Operation(1, lambda x: x != 0, regular=True),
    "1/sqrt": Operation(1, torch.rsqrt),
    "?:": Operation(3, torch.where, regular=True),
    "x|mask": Operation(2, lambda mask, x: torch.where(mask, x, x.detach()), regular=True),
    "x|not mask": Operation(2, lambda mask, x: torch.where(mask, x.detach(), x), regular=True),
}

SPELLED = tuple(name for name in OPERATIONS if name.isalnum())
"""The functions that an expression can call by name."""


def arity(function: Function) -> int:
    """Return the number of arguments of a caller's function: its attribute `arity`, else what its signature says."""
    declared = getattr(function, "arity", None)
    return declared if isinstance(declared, int) else len(signature(function).parameters)


def evaluator(name: str, functions: Mapping[str, Function]) -> Function:
    """Return the function of tensors behind a name; the caller's functions hide built-in ones."""
    return functions[name] if name in functions else OPERATIONS[name].evaluate
