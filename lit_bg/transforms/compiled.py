"""A transform through torch.compile."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from lit_bg.transforms.base import Transform


def push(transform: Transform, z: Tensor) -> tuple[Tensor, Tensor]:
    """`transform(z)`, compiled at first use for this kind of transform, batch size and dtype."""
    x, ladj = _compiled()[0](transform, z.T.contiguous())
    return x.T, ladj


def pull(transform: Transform, x: Tensor) -> tuple[Tensor, Tensor]:
    """`transform.inverse(x)`, likewise."""
    z, ladj = _compiled()[1](transform, x.T.contiguous())
    return z.T, ladj


# The functions, not the modules, are compiled: a transform, its copies and its averages share one piece of code, and
# nothing is attached to the module that a copy, a pickle or a state dict would have to leave out.
def _push(transform: Transform, z: Tensor) -> tuple[Tensor, Tensor]:
    x, ladj = transform(z.T)
    return x.T, ladj


def _pull(transform: Transform, x: Tensor) -> tuple[Tensor, Tensor]:
    z, ladj = transform.inverse(x.T)
    return z.T, ladj


@cache
def _compiled() -> tuple[Any, Any]:
    # Every batch size is compiled on its own; past the default of 8 torch would quietly run eager.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(_push, dynamic=False), torch.compile(_pull, dynamic=False)
