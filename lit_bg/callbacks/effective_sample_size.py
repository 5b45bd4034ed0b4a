"""How much the weighted samples are worth, and what the ESS alone would hide."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from torchmetrics import MeanMetric

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.wandb_run import alert, wandb_run
from lit_bg.estimators import pareto_k, tail_share
from lit_bg.metrics import ForwardESS, Gathered, KishESS
from lit_bg.module import BoltzmannGenerator
from lit_bg.rng import stream
from lit_bg.samples import Evaluation

ESTIMATED = 100  # proposals of a batch whose log q is estimated again, where it is an estimate


class EffectiveSampleSize(Observer):
    """Reverse and forward ESS, Pareto k-hat, log Z with its error, energy calls and field evaluations, over all ranks.

    ESS values are fractions of the sample count. The reverse ESS is 1 for a generator that has lost a
    mode and is right elsewhere, so it is logged beside the numbers that can tell: the forward ESS (from
    held-out reference data, where there are any) and log Z (where it is known exactly). Of generators that
    integrate a vector field it also logs `<stage>/field_evaluations`, per proposal on average, and of those whose log q is a
    random estimate `<stage>/log_q_variance`, which lifts log Z by about half of it.

    Args:
        collapse: alert when the validation ESS falls below this fraction of its best.

    Raises:
        ValueError: `collapse` is not between 0 and 1.

    References:
        Kish, Survey Sampling (1965); Vehtari et al., JMLR 25, 72 (2024), arXiv:1507.02646 (k-hat).
    """

    def __init__(self, collapse: float = 0.1) -> None:
        super().__init__()
        if not 0 <= collapse < 1:
            raise ValueError(f"collapse is a fraction of the best ESS between 0 and 1, got {collapse}.")
        self.collapse = collapse
        self.best = 0.0
        self.collapsed = False
        self.weights = KishESS()
        self.forward = ForwardESS()
        self.gathered = Gathered(log_w=torch.empty(0, dtype=torch.float64))
        self.field_evaluations = MeanMetric()
        self.log_q_variance = MeanMetric()

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        for metric in (self.weights, self.forward, self.gathered, self.field_evaluations, self.log_q_variance):
            metric.to(module.device)
            metric.reset()
        self.rng = stream(0, "log_q_variance", trainer.global_rank, device=module.device)

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        log_w = evaluation.proposals.log_w
        self.weights.update(log_w)
        self.gathered.update(log_w=log_w)
        if evaluation.field_evaluations is not None:
            self.field_evaluations.update(evaluation.field_evaluations, weight=len(log_w))
        proposals = evaluation.proposals
        variance = module.proposer.log_prob_variance(proposals.x[proposals.finite][:ESTIMATED], self.rng)
        if variance is not None:
            self.log_q_variance.update(variance)
        reference = evaluation.reference
        self.forward.update(log_w[:0] if reference is None else reference.log_w)

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        result = self.weights.compute()
        forward = self.forward.compute().item()
        log_w = self.gathered.compute()["log_w"]
        integrates = module.proposer.evaluations is not None
        self.summary = {
            "n_samples": result.n,
            "n_nonfinite": result.n_zero,
            "ess": result.ess,
            "ess_forward": None if math.isnan(forward) else forward,
            "pareto_k": pareto_k(log_w),
            "tail_share": tail_share(log_w),
            "max_weight": result.max_weight,
            "log_Z": result.log_Z,
            "log_Z_err": result.log_Z_err,
            "log_Z_exact": module.energy.log_Z,
            "energy_calls": module.energy_calls(),
            "field_evaluations": self.field_evaluations.compute().item() if integrates else None,
            "exact_density": module.proposer.exact_density,
            "log_q_variance": None if module.proposer.exact_density else self.log_q_variance.compute().item(),
        }
        constant = ("n_samples", "log_Z_exact", "exact_density")
        logged = {k: v for k, v in self.summary.items() if v is not None and k not in constant}
        module.log_dict({f"{stage}/{name}": float(value) for name, value in logged.items()})
        if stage == "val":
            self._watch(trainer, result.ess)

    def _watch(self, trainer: Trainer, ess: float) -> None:
        """Keep the best ESS, and say once when it is lost."""
        self.best = max(self.best, ess)
        run = wandb_run(trainer)
        if run is not None:
            run.summary["best/ess"] = self.best
        fallen = ess < self.collapse * self.best
        if fallen and not self.collapsed:
            text = f"ESS {ess:.3g} at step {trainer.global_step}, its best was {self.best:.3g}."
            alert(trainer, "ESS has collapsed", text)
        self.collapsed = fallen

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "collapsed": self.collapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.collapsed = state_dict["best"], state_dict["collapsed"]
