"""Diagnosis of every evaluation, with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import target_samples
from lit_bg.callbacks.wandb_run import alert, log_media, wandb_run
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.diagnostics.profiles import Profile, find_profiles, save_profiles, target_curves
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.assess import judge_evaluation
from lit_bg.report.record import Record
from lit_bg.report.summarise import number_proposals
from lit_bg.report.summary import ModeRow, Summary
from lit_bg.rng import stream
from lit_bg.samples import Evaluation


class Diagnose(Observer):
    """Finds effective samples, log Z, averages, modes and profiles, and judges whether to trust them.

    It asks the pure functions of `lit_bg.diagnostics` what the pooled evaluation says, and `lit_bg.report.verdict` what that is
    worth. ESS values are fractions. Beside the ESS of the proposals, which is blind to what they lack, stand the one seen from
    reference data, log Z, and the effective samples of every mode.

    Logs `<stage>/ess`, `<stage>/log_Z`, ... , every average with its error and raw value, `<stage>/missing_modes`, effective
    samples per mode, and a table of all modes and claims to W&B. Profiles of a test are written to profiles.npz.

    Args:
        collapse: alert when the validation ESS falls below this fraction of its best.
        bins: of a free-energy profile, over the observable's range.

    Raises:
        ValueError: `collapse` is not between 0 and 1, or fewer than two bins.

    References:
        Kish, Survey Sampling (1965); Vehtari et al., JMLR 25, 72 (2024), arXiv:1507.02646 (k-hat).
    """

    def __init__(self, collapse: float = 0.1, bins: int = 60) -> None:
        super().__init__()
        if not 0 <= collapse < 1:
            raise ValueError(f"collapse is a fraction of the best ESS between 0 and 1, got {collapse}.")
        if bins < 2:
            raise ValueError(f"a free-energy profile needs at least 2 bins, got {bins}.")
        self.collapse, self.bins = collapse, bins
        self.best = 0.0
        self.collapsed = False
        self._knowledge: Knowledge | None = None  # does not change while a run lasts
        self._curves: dict[str, tuple[Tensor, Tensor]] | None = None

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        record, proposer, defect = module.record, module.proposer, None
        if stage == "test" and proposer.exact_density:
            # The same stream on every rank, so that all ranks judge alike.
            defect = density_defect(proposer, module.energy, stream(0, "density_defect"))
        found = judge_evaluation(module.energy, record.evaluation, self._known(module), defect)
        record.judgement, record.profiles = found, self._profile(module, record.evaluation)
        summary = found.summary
        module.log_dict({f"{stage}/{name}": value for name, value in _numbers(record, summary).items()})
        if wandb_run(trainer) is not None:
            claims = [(claim.name, [claim.word, claim.reason]) for claim in summary.claims]
            _show(trainer, f"{stage}/claims", ["claim", "word", "reason"], claims)
            names = [f.name for f in fields(ModeRow)]
            modes = [(name, [getattr(row, n) for n in names]) for name, row in (summary.modes or {}).items()]
            _show(trainer, f"{stage}/modes", ["mode", *names], modes)
        if stage == "val":
            self._watch(trainer, found.findings.weights.ess)

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        profiles = module.record.profiles
        if stage == "test" and trainer.is_global_zero and folder is not None and profiles:
            save_profiles(profiles, Path(folder) / "profiles.npz")

    def _known(self, module: BoltzmannGenerator) -> Knowledge:
        if self._knowledge is None:
            given = module.data.log_Z
            log_Z = None if given is None else Value(given.value, given.error, given.source)
            self._knowledge = collect_knowledge(module.energy, module.data.dataset, log_Z)
        return self._knowledge

    def _profile(self, module: BoltzmannGenerator, evaluation: Evaluation) -> dict[str, Profile]:
        energy, table = module.energy, evaluation.table
        assert table is not None  # a pooled evaluation has one
        ranged = {name: o for name, o in energy.observables.items() if o.range is not None}
        if self._curves is None:
            target = target_samples(module) if any(o.exact_bins is None for o in ranged.values()) else None
            values = None if target is None else lambda o: target[1](o.function(target[0]).cpu())
            self._curves = target_curves(ranged, self.bins, values)
        log_w = torch.where(table.inside, evaluation.proposals.log_w, -torch.inf)
        columns = dict(zip(energy.observables, table.a.T, strict=True))
        return find_profiles({n: (columns[n], o) for n, o in ranged.items()}, log_w, self.bins, self._curves)

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


def _numbers(record: Record, summary: Summary) -> dict[str, float]:
    """Return what is logged, by name; what is not known is left out."""
    assert record.judgement is not None
    s = number_proposals(record.judgement.findings)
    found: dict[str, float | None] = {
        "ess": s.ess,
        "ess_forward": s.ess_forward,
        "pareto_k": s.pareto_k,
        "tail_share": s.tail_share,
        "max_weight": s.max_weight,
        "log_Z": summary.log_Z,
        "log_Z_err": summary.log_Z_err,
        "log_Z_forward": s.log_Z_forward,
        "n_nonfinite": summary.n_nonfinite,
        "n_outside": summary.n_outside,
        "energy_calls": record.energy_calls,
        "field_evaluations": record.evaluation.field_evaluations,
        "log_q_variance": s.log_q_variance,
    }
    for name, row in summary.observables.items():
        found |= {name: row.reweighted, f"{name}_err": row.err, f"{name}_raw": row.raw}
    for name, mode in (summary.modes or {}).items():
        found[f"effective/{name}"] = mode.effective
    if summary.missing_modes is not None:
        found["missing_modes"] = len(summary.missing_modes)
    return {name: float(value) for name, value in found.items() if value is not None}


def _show(trainer: Trainer, name: str, columns: list[Any], rows: Sequence[tuple[str, list[Any]]]) -> None:
    """Log a table to W&B, unless it has no rows."""
    if rows:
        import wandb

        log_media(trainer, {name: wandb.Table(columns=columns, data=[[first, *cells] for first, cells in rows])})
