"""torch.compile as it is used here: one compilation a shape, eager code beside it, and eager code where the two differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lit_bg.activity import Activity

MOST_SHAPES = 64  # past the default of 8 torch would quietly run eager
DISAGREEMENT = 1e-2  # relative; rounding in single precision is a thousand times less, wrong code a thousand times more
LOST_DIGITS = 1e3  # epsilons that a value near zero may be off


def compile_function(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """Return a function through torch.compile, with a compilation of its own for every shape.

    Functions are compiled, and not modules: a module, its copies and its averages then share one piece of code, and nothing is
    attached to the module that a copy, a pickle or a state dict would have to leave out. `arguments` are torch.compile's.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_SHAPES)
    _tell_of_compilations()
    return torch.compile(function, dynamic=False, **arguments)


@cache
def _tell_of_compilations() -> None:
    """Have it said when torch.compile takes long, which is at the first call of a shape, and in the backward pass of one."""
    try:
        from torch._dynamo.callback import callback_handler
    except ImportError:  # a part of torch that it does not promise
        return
    activity = Activity("compiling with torch.compile, once for every shape")
    callback_handler.register_start_callback(lambda *_: activity.start())
    callback_handler.register_end_callback(lambda *_: activity.stop())


def pad(x: Tensor, size: int) -> Tensor:
    """Return x (n, ...) filled up to (size, ...) with copies of its last row, so that one shape is compiled once.

    >>> pad(torch.tensor([1, 2]), 4)
    tensor([1, 2, 2, 2])
    """
    return x if len(x) == size else torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])])


def find_wrong(fast: Tensor, eager: Tensor) -> Tensor:
    """Say for which rows, (n, ...) -> (n,), fast code is off by more than rounding; NaN agrees with NaN only.

    >>> find_wrong(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]))
    tensor([False,  True])
    """
    floor = LOST_DIGITS * torch.finfo(fast.dtype).eps
    fast, eager = (a.detach().double().reshape(len(a), -1) for a in (fast, eager))
    same = (fast == eager) | (fast.isnan() & eager.isnan())
    difference = torch.where(same, 0.0, fast - eager).norm(dim=1)
    size = torch.where(eager.isfinite(), eager, 0.0).norm(dim=1)
    return ~(difference <= DISAGREEMENT * (size + size.mean()) / 2 + floor)


def compare_outputs(fast: Sequence[Tensor], eager: Sequence[Tensor], learns: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Say for which rows, (n,), eager outputs are finite, and for which of them fast ones differ, or all where gradients do.

    Args:
        fast: outputs (N, ...), of which the first n are compared.
        eager: outputs (n, ...), of the first rows of the same input.
        learns: what outputs are differentiated by, where they can be.
    """
    fast = [a[: len(b)] for a, b in zip(fast, eager, strict=True)]
    fine = torch.stack([a.isfinite().flatten(1).all(1) if a.ndim > 1 else a.isfinite() for a in eager]).all(0)
    wrong = torch.stack([find_wrong(a, b) for a, b in zip(fast, eager, strict=True)]).any(0)
    if learns and fine.all():
        weights = [b.detach() / b.detach().norm().clamp_min(torch.finfo(b.dtype).tiny) for b in eager]
        wrong = wrong | find_wrong(_gradient(fast, weights, learns)[None], _gradient(eager, weights, learns)[None])
    return fine, wrong & fine


def _gradient(outputs: Sequence[Tensor], weights: Sequence[Tensor], by: Sequence[Tensor]) -> Tensor:
    """Return the gradient of a weighted sum by several tensors, as one vector; where it does not depend on them, zeros."""
    value = torch.stack([(a * w).sum() for a, w in zip(outputs, weights, strict=True)]).sum()
    if not value.requires_grad:
        return torch.cat([torch.zeros_like(b).flatten() for b in by])
    parts = torch.autograd.grad(value, list(by), allow_unused=True)
    return torch.cat([torch.zeros_like(b).flatten() if g is None else g.flatten() for g, b in zip(parts, by, strict=True)])


class Trust:
    """Remembers which compiled code gives what eager code gives; each is compared once, since compilers have been wrong.

    Args:
        what: is compared, for warnings.

    Attributes:
        known: the answers so far.
    """

    def __init__(self, what: str = "values") -> None:
        self.what = what
        self.known: dict[Hashable, bool] = {}

    def holds(self, name: str, key: Hashable, compare: Callable[[], tuple[Tensor, Tensor]], tolerated: float = 0.0) -> bool:
        """Say whether fast code is to be used; a warning says why not.

        Args:
            name: what the fast code is, for the warning.
            key: what the answer depends on.
            compare: says where eager code has a finite answer, (n,), and where fast code has another one, (n,). It is asked
                once; where nothing was finite, again.
            tolerated: share of the rows that may differ, where rounding alone can make some of them.
        """
        if key not in self.known:
            try:
                fine, wrong = compare()
            except Exception as error:  # a compiler raises anything
                problem = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            else:
                if not fine.any():
                    return False  # nothing to compare: the next batch decides
                found = int(wrong.sum())
                gave = f"gave wrong {self.what} for {found} of {len(wrong)} configurations"
                problem = gave if found > tolerated * len(wrong) else ""
            if problem:
                warnings.warn(f"{name} {problem}; it is evaluated without.", stacklevel=3)
            self.known[key] = not problem
        return self.known[key]
