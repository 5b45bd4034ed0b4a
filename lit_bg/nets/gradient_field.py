"""A field that is the gradient of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lit_bg.nets.field import VectorField

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class GradientField(VectorField):
    r"""Takes the gradient of a scalar made of another field, for scores that are those of a density.

    $$v = \nabla_x \phi(x, t), \qquad \phi(x, t) = \langle x, f(x, t) \rangle.$$

    If f follows rotations, reflections or exchanges, $\phi$ does not change under them and v follows them as well; if f does
    not see translations and does not move the centre of mass, neither does v. It starts at rest if f does. The divergence is
    the Laplacian of $\phi$: one backward pass per coordinate through a gradient, the dearest of all fields.

    Args:
        field: f.

    Raises:
        ValueError: from `build`, what f cannot do.

    References:
        Salimans, Ho, Should EBMs model the energy or the score?, ICLR workshop on energy-based models 2021.
        Arts, Garcia Satorras, Huang, Zuegner, Federici, Clementi, Noe, Pinsler, van den Berg, J. Chem. Theory Comput. 19,
        6151 (2023), arXiv:2302.00600, for scores of molecules that serve as forces.
    """

    def __init__(self, field: VectorField) -> None:
        super().__init__()
        self.field = field

    def build(self, energy: Target) -> Self:
        self.field.build(energy)
        self.event_shape, self.context = energy.space.shape, self.field.context
        self.symmetries, self.exchangeable = self.field.symmetries, self.field.exchangeable
        return self

    def potential(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return $\phi$: times (B,), configurations (B, *event_shape), conditions (B, C) or None -> (B,)."""
        return (x * self.field(t, x, context)).flatten(1).sum(-1)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if keep and x.requires_grad else x.detach().requires_grad_()
            return torch.autograd.grad(self.potential(t, x, context).sum(), x, create_graph=keep)[0]
