"""Chains of transforms, one after another."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from lit_bg.transforms.base import Layer


class Chain(Layer):
    """Composes transforms, applied in the order given; ladj adds up."""

    transforms: list[Layer]

    def __init__(self, transforms: Iterable[Layer]) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)  # type: ignore[assignment]

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for transform in self.transforms:
            z, ladj = transform(z, context)
            total = total + ladj
        return z, total

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for transform in reversed(self.transforms):
            x, ladj = transform.inverse(x, context)
            total = total + ladj
        return x, total
