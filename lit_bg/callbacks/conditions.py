"""Judges a run under further conditions than the usual ones of its energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer

from lit_bg import estimators
from lit_bg.callbacks.observer import Observer
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
        found = [self._judge(module, values) for values in self.conditions]
        for row in found:
            for name in ("ess", "log_Z", "log_Z_err"):
                module.log(f"test/{name} at {row['name']}", row[name], rank_zero_only=True)
        self.summary = {"conditions": found}

    def _judge(self, module: BoltzmannGenerator, values: Sequence[float]) -> dict[str, Any]:
        """Draw, pool over ranks, and estimate."""
        energy, rank, ranks = module.energy, module.trainer.global_rank, module.trainer.world_size
        name = describe_context(energy.conditions, values)
        context = torch.tensor(values, dtype=torch.float64)
        pooled = Gathered(log_w=torch.empty(0, dtype=torch.float64)).to(module.device)
        mine, most = self.samples // ranks + (rank < self.samples % ranks), module.data.eval_batch_size
        for i, start in enumerate(range(0, mine, most)):
            rng = stream(module.seed, f"conditions/{name}", rank, i, module.device)
            with torch.no_grad():
                pooled.update(log_w=draw(module.proposer, energy, min(most, mine - start), rng, context).log_w)
        log_w = pooled.compute()["log_w"].cpu()
        ess, ess_error = estimators.ess_with_error(log_w)
        log_Z, log_Z_error = estimators.log_z(log_w)
        return {
            "name": name,
            "context": dict(zip((c.name for c in energy.conditions), values, strict=True)),
            "n": len(log_w),
            "ess": ess,
            "ess_err": ess_error,
            "pareto_k": estimators.pareto_k(log_w),
            "log_Z": log_Z,
            "log_Z_err": log_Z_error,
            "log_Z_exact": energy.given(values).log_Z,
        }
