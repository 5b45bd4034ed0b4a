"""How far the proposals are from the reference, in distances between particles, energies and configurations."""

from __future__ import annotations

import math
from statistics import mean
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import reference_data
from lit_bg.estimators import Moves, density, geometric_w2, shell_factor, wasserstein
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.rng import stream
from lit_bg.samples import Evaluation

CONFIGURATIONS = 10_000  # compared at most,
DISTANCES = 500_000  # with at most so many distances: sorting them is the cost
EXCHANGING = 200  # configurations transported at most where particles change places,
EXCHANGED = 2600  # with at most so many particles: the assignment of each pair of configurations is the cost
BINS = 100

Curve = tuple[Tensor, Tensor]  # density and its standard error, (K,)


class Half(NamedTuple):
    """One of two parts of the reference data that share no walker."""

    x: Tensor  # (n, N, d)
    r: Tensor  # (n, N (N - 1) / 2) distances
    u: Tensor  # (n,) [kT]


class PairDensity(NamedTuple):
    """Density of the distances between particles."""

    edges: Tensor  # (K+1,)
    raw: Curve
    reweighted: Curve
    reference: Curve

    def around(self, particles: int, d: int) -> PairDensity:
        """The same curves as the number density of particles around a particle (see `shell_factor`)."""
        factor = shell_factor(self.edges, particles, d)
        return PairDensity(self.edges, *((factor * p, factor * err) for p, err in (self.raw, self.reweighted, self.reference)))


class ParticleDistances(Observer):
    r"""Wasserstein distances of proposals to reference data, each beside its noise floor, for systems of particles.

    * W1 of the distribution of all distances between particles [unit of length], raw and reweighted;
    * W1 of the reduced energy [kT], raw and reweighted;
    * at a test, geometric W2 of raw proposals [unit of length], up to all symmetries of the system (see `geometric_w2`).

    A distance is the mean of those to two halves of the reference data; its floor is the distance between the halves, which
    have as many configurations as are compared of the proposals. So a perfect generator is at the floor. The halves share no
    walker, or no stretch of time where there is one walker: correlated frames make the floor high and not low.
    Raw means proposals with finite energy. The energies of the reference are those in the data: nothing is evaluated.

    For `Figures` it keeps the distribution of distances.

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
        self.density: PairDensity | None = None  # of the last evaluation, on the first rank
        self.gathered: Gathered | None = None  # only where there is something to compare with
        self._every = 1
        self._halves: dict[int, tuple[Half, Half]] = {}  # by size: reference data do not change

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        energy, data = module.energy, reference_data(trainer)
        self.gathered, self.density = None, None
        types = energy.space.types
        if data is None or types is None or len(types) < 2 or energy.space.cell is not None:
            return
        size = module.data.sizes[stage]
        self._every = math.ceil(size / min(size, most(len(types)), smaller_half(data)))
        number = torch.empty(0, dtype=torch.float64)
        x = torch.empty(0, *energy.space.shape, dtype=next(module.generator.parameters()).dtype)
        self.gathered = Gathered(x=x, u=number, log_w=number).to(module.device)

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        if self.gathered is not None:
            samples = evaluation.proposals
            columns = {"x": samples.x, "u": samples.u, "log_w": samples.log_w}
            self.gathered.update(**{name: column[:: self._every] for name, column in columns.items()})

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        self.summary = {"wasserstein": None}
        if self.gathered is None:
            return
        columns = {name: column.cpu() for name, column in self.gathered.compute().items()}
        self.gathered = None
        found: dict[str, dict[str, float]] = {}
        if trainer.is_global_zero:
            halves = self._reference(reference_data(trainer), len(columns["x"]))
            found = compared(columns, halves)
            if stage == "test":
                found["configurations"] = self._transported(columns, halves, Moves.of(module.energy))
            self.density = self._density(reference_data(trainer), columns, halves)
        found = trainer.strategy.broadcast(found)
        self.summary = {"wasserstein": {"n": len(columns["x"]), **found}}
        for name, row in found.items():
            name = "w2" if name == "configurations" else f"w1_{name}"
            logged = {name if kind == "reweighted" else f"{name}_{kind}": value for kind, value in row.items()}
            module.log_dict({f"{stage}/{key}": value for key, value in logged.items()})

    def _reference(self, data: Any, n: int) -> tuple[Half, Half]:
        if n not in self._halves:
            a, b = (_half(data, _evenly(index, n)) for index in halves(data))
            self._halves[n] = a, b
        return self._halves[n]

    def _transported(self, columns: dict[str, Tensor], halves: tuple[Half, Half], moves: Moves) -> dict[str, float]:
        """Geometric W2 of proposals with finite energy, and its floor."""
        n = self.points
        if moves.types is not None:
            n = min(n, EXCHANGING, max(2, EXCHANGED // len(moves.types)))
        x = columns["x"][torch.isfinite(columns["log_w"])]
        n = min(n, len(x), *(len(half.x) for half in halves))
        if n == 0:
            return {"raw": math.nan, "floor": math.nan}
        x, a, b = (y[_evenly(torch.arange(len(y)), n)] for y in (x, halves[0].x, halves[1].x))
        return {"raw": mean(geometric_w2(x, half, moves) for half in (a, b)), "floor": geometric_w2(a, b, moves)}

    def _density(self, data: Any, columns: dict[str, Tensor], halves: tuple[Half, Half]) -> PairDensity | None:
        """The distribution of distances; frames of the reference count as many as they are worth."""
        log_w = columns["log_w"]
        finite = torch.isfinite(log_w)
        if not finite.any():
            return None
        r, known = pair_distances(columns["x"]), torch.cat([half.r for half in halves])
        low, high = known.min().item(), known.max().item()
        edges = torch.linspace(max(0.0, low - 0.1 * (high - low)), high + 0.1 * (high - low), BINS + 1, dtype=torch.float64)
        value, err = density(known, None, edges)
        independent = len(data) / max(data.card.get("statistical_inefficiency", {}).values(), default=1.0)
        err = err * max(1.0, len(known) / independent) ** 0.5
        return PairDensity(edges, density(r[finite], None, edges), density(r, log_w, edges), (value, err))


def most(particles: int) -> int:
    """Configurations whose distances are compared."""
    return max(1, min(CONFIGURATIONS, 2 * DISTANCES // (particles * (particles - 1))))


def pair_distances(x: Tensor) -> Tensor:
    """|x_i - x_j| of all pairs i < j, (B, N, d) -> (B, N (N - 1) / 2)."""
    i, j = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    return (x[:, i] - x[:, j]).norm(dim=-1)


def halves(data: Any) -> tuple[Tensor, Tensor]:
    """Frames of two halves of a data set: of the walkers, drawn but always the same, or of the time of a single one."""
    ids = data.walker.unique()
    if len(ids) > 1:
        chosen = ids[torch.randperm(len(ids), generator=stream(0, "halves"))[: len(ids) // 2]]
        first = torch.isin(data.walker, chosen)
    else:
        first = data.frame < data.frame.double().mean()
    return torch.nonzero(first).flatten(), torch.nonzero(~first).flatten()


def smaller_half(data: Any) -> int:
    """Its number of frames, at least one."""
    return max(1, min(len(index) for index in halves(data)))


def _half(data: Any, pick: Tensor) -> Half:
    x = data.x[pick.to(data.x.device)].cpu()
    return Half(x, pair_distances(x), data.u[pick.to(data.u.device)].cpu())


def _evenly(index: Tensor, n: int) -> Tensor:
    """n of them, or all where they are fewer."""
    return index[torch.linspace(0, len(index) - 1, min(n, len(index))).long()]


def compared(columns: dict[str, Tensor], halves: tuple[Half, Half]) -> dict[str, dict[str, float]]:
    """W1 of distances and energies: raw, reweighted, floor; NaN where no proposal has a finite energy."""
    log_w, (a, b) = columns["log_w"], halves
    finite = torch.isfinite(log_w)
    found = {}
    for name, values in {"distances": pair_distances(columns["x"]), "u": columns["u"]}.items():
        parts = (a.r, b.r) if name == "distances" else (a.u, b.u)
        seen = bool(finite.any())
        found[name] = {
            "raw": mean(wasserstein(values[finite], part) for part in parts) if seen else math.nan,
            "reweighted": mean(wasserstein(values, part, log_w) for part in parts) if seen else math.nan,
            "floor": wasserstein(*parts),
        }
    return found
