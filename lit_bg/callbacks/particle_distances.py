"""Distances of the proposals from the reference, in distances between particles, energies and configurations."""

from __future__ import annotations

import math
from dataclasses import asdict

from lightning.pytorch import Trainer

from lit_bg.callbacks.observer import Observer
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.particle_distances import (
    Half,
    compare_distances,
    compare_reference_energies,
    count_compared,
    find_density,
    halve,
    transport,
)
from lit_bg.estimators import Moves
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.origin import FromReference
from lit_bg.samples import Samples


class ParticleDistances(Observer):
    r"""Computes Wasserstein distances of proposals to reference data, each beside its noise floor, for systems of particles.

    * W1 of the distribution of all distances between particles [unit of length], raw and reweighted;
    * W1 of the reduced energy [kT], raw and reweighted;
    * at a test, geometric W2 of raw proposals [unit of length], up to all symmetries of the system (see `geometric_w2`).

    A distance is the mean of those to two halves of the reference data; its floor is the distance between the halves, which
    have as many configurations as are compared of the proposals. So a perfect generator is at the floor. The halves share no
    walker, or no stretch of time where there is one walker: correlated frames make the floor high and not low.
    Raw means proposals with finite energy. The energies of the reference are those in the data: nothing is evaluated.

    For `Figures` it leaves the distribution of distances in the record.

    Logs `<stage>/w1_distances`, `<stage>/w1_u` (reweighted), and with `_raw` and `_floor`; `test/w2_raw`, `test/w2_floor`.
    Without reference data, for systems that are not of particles, or in periodic boxes, nothing.

    Args:
        points: configurations of either side in the transport of W2; less where particles change places. The cost
            grows with its square.

    Raises:
        ValueError: fewer than two points.
    """

    def __init__(self, points: int = 500) -> None:
        super().__init__()
        if points < 2:
            raise ValueError(f"the transport of W2 needs at least 2 points, got {points}.")
        self.points = points
        self._halves: dict[int, tuple[Half, Half]] = {}  # by size: reference data do not change

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        data, space, record = module.data.dataset, module.energy.space, module.record
        types = space.types
        if data is None or types is None or len(types) < 2 or space.cell is not None:
            return
        everyone = record.evaluation.proposals
        every = math.ceil(len(everyone.x) / count_compared(len(types), data, len(everyone.x)))
        samples = Samples(*(column[::every] for column in everyone))
        found: FromReference | None = None
        if trainer.is_global_zero:
            parts = self._reference(data, len(samples.x))
            apart = transport(samples, parts, Moves.of(module.energy), self.points) if stage == "test" else None
            found = FromReference(
                len(samples.x), compare_distances(samples, parts), compare_reference_energies(samples, parts), apart
            )
            record.pair_density = find_density(samples, parts, data)
        found = record.wasserstein = trainer.strategy.broadcast(found)
        assert found is not None  # the first rank has looked
        rows = {"w1_distances": found.distances, "w1_u": found.u, "w2": found.configurations}
        for name, row in rows.items():
            for kind, value in () if row is None else asdict(row).items():
                module.log(f"{stage}/{name}" if kind == "reweighted" else f"{stage}/{name}_{kind}", value)

    def _reference(self, data: Dataset, n: int) -> tuple[Half, Half]:
        if n not in self._halves:
            self._halves[n] = halve(data, n)
        return self._halves[n]
