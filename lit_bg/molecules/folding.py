"""Folding onto the arrangement of the topology file, by the moves that lead to it from every other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.molecules.chirality import Corners, find_pyramids, sides
from lit_bg.molecules.structure import Structure


class Folding:
    """Maps to R, where neighbours of every atom with four lie as in the topology file, labels of hydrogens included.

    Of a pyramid (a sulfoxide) the three do; what lies flat in the file may lie on either side. No motion at temperatures of
    interest leaves R. Two kinds of moves that a potential does not see lead back to it: the mirror image of the molecule,
    and the exchange of two end atoms of one element on a common centre (two hydrogens of a methyl). A centre with such ends
    is put right by their exchange; the others (CA of most amino acids, CB of valine) only all at once, by the mirror image.
    Together the moves are a group. Of the configurations that it makes of one, exactly one lies in R if the centres without
    such ends agree, and none if they contradict each other.

    Attributes:
        types: (N,) long: end atoms of one element on a common centre are of one type.
        mirrors: whether there is a centre that only the mirror image puts right.
        log_order: log of the number of moves in the group.

    Raises:
        ValueError: no atom has four neighbours off a plane, so that there is one arrangement.
    """

    def __init__(self, structure: Structure) -> None:
        around = tuple(find_pyramids(structure).values())
        if not around:
            raise ValueError(
                "no atom of the molecule has four neighbours off a plane, so there is nothing to fold: use ContinuousFlow."
            )
        self.structure = structure
        self.rigid: tuple[Corners, ...] = ()
        self.free: tuple[Corners, ...] = ()
        types, pairs = list(range(structure.n_atoms)), []
        for centre in around:
            ends = [i for i in centre if len(structure.neighbours[i]) == 1]
            alike = [[i for i in ends if structure.elements[i] == e] for e in sorted({structure.elements[i] for i in ends})]
            alike = [group for group in alike if len(group) > 1]
            for group in alike:
                for i in group:
                    types[i] = group[0]
            if alike:
                self.free += (centre,)
                pairs.append(alike[0][:2])
            else:
                self.rigid += (centre,)
        self.types = torch.tensor(types).unique(return_inverse=True)[1]
        self.pairs = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        self.mirrors = bool(self.rigid)
        self.log_order = (len(self.free) + self.mirrors) * math.log(2)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Move configurations (B, N, 3) about the origin to R, and say which of them have got there, (B,) bool."""
        if self.mirrors:
            hand = sides(x, self.structure, self.rigid)[:, 0]
            x = torch.where((hand < 0)[:, None, None], -x, x)
        order = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        if self.free:
            wrong = sides(x, self.structure, self.free) < 0  # ends belong to one centre each: exchanges do not meet
            first, second = self.pairs.to(x.device).T
            order = order.scatter(1, first.expand(len(x), -1), torch.where(wrong, second, first))
            order = order.scatter(1, second.expand(len(x), -1), torch.where(wrong, first, second))
        x = x.gather(1, order[..., None].expand_as(x))
        return x, self.contains(x)

    def contains(self, x: Tensor) -> Tensor:
        """Say which configurations lie in R, (B,) bool."""
        return (sides(x, self.structure, self.rigid + self.free) > 0).all(-1)
