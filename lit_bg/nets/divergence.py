"""Divergences of velocity fields along a trajectory, exact or estimated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lit_bg.compiling import Trust, compare_outputs, compile_function, pad
from lit_bg.nets.field import VectorField

Divergent = Callable[[VectorField, Tensor, Tensor, "Tensor | None"], tuple[Tensor, Tensor]]

_trusted: WeakKeyDictionary[VectorField, Trust] = WeakKeyDictionary()


class Divergence(ABC):
    """Computes the rate at which log q changes along a trajectory, or estimates it."""

    exact: bool

    def check(self, field: VectorField) -> None:
        """Refuse a built field that does not fit; by default refuse none.

        Raises:
            ValueError: what does not fit, with the way out.
        """

    def draw(self, x: Tensor, rng: torch.Generator) -> Tensor | None:
        """Draw random numbers that stay the same along a trajectory; None where there are none."""
        return None

    @abstractmethod
    def __call__(
        self, field: VectorField, t: Tensor, x: Tensor, noise: Tensor | None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return v (B, *event_shape) and its divergence (B,), with the noise of `draw` and conditions of the field, (B, C)."""


class ExactDivergence(Divergence):
    """Computes the trace of the Jacobian itself, by the field's own method.

    Samples are treated a few at a time where the field says that this is faster (`VectorField.at_once`).

    Args:
        compile: use torch.compile, for fields whose divergence is written out. The first call takes half a minute or more;
            tests/benchmarks/test_divergence_speed.py says what it gains.

    Raises:
        ValueError: from `check`, a field whose divergence cannot be compiled.
    """

    exact = True

    def __init__(self, compile: bool = False) -> None:
        self.compile = compile

    def check(self, field: VectorField) -> None:
        if self.compile and not field.compiles:
            raise ValueError(
                f"the divergence of {type(field).__name__} is taken by autograd, which torch.compile does not follow: leave "
                "compile of ExactDivergence out."
            )

    def __call__(
        self, field: VectorField, t: Tensor, x: Tensor, noise: Tensor | None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        size = min(field.at_once(x), len(x))
        if size == len(x) and not self.compile:
            return field.with_divergence(t, x, context)
        parts = []
        for rows in torch.arange(len(x), device=x.device).split(size):
            n = len(rows)
            rows = pad(rows, size) if self.compile else rows
            inputs = t[rows], x[rows], None if context is None else context[rows]
            of = _compiled() if self.compile and _trusts(field, *inputs) else _eager
            v, divergence = of(field, *inputs)
            parts.append((v[:n], divergence[:n]))
        return torch.cat([v for v, _ in parts]), torch.cat([divergence for _, divergence in parts])


def _eager(field: VectorField, t: Tensor, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    return field.with_divergence(t, x, context)


def _trusts(field: VectorField, t: Tensor, x: Tensor, context: Tensor | None) -> bool:
    """Say whether compiled code gives the values and gradients of eager code, by one comparison for every kind of input."""
    learns = [tensor for tensor in (x, *field.parameters()) if tensor.requires_grad]

    def compare() -> tuple[Tensor, Tensor]:
        return compare_outputs(_compiled()(field, t, x, context), _eager(field, t, x, context), learns)

    key = x.shape, x.dtype, x.device, torch.is_grad_enabled(), x.requires_grad, context is None
    return _trusted.setdefault(field, Trust()).holds(f"torch.compile of {type(field).__name__}", key, compare)


@cache
def _compiled() -> Divergent:
    return compile_function(_eager)


class Hutchinson(Divergence):
    r"""Estimates $\frac1k \sum_k \epsilon_k^T \frac{\partial v}{\partial x} \epsilon_k$, one backward pass each.

    The noise has unit variance. Unbiased for the divergence and so for log q, but weights $e^{-\log q}$ of
    it are biased (Jensen), and their ESS says as much about the noise as about the flow: train with it, and weigh with
    `ExactDivergence`.

    Args:
        probes: k.
        noise: "rademacher" (signs, of the smallest variance) or "gaussian".

    Raises:
        ValueError: no probe.

    References:
        Hutchinson, Commun. Stat. Simul. 18, 1059 (1989), doi:10.1080/03610918908812806.
        Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, ICLR 2019, arXiv:1810.01367.
    """

    exact = False

    def __init__(self, probes: int = 1, noise: Literal["rademacher", "gaussian"] = "rademacher") -> None:
        if probes < 1:
            raise ValueError(f"Hutchinson needs at least one probe, got probes={probes}.")
        self.probes, self.noise = probes, noise

    def draw(self, x: Tensor, rng: torch.Generator) -> Tensor:
        shape = (self.probes, *x.shape)
        if self.noise == "gaussian":
            return torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        return 2.0 * torch.randint(2, shape, generator=rng, device=x.device).to(x.dtype) - 1

    def __call__(
        self, field: VectorField, t: Tensor, x: Tensor, noise: Tensor | None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        assert noise is not None  # of draw
        v, forms = field.with_forms(t, x, noise, context)
        return v, forms.mean(0)
