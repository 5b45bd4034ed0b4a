"""A transform through torch.compile."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from lit_bg.transforms.base import Layer
from lit_bg.transforms.products import ProductsByOneDNN

LARGEST_THRESHOLD = 32 * 2**20  # of glibc: a block above it never stays with the process [bytes]


def push(transform: Layer, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return `transform(z, context)`, compiled at first use for this kind of transform, batch size and dtype."""
    x, ladj = _compiled()[0](transform, z.T.contiguous(), _rows(context))
    return x.T, ladj


def pull(transform: Layer, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return `transform.inverse(x, context)`, likewise."""
    z, ladj = _compiled()[1](transform, x.T.contiguous(), _rows(context))
    return z.T, ladj


def _rows(context: Tensor | None) -> Tensor | None:
    """Conditions (B, C) as (C, B) in memory: the batch is the fast axis, as of the coordinates."""
    return None if context is None else context.T.contiguous()


# The functions, not the modules, are compiled: a transform, its copies and its averages share one piece of code, and
# nothing is attached to the module that a copy, a pickle or a state dict would have to leave out.
def _push(transform: Layer, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    x, ladj = transform(z.T, None if context is None else context.T)
    return x.T, ladj


def _pull(transform: Layer, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    z, ladj = transform.inverse(x.T, None if context is None else context.T)
    return z.T, ladj


@cache
def _compiled() -> tuple[Any, Any]:
    # Every batch size is compiled on its own; past the default of 8 torch would quietly run eager.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    # Memory that is freed goes back to the system above a threshold, and costs a page fault every 4 KiB in the next step: a
    # seventh of the time at batch 1024. In glibc the threshold grows with the largest block that was ever freed.
    torch.empty(LARGEST_THRESHOLD - 2**16, dtype=torch.uint8)
    options: Any = {"post_grad_custom_post_pass": ProductsByOneDNN()}
    return torch.compile(_push, dynamic=False, options=options), torch.compile(_pull, dynamic=False, options=options)
