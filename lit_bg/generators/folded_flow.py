"""Continuous flows of molecules that do not tell mirror images apart, folded onto the arrangement of the topology file."""

from __future__ import annotations

import copy
import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import Molecule
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.molecules.chirality import hand


class FoldedFlow(ContinuousFlow):
    r"""A `ContinuousFlow` whose density q is the same for mirror images, folded: $q_R(x) = q(x) + q(Mx) = 2\, q(x)$ on R.

    R are the configurations in which the four neighbours of every atom that has four are arranged as in the topology file,
    with hydrogens labelled: the one enantiomer, the one labelling that data by dynamics and `InternalCoordinates` also cover,
    so log Z is the same number. A mirror image of R is reflected into it. Proposals that are neither (one methyl of the other
    arrangement, say) belong to no target: they get log q = +inf, weight zero, and are counted with those without a
    finite energy. Half of what q covers is thrown on the other half, so nothing is lost by the symmetry, and a field that has
    it (`EGNN`) is many times cheaper than one that tells mirror images apart (`TensorProductField`).

    `forward` and `inverse` are those of the flow before it is folded.

    Args:
        field, prior, solver, divergence, scale: as of ContinuousFlow; field and base follow reflections.

    Raises:
        ValueError: as of ContinuousFlow; from `build`, a system that is no Molecule or has no arrangement to fold, or a field
            or base that does not follow reflections.
    """

    def build(self, energy: Energy) -> Self:
        if not isinstance(energy, Molecule):
            raise ValueError(
                f"FoldedFlow folds mirror images of molecules, and {type(energy).__name__} is none: use ContinuousFlow."
            )
        seen = copy.copy(energy)  # as the field sees it: the potential does not tell mirror images apart
        seen.symmetries = energy.symmetries | {"reflection"}
        super().build(seen)
        for part in (self.field, self.prior):
            if "reflection" not in part.symmetries:
                raise ValueError(
                    f"{type(part).__name__} tells mirror images apart, and FoldedFlow counts on 2 q(x): use ContinuousFlow, or "
                    "EGNN with Normal or Harmonic."
                )
        self.structure = energy.structure
        hand(energy.initial, self.structure)  # refuses what has no mirror image
        return self

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_q = super().sample(n, rng, context)
        side = hand(x.detach(), self.structure)
        x = torch.where((side < 0)[:, None, None], -x, x)
        return x, torch.where(side == 0, torch.inf, log_q + math.log(2))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        log_q = super().log_prob(x, context) + math.log(2)
        return torch.where(hand(x.detach(), self.structure) > 0, log_q, -torch.inf)
