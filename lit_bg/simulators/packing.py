"""Packing of a simulation's state into plain tensors by name, and back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy


def pack(state: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of a NamedTuple, those of NamedTuples inside of it under their path, such as `rows.x`.

    Raises:
        TypeError: something else, which would be lost where a simulation is interrupted.
    """
    if state is None:
        return {}
    if isinstance(state, Tensor):
        return {name: state}
    if not (isinstance(state, tuple) and hasattr(state, "_fields")):
        raise TypeError(
            f"{name or 'the state of a kernel'} is a {type(state).__name__}, and must be a NamedTuple of tensors to be kept."
        )
    parts = [pack(value, f"{name}.{field}" if name else field) for field, value in zip(state._fields, state, strict=True)]
    return {key: value for part in parts for key, value in part.items()}


def unpack(like: Any, values: Mapping[str, Tensor], name: str = "") -> Any:
    """Return a NamedTuple as `like` is, with the tensors that `pack` found; what it did not find is None."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        parts = zip(like._fields, like, strict=True)
        return type(like)(*(unpack(value, values, f"{name}.{field}" if name else field) for field, value in parts))
    return values.get(name)


def pack_extra(energy: Energy) -> Tensor:
    """Return the extra state of the energy as bytes."""
    buffer = io.BytesIO()
    torch.save(energy.get_extra_state(), buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def unpack_extra(energy: Energy, kept: Tensor) -> None:
    """Give the energy back its extra state."""
    energy.set_extra_state(torch.load(io.BytesIO(kept.numpy().tobytes()), weights_only=True))


def with_prefix(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with a prefix before every name."""
    return {f"{prefix}.{name}": value for name, value in values.items()}


def of_prefix(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in values.items() if name.startswith(f"{prefix}.")}
