"""How the divergence of a velocity field is computed along a trajectory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from lit_bg.nets.field import VectorField


class Divergence(ABC):
    """The rate at which log q changes along a trajectory, or an estimate of it."""

    exact: bool

    def draw(self, x: Tensor, rng: torch.Generator) -> Tensor | None:
        """Random numbers that stay the same along a trajectory; None where there are none."""
        return None

    @abstractmethod
    def __call__(
        self, field: VectorField, t: Tensor, x: Tensor, noise: Tensor | None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """v (B, *event_shape) and its divergence (B,), with the noise of `draw` and the conditions of the field, (B, C)."""


class Exact(Divergence):
    """The trace of the Jacobian itself, by the field's own method."""

    exact = True

    def __call__(
        self, field: VectorField, t: Tensor, x: Tensor, noise: Tensor | None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return field.with_divergence(t, x, context)


class Hutchinson(Divergence):
    r"""$\frac1k \sum_k \epsilon_k^T \frac{\partial v}{\partial x} \epsilon_k$, one backward pass each.

    The noise has unit variance. Unbiased for the divergence and so for log q, but weights $e^{-\log q}$ of
    it are biased (Jensen), and their ESS says as much about the noise as about the flow: train with it, and weigh with
    `Exact`.

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
