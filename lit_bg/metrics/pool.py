"""A pool that joins all batches of an evaluation, of all ranks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.cost import Cost
from lit_bg.energies.base import Energy
from lit_bg.evaluate import tabulate
from lit_bg.metrics.gathered import Gathered
from lit_bg.samples import Evaluation, Samples, Table

COUNTED = ("energies", "gradients", "densities", "field_evaluations")  # of a cost, beside its seconds


class Pool:
    """Collects evaluations batch by batch; `compute` joins those of all ranks into one.

    Observables, modes and the region are asked of every batch where it is, so that nobody asks again.

    Args:
        energy: the system.
        dtype: of configurations.
        device: where batches come from.
        rank: of this process.
    """

    def __init__(self, energy: Energy, dtype: torch.dtype, device: torch.device, rank: int = 0) -> None:
        self.energy, self.rank = energy, rank
        x, number, integer = (torch.empty(0, dtype=kind) for kind in (dtype, torch.float64, torch.int64))
        x, pairs = x.reshape(0, *energy.space.shape), number.reshape(0, 2)
        a = number.reshape(0, len(energy.observables))
        drawn = Gathered(x=x, log_q=number, u=number, a=a, label=integer, inside=integer)
        frames = Gathered(log_q=number, u=number, frame=integer, walker=integer)
        bill = Gathered(rank=integer, proposals=integer, evaluations=number, cost=number.reshape(0, len(COUNTED) + 1))
        asked = (Gathered(densities=pairs), Gathered(variance=number))
        self._drawn, self._frames, self._bill = drawn.to(device), frames.to(device), bill.to(device)
        self._twice, self._estimated = (table.to(device) for table in asked)
        self._exact = True

    def add(self, evaluation: Evaluation) -> None:
        """Take in one batch of this rank, on the device."""
        proposals, reference = evaluation.proposals, evaluation.reference
        table = evaluation.table or tabulate(self.energy, proposals.x)
        self._drawn.update(**proposals._asdict(), **table._asdict())  # not every backend gathers truth values: int64
        # A table without rows where there is nothing: every rank takes part in the gathering.
        _add(self._twice, densities=evaluation.densities)
        _add(self._estimated, variance=evaluation.variance)
        frame, walker = evaluation.frame, evaluation.walker
        if reference is None or frame is None or walker is None:
            _add(self._frames)
        else:
            _add(self._frames, log_q=reference.log_q, u=reference.u, frame=frame, walker=walker)
        evaluations = math.nan if evaluation.field_evaluations is None else float(evaluation.field_evaluations)
        device = proposals.x.device
        self._bill.update(
            rank=torch.tensor([self.rank], device=device),
            proposals=torch.tensor([len(proposals.x)], device=device),
            evaluations=torch.tensor([evaluations], device=device),
            cost=torch.tensor([_row(evaluation.cost)], device=device),
        )
        self._exact = evaluation.exact_density

    def compute(self, held: Tensor | None = None) -> Evaluation:
        """Return all batches of all ranks on the CPU, frames of the reference in order of time; a collective call.

        Ranks work side by side, so the seconds are those of the slowest.

        Args:
            held: configurations of the held-out reference data, to which the frames point.
        """
        drawn, frames, bill = (_on_cpu(table) for table in (self._drawn, self._frames, self._bill))
        twice, estimated = _on_cpu(self._twice)["densities"], _on_cpu(self._estimated)["variance"]
        order = torch.argsort(frames["frame"])
        log_q, u, frame, walker = (frames[name][order] for name in ("log_q", "u", "frame", "walker"))
        seen = held is not None and len(order) > 0
        return Evaluation(
            Samples(drawn["x"], drawn["log_q"], drawn["u"]),
            Samples(held[frame.to(held.device)].cpu(), log_q, u) if seen and held is not None else None,
            _mean(bill["evaluations"], bill["proposals"]),
            twice if len(twice) else None,
            frame if seen else None,
            walker if seen else None,
            self._exact,
            estimated if len(estimated) else None,
            Table(drawn["a"], drawn["label"], drawn["inside"].bool()),
            _total(bill["cost"], bill["rank"]),
        )


def _add(table: Gathered, **columns: Tensor | None) -> None:
    known = {name: column for name, column in columns.items() if column is not None}
    table.update(**(known or table.columns))


def _on_cpu(table: Gathered) -> dict[str, Tensor]:
    return {name: column.cpu() for name, column in table.compute().items()}


def _mean(evaluations: Tensor, proposals: Tensor) -> float | None:
    """Return evaluations of the field per proposal, over batches; None where there is no field."""
    known = torch.isfinite(evaluations) & (proposals > 0)
    if not known.any():
        return None
    return ((evaluations * proposals)[known].sum() / proposals[known].sum()).item()


def _row(cost: Cost) -> list[float]:
    return [*(float(getattr(cost, name)) for name in COUNTED), cost.seconds]


def _total(rows: Tensor, rank: Tensor) -> Cost:
    """Return what all ranks paid: counts together, and the time of the slowest."""
    counts = dict(zip(COUNTED, (round(v) for v in rows[:, :-1].sum(0).tolist()), strict=True))
    seconds = max((rows[rank == r, -1].sum().item() for r in rank.unique()), default=0.0)
    return Cost(**counts, seconds=seconds)
