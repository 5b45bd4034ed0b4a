"""A transform through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lit_bg.compiling import Trust, compare_outputs, compile_function
from lit_bg.transforms.base import Layer
from lit_bg.transforms.products import ProductsByOneDNN

LARGEST_THRESHOLD = 32 * 2**20  # of glibc: a block above it never stays with the process [bytes]
COMPARED = 256  # samples of a batch, for which eager code is evaluated too
ROUNDED = 0.01  # share of them that may differ: an angle of pi is one of -pi by rounding

Pushed = Callable[[Layer, Tensor, "Tensor | None"], tuple[Tensor, Tensor]]

_trusted: WeakKeyDictionary[Layer, Trust] = WeakKeyDictionary()


def push(transform: Layer, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return `transform(z, context)`, compiled at first use for this kind of transform, batch size and dtype.

    The first time it is compared with eager code, values and gradients; eager code is what is used, with a warning, where the
    two do not agree.
    """
    return _apply(0, _push, transform, z, context)


def pull(transform: Layer, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return `transform.inverse(x, context)`, likewise."""
    return _apply(1, _pull, transform, x, context)


def _apply(way: int, eager: Pushed, transform: Layer, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    # the batch is the fast axis, of coordinates and conditions
    z, context = z.T.contiguous(), None if context is None else context.T.contiguous()
    compiled = _compiled()[way]
    key = way, z.shape, z.dtype, z.device, torch.is_grad_enabled(), z.requires_grad, context is None
    trust = _trusted.setdefault(transform, Trust())
    kind = f"torch.compile of {type(transform).__name__}"
    trusted = trust.holds(kind, key, lambda: _compare(compiled, eager, transform, z, context), ROUNDED)
    x, ladj = (compiled if trusted else eager)(transform, z, context)
    return x.T, ladj


def _compare(fast: Pushed, eager: Pushed, transform: Layer, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Say which samples have finite values, and for which compiled code gives others."""
    x, ladj = fast(transform, z, context)
    right, right_ladj = eager(transform, z[:, :COMPARED], None if context is None else context[:, :COMPARED])
    learns = [tensor for tensor in (z, *transform.parameters()) if tensor.requires_grad]
    return compare_outputs((x.T, ladj), (right.T, right_ladj), learns)


def _push(transform: Layer, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    x, ladj = transform(z.T, None if context is None else context.T)
    return x.T, ladj


def _pull(transform: Layer, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    z, ladj = transform.inverse(x.T, None if context is None else context.T)
    return z.T, ladj


@cache
def _compiled() -> tuple[Any, Any]:
    # Memory that is freed goes back to the system above a threshold, and costs a page fault every 4 KiB in the next step: a
    # seventh of the time at batch 1024. In glibc the threshold grows with the largest block that was ever freed.
    torch.empty(LARGEST_THRESHOLD - 2**16, dtype=torch.uint8)
    options: Any = {"post_grad_custom_post_pass": ProductsByOneDNN()}
    return compile_function(_push, options=options), compile_function(_pull, options=options)
