"""Continuous flows of molecules that do not tell mirror images or equivalent hydrogens apart, folded onto one arrangement."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.molecules.folding import Folding
from lit_bg.spaces import Particles


class FoldedFlow(ContinuousFlow):
    r"""Folds a `ContinuousFlow` whose q does not change under a group G: $q_R(x) = \sum_{g \in G} q(g x) = |G|\, q(x)$ on R.

    G is made of the mirror image of the molecule and of exchanges of hydrogens (or other end atoms of one element) on a common
    centre; R are the configurations in which the four neighbours of every atom that has four lie as in the topology file, with
    hydrogens labelled: the one enantiomer, the one labelling that data by dynamics and `InternalCoordinates` also cover, so
    log Z is the same number. What q puts on other arrangements is thrown on R, so nothing is lost by the symmetry, and a field
    that has it (`EGNN`) is many times cheaper than one that tells mirror images apart (`TensorProductField`) and has less to
    learn. Only where two centres contradict each other that no exchange puts right (CA of two amino acids) a proposal belongs
    to no target: it gets log q = +inf, weight zero, and is counted with those without a finite energy.

    Pairings by optimal transport use G, too. `forward` and `inverse` are those of the flow before it is folded.

    Args:
        field, prior, solver, divergence, scale: as of ContinuousFlow; field and base follow exchanges and, where there is
            an atom that only the mirror image puts right, reflections.

    Raises:
        ValueError: as of ContinuousFlow; from `build`, a system that is no Molecule or has no arrangement to fold, or a field
            or base that lacks the symmetry.
    """

    def view_target(self, energy: Energy) -> Energy:
        molecule = energy.given()
        if molecule.structure is None:
            raise ValueError(
                f"FoldedFlow folds arrangements of molecules, and {type(molecule).__name__} is none: use ContinuousFlow."
            )
        if "rotation" not in molecule.symmetries:
            raise ValueError(f"an external field tells mirror images of {molecule.name} apart: use CouplingFlow.")
        seen = _Unfolded(molecule, Folding(molecule.structure))
        seen.conditions = energy.conditions
        return seen

    def build(self, energy: Energy) -> Self:
        super().build(energy)
        structure = energy.given().structure
        assert structure is not None  # seen has refused
        self.folding = Folding(structure)
        for part in (self.field, self.prior):
            lacks = [] if part.exchangeable or not self.folding.free else ["exchanges of equivalent hydrogens"]
            lacks += ["mirror images"] if self.folding.mirrors and "reflection" not in part.symmetries else []
            if lacks:
                raise ValueError(
                    f"{type(part).__name__} does not follow {' and '.join(lacks)}, and FoldedFlow counts on it: use "
                    "ContinuousFlow, or EGNN with Normal or Harmonic."
                )
        return self

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_q = super().sample(n, rng, context)
        x, inside = self.folding(x)
        return x, torch.where(inside, log_q + self.folding.log_order, torch.inf)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        log_q = super().log_prob(x, context) + self.folding.log_order
        return torch.where(self.folding.contains(x.detach()), log_q, -torch.inf)


class _Unfolded(Energy):
    """Gives a molecule all symmetries of its potential: mirror images, and exchanges of end atoms on a common centre."""

    def __init__(self, molecule: Energy, folding: Folding) -> None:
        super().__init__(molecule.kT)
        self.molecule, self.folding = molecule, folding
        self.space = Particles(len(folding.types), 3, folding.types, box=molecule.space.cell)
        self.unit, self.symmetries = molecule.unit, molecule.symmetries | {"reflection"}

    def potential(self, x: Tensor) -> Tensor:
        return self.molecule.potential(x)

    @property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        return self.molecule.bonds
