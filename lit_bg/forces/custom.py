"""What all custom forces have in common: an expression, parameters of terms and of the whole force, tables."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Untranslatable
from lit_bg.forces.expressions import Expression, Function
from lit_bg.forces.tabulated import TabulatedFunction, from_openmm


def parse_expression(
    force: Any, text: str, symbols: dict[str, int] | None = None, functions: dict[str, Function] | None = None
) -> Expression:
    """Read an energy expression of a custom force, with the force's tabulated functions and those of its kind.

    Raises:
        Untranslatable: a function that is not known here (OpenMM has accepted the expression already).
    """
    try:
        return Expression.parse(text, {**(functions or {}), **tables(force)}, symbols or {})
    except ValueError as error:
        raise Untranslatable(f"{type(force).__name__} ({error})") from error


def tables(force: Any) -> dict[str, TabulatedFunction]:
    """Return the tabulated functions of a force by name."""
    count = range(force.getNumTabulatedFunctions()) if hasattr(force, "getNumTabulatedFunctions") else range(0)
    return {force.getTabulatedFunctionName(k): from_openmm(force.getTabulatedFunction(k)) for k in count}


def global_parameters(force: Any) -> dict[str, Tensor | float]:
    """Return default values of global parameters by name."""
    count = range(force.getNumGlobalParameters())
    return {force.getGlobalParameterName(k): float(force.getGlobalParameterDefaultValue(k)) for k in count}


def columns(names: list[str], rows: list[Any]) -> dict[str, Tensor | float]:
    """Return the parameters of terms by name, each (M, 1)."""
    table = torch.tensor([list(map(float, row)) for row in rows], dtype=torch.float64).reshape(len(rows), len(names))
    return {name: table[:, k : k + 1] for k, name in enumerate(names)}


def parameter_names(force: Any, kind: str) -> list[str]:
    """Return the names of the parameters that every term has; `kind` is OpenMM's word for a term."""
    number = getattr(force, f"getNumPer{kind}Parameters")()
    return [getattr(force, f"getPer{kind}ParameterName")(k) for k in range(number)]
