"""Which metastable states the generator reaches, and which it has lost."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import reference_data
from lit_bg.callbacks.wandb_run import log_media, wandb_run
from lit_bg.energies.base import Modes
from lit_bg.estimators import ess, expectation
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Evaluation

EXPECTED = 10  # samples a mode should get before its absence means anything
FRACTION = 0.1  # of its probability: a mode with less is missing
SIGMAS = 4.0


class ModeCoverage(Observer):
    r"""Probability of each mode, raw and reweighted, beside the exact or the reference value.

    A mode of reference probability p is missing when n proposals should hold at least ten samples of it
    and either none lies in it, or its reweighted mass is below p / 10 by more than four standard errors. A
    mode proposed rarely but reweighted right is not missing. Where no reference probability is known, a mode
    without any sample is missing.

    The standard error is that of the reweighted estimate, of the reference data, and of $N \cdot$ESS
    independent draws of p together: the estimate alone would claim certainty when it has seen one sample.

    Logs `<stage>/missing_modes`, their number, and a table of all modes to W&B.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gathered = Gathered(log_w=torch.empty(0, dtype=torch.float64), label=torch.empty(0, dtype=torch.int64))
        self._populations: list[tuple[float, float] | None] | None = None  # does not change while a run lasts

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        self.gathered.to(module.device)
        self.gathered.reset()

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        modes = module.energy.modes
        if modes is not None:
            samples = evaluation.proposals
            label = torch.where(samples.finite, modes.label(samples.x), -1)
            self.gathered.update(log_w=samples.log_w, label=label)

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        modes = module.energy.modes
        if modes is None:
            self.summary = {"modes": None, "missing_modes": None}
            return
        columns = {name: column.cpu() for name, column in self.gathered.compute().items()}
        self._populations = self._populations or reference_populations(modes, trainer, module.device)
        table = mode_table(modes, columns["label"], columns["log_w"], self._populations)
        missing = [name for name, row in table.items() if row["missing"]]
        self.summary = {"modes": table, "missing_modes": missing}
        module.log(f"{stage}/missing_modes", float(len(missing)))
        self._show(trainer, stage, table)

    def _show(self, trainer: Trainer, stage: str, table: dict[str, dict[str, Any]]) -> None:
        if wandb_run(trainer) is None:
            return
        import wandb

        columns: list[str | int] = ["mode", *next(iter(table.values()))]
        rows = [[name, *row.values()] for name, row in table.items()]
        log_media(trainer, {f"{stage}/modes": wandb.Table(columns=columns, data=rows)})


def reference_populations(modes: Modes, trainer: Trainer, device: torch.device) -> list[tuple[float, float] | None]:
    """Probability and standard error of each mode: exact, or from reference data (the card, else the frames), or unknown."""
    if modes.exact is not None:
        return [(float(p), 0.0) for p in modes.exact]
    data = reference_data(trainer)
    if data is None:
        return [None] * len(modes.names)
    known = getattr(data, "card", {}).get("modes", {})  # knows more than the frames where they come from replica exchange
    if all(known.get(name, {}).get("error") for name in modes.names):
        return [(known[name]["p"], known[name]["error"]) for name in modes.names]
    return [data.mean(inside) for inside in _indicators(modes, modes.label(data.x.to(device))).T]


def _indicators(modes: Modes, label: Tensor) -> Tensor:
    """(B, K) one column per mode: 1 for the samples in it."""
    return (label[:, None] == torch.arange(len(modes.names), device=label.device)).to(torch.float64)


def mode_table(
    modes: Modes, label: Tensor, log_w: Tensor, reference: list[tuple[float, float] | None]
) -> dict[str, dict[str, Any]]:
    """Per mode: raw, reweighted, err, reference, reference_err (None where unknown), and whether it is missing.

    Args:
        modes: of the energy.
        label: mode of each sample, (B,).
        log_w: log weights, (B,) [nats].
        reference: probability and its standard error, one pair per mode, None where unknown.
    """
    n, effective = len(label), max(ess(log_w) * len(label), 1e-12)
    table = {}
    for name, inside, known in zip(modes.names, _indicators(modes, label).T, reference, strict=True):
        raw = inside.mean().item()
        reweighted, err = expectation(inside, log_w)
        if known is None:
            missing = raw == 0
        else:
            p, p_err = known
            sigma = math.sqrt(err**2 + p_err**2 + p * max(1 - p, 0.0) / effective)
            unseen = raw == 0 and p > SIGMAS * p_err
            starved = reweighted < FRACTION * p and p - reweighted > SIGMAS * sigma
            missing = p * n >= EXPECTED and (unseen or starved)
        table[name] = {
            "raw": raw,
            "reweighted": reweighted,
            "err": err,
            "reference": None if known is None else known[0],
            "reference_err": None if known is None else known[1],
            "missing": missing,
        }
    return table
