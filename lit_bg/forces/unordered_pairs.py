"""Every pair of atoms once, in arrays without gaps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.forces.squared_distances import minimum_image


class Pairs(nn.Module):
    r"""Enumerates all unordered pairs of N atoms as (i, k), k < K = N // 2: the second atom is $j = (i + k + 1) \bmod N$.

    Arrays of pairs are (N, K, B), rows of one length for every atom, and the atoms of a row follow each other. For even N the
    pairs of the last k are there twice, each with weight 1/2.

    What belongs to the second atom of a pair goes back to it through an index: atom i is the second atom of the pairs
    (i - k - 1, k), one for every k.

    Args:
        n: number of atoms N.
    """

    partner: Tensor  # (N, K)
    back: Tensor  # (N K): which pairs, in a flat array, have atom i as their second, K for each i
    weight: Tensor  # (K, 1)

    def __init__(self, n: int) -> None:
        super().__init__()
        i, k = torch.arange(n)[:, None], torch.arange(n // 2)
        self.register_buffer("partner", (i + k + 1) % max(n, 1), persistent=False)
        self.register_buffer("back", ((i - k - 1) % max(n, 1) * len(k) + k).flatten(), persistent=False)
        weight = torch.ones(len(k), 1, dtype=torch.float64)
        if n and n % 2 == 0:
            weight[-1] = 0.5
        self.register_buffer("weight", weight, persistent=False)

    def first(self, of_atoms: Tensor) -> Tensor:
        """Return what belongs to the first atom of every pair, (N, ...) -> (N, 1, ...)."""
        return of_atoms[:, None]

    def second(self, of_atoms: Tensor) -> Tensor:
        """Return what belongs to the second atom of every pair, (N, ...) -> (N, K, ...)."""
        return of_atoms[self.partner]

    def table(self, values: Tensor) -> Tensor:
        """Return the entries of a table of atoms by atoms, (N, N, ...) -> (N, K, ...)."""
        return values[torch.arange(len(values), device=values.device)[:, None], self.partner]

    def differences(self, x: Tensor, box: Tensor | None) -> Tensor:
        """Return $x_i - x_j$, (N, 3, B) -> (N, K, 3, B), of the nearest images in a box."""
        d = self.first(x) - self.second(x)
        return d if box is None else minimum_image(d, box)

    def to_atoms(self, first: Tensor, second: Tensor) -> Tensor:
        """Sum over all pairs of an atom, of which it is the first or the second, (N, K, ...) -> (N, ...)."""
        weight = self.weight.reshape(-1, *[1] * (first.dim() - 2))
        behind = second.flatten(0, 1)[self.back].view(second.shape)
        return (weight * (first + behind)).sum(1)
