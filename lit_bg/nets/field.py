"""Contract of velocity fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_bg.spaces import Particles

if TYPE_CHECKING:
    from lit_bg.spaces import Symmetry, Target


class VectorField(nn.Module, ABC):
    r"""Defines a velocity $v(x, t)$, or any other vector at every configuration, such as a score.

    It is described by its constructor and gets its shapes from `build(energy)`. What it declares is tested: `symmetries` are
    moves of all particles that it follows, $v(R x) = R v(x)$ (a translation leaves it as it is, and then it does not move the
    centre of mass), and `exchangeable` that it follows exchanges of particles of one type.
    """

    event_shape: tuple[int, ...]
    symmetries: frozenset[Symmetry] = frozenset()
    exchangeable: bool = False
    context: int = 0  # number of conditions C of the energy, set in `build` by fields that follow them

    @abstractmethod
    def build(self, energy: Target) -> Self:
        """Create the parameters for this system.

        Raises:
            ValueError: field and energy do not fit, with the way out.
        """

    @abstractmethod
    def forward(
        self, t: Float[Tensor, "B"], x: Float[Tensor, "B *shape"], context: Float[Tensor, "B C"] | None = None
    ) -> Float[Tensor, "B *shape"]:
        """Return v: times (B,), configurations (B, *event_shape), conditions (B, C) in [-1, 1] or None -> (B, *event_shape)."""

    def check_symmetries(self, energy: Target) -> None:
        """Refuse a system of particles that lacks a symmetry which this field would impose.

        Raises:
            ValueError: which one, and what to use instead.
        """
        name, system = type(self).__name__, type(energy).__name__
        space = energy.space
        if not isinstance(space, Particles):
            raise ValueError(f"{name} moves particles, and {system} has {space}: use MLPField.")
        for symmetry in sorted(self.symmetries - energy.symmetries):
            chiral = symmetry == "reflection" and "rotation" in energy.symmetries and space.d == 3
            instead = "TensorProductField, which tells mirror images apart" if chiral else "a field without this symmetry"
            raise ValueError(
                f"{name} makes a density that does not change under any {symmetry}, and {system} does change: use {instead}."
            )

    def at_once(self, x: Float[Tensor, "B *shape"]) -> int:
        """Return how many samples `with_divergence` should get at a time; by default all."""
        return len(x)

    @property
    def compiles(self) -> bool:
        """Return whether `with_divergence` is written out, so that torch.compile can take it: autograd inside would be lost."""
        return type(self).with_divergence is not VectorField.with_divergence

    def with_divergence(
        self, t: Float[Tensor, "B"], x: Float[Tensor, "B *shape"], context: Float[Tensor, "B C"] | None = None
    ) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B"]]:
        r"""Return v and its exact divergence $\sum_i \partial v_i / \partial x_i$, (B,), differentiable where gradients are on.

        By default one backward pass per coordinate through one forward pass. A field that knows better says so. For one that
        does not move the centre of mass this is also the divergence on the centre-of-mass-free subspace.
        """
        n = x[0].numel()
        basis = torch.eye(n, device=x.device, dtype=x.dtype).reshape(n, 1, *x.shape[1:])
        v, forms = self.with_forms(t, x, basis, context)
        return v, forms.sum(0)

    def with_forms(
        self,
        t: Float[Tensor, "B"],
        x: Float[Tensor, "B *shape"],
        e: Float[Tensor, "K #B *shape"],
        context: Float[Tensor, "B C"] | None = None,
    ) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "K B"]]:
        r"""Return v and $e_k^T \frac{\partial v}{\partial x} e_k$ of directions (K, B or 1, *event_shape): (K, B); likewise."""
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            v = self(t, x, context)
            rows = [torch.autograd.grad((v * d).sum(), x, create_graph=keep, retain_graph=True)[0] for d in e]
            forms = torch.stack([(row * d).flatten(1).sum(-1) for row, d in zip(rows, e, strict=True)])
        return (v, forms) if keep else (v.detach(), forms.detach())


def centre(x: Float[Tensor, "B N d"]) -> Float[Tensor, "B N d"]:
    """Subtract the mean from vectors of particles, (B, N, d)."""
    return x - x.mean(1, keepdim=True)
