"""Judgement of a run under further conditions than the usual ones of its energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer

from lit_bg.callbacks.observer import Observer
from lit_bg.diagnostics.conditions import AtConditions, diagnose_conditions
from lit_bg.energies.base import Energy
from lit_bg.energies.condition import describe_context
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.rng import stream
from lit_bg.samples import draw


class Conditions(Observer):
    """Draws new proposals under each of a list of conditions at the end of a test, and says what they are worth.

    Logs `test/ess`, `test/log_Z` and `test/log_Z_err` of each, such as `test/log_Z at kT = 0.7`, and puts them into
    summary.json (`conditions`) and the table. Where the system knows log Z, it stands beside. Proposals come from the averaged
    weights, where there are some.

    Args:
        conditions: sets of conditions, each in the order of `energy.conditions`: [[0.7], [1.5]].
        samples: proposals for each, over all ranks.

    Raises:
        ValueError: no conditions or no samples; from `check`, conditions that the energy does not have or that are
            out of range.
    """

    def __init__(self, conditions: list[list[float]], samples: int = 100_000) -> None:
        super().__init__()
        if not conditions or samples < 1:
            raise ValueError(f"Conditions needs one set of conditions or more and samples >= 1, got {conditions}, {samples}.")
        self.conditions, self.samples = conditions, samples

    def check(self, energy: Energy) -> None:
        for values in self.conditions:
            energy.given(values)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self.check(pl_module.energy)

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        if stage != "test":
            return
        found = tuple(self._diagnose(module, values) for values in self.conditions)
        for row in found:
            for name, value in (("ess", row.ess), ("log_Z", row.log_Z), ("log_Z_err", row.log_Z_err)):
                module.log(f"test/{name} at {row.name}", value, rank_zero_only=True)
        module.record.conditions = found

    def _diagnose(self, module: BoltzmannGenerator, values: Sequence[float]) -> AtConditions:
        """Draw proposals, pool them over ranks, and estimate log Z."""
        energy, rank, ranks = module.energy, module.trainer.global_rank, module.trainer.world_size
        name = describe_context(energy.conditions, values)
        context = torch.tensor(values, dtype=torch.float64)
        pooled = Gathered(log_w=torch.empty(0, dtype=torch.float64)).to(module.device)
        mine, most = self.samples // ranks + (rank < self.samples % ranks), module.data.eval_batch_size
        for i, start in enumerate(range(0, mine, most)):
            rng = stream(module.seed, f"conditions/{name}", rank, i, module.device)
            with torch.no_grad():
                pooled.update(log_w=draw(module.proposer, energy, min(most, mine - start), rng, context).log_w)
        return diagnose_conditions(energy, values, pooled.compute()["log_w"].cpu())
