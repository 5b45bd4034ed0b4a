"""Starting configurations all around the torsions of a peptide."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.molecules.rotatable import side_of_bond, turn
from lit_bg.molecules.structure import Structure


def draw_torsions(structure: Structure, walkers: int, rng: torch.Generator) -> Tensor:
    """Draw backbone torsions uniformly in the topology file's configuration: (walkers, N, 3) float64 [nm].

    A torsion turns what lies on one side of its bond; bonds in rings (proline) are left as they are.
    """
    x = torch.from_numpy(structure.positions).repeat(walkers, 1, 1)
    for _, j, k, _ in structure.backbone_torsions.values():
        angle = 2 * torch.pi * torch.rand(walkers, generator=rng, dtype=x.dtype)
        atoms = side_of_bond(structure, j, k)
        if j in atoms:
            continue
        side = torch.zeros(structure.n_atoms, dtype=torch.bool)
        side[atoms] = True
        x = turn(x, torch.tensor([j, k]).expand(walkers, 2), side.expand(walkers, -1), angle)
    return x
