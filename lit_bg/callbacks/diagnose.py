"""Pools every evaluation over batches and ranks, finds what it says, and judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import reference_data, target_samples
from lit_bg.callbacks.wandb_run import alert, log_media, wandb_run
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.knowledge import Knowledge, Value, collect_knowledge
from lit_bg.diagnostics.profiles import Profile, find_profiles, reference_curve, save_profiles
from lit_bg.diagnostics.proposals import Density, ProposalFindings, compare_densities, diagnose, tabulate
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.summary import summarise
from lit_bg.report.verdict import judge
from lit_bg.rng import stream
from lit_bg.samples import Evaluation, Samples, usual_context

ESTIMATED = 100  # proposals of a batch whose log q is estimated again, where it is an estimate


class Diagnose(Observer):
    """Finds and judges: effective samples, log Z, averages, modes, profiles, and whether to trust them.

    It pools an evaluation once (`Evaluation`), asks the pure functions of `lit_bg.diagnostics` what it says, and
    `lit_bg.report.verdict` what that is worth. ESS values are fractions. Beside the ESS of the proposals, which is blind to
    what they lack, stand the one seen from reference data, log Z, and the effective samples of every mode.

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
        self.evaluation: Evaluation | None = None  # pooled, from `conclude` to `finish`
        self.findings: ProposalFindings | None = None
        self.profiles: dict[str, Profile] = {}
        self.field_evaluations = MeanMetric()
        self.log_q_variance = MeanMetric()
        self._knowledge: Knowledge | None = None  # does not change while a run lasts
        self._curves: dict[str, tuple[Tensor, Tensor]] | None = None

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        for metric in (self.field_evaluations, self.log_q_variance):
            metric.to(module.device)
            metric.reset()
        dtype = next(module.generator.parameters()).dtype
        x, number = torch.empty(0, *module.energy.space.shape, dtype=dtype), torch.empty(0, dtype=torch.float64)
        integer = torch.empty(0, dtype=torch.int64)
        a = torch.empty(0, len(module.energy.observables), dtype=torch.float64)
        self._drawn = Gathered(x=x, log_q=number, u=number, a=a, label=integer, inside=integer).to(module.device)
        self._frames = Gathered(log_q=number, u=number, frame=integer, walker=integer).to(module.device)
        self._twice = Gathered(densities=torch.empty(0, 2, dtype=torch.float64)).to(module.device)
        self._rng = stream(0, "log_q_variance", trainer.global_rank, device=module.device)
        self.evaluation = None

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        proposals, reference = evaluation.proposals, evaluation.reference
        self._drawn.update(**proposals._asdict(), **tabulate(module.energy, proposals.x))
        # A table without rows where there is nothing: every rank takes part in the gathering.
        self._twice.update(densities=torch.empty(0, 2) if evaluation.densities is None else evaluation.densities)
        if reference is None or evaluation.frame is None or evaluation.walker is None:
            self._frames.update(**self._frames.columns)
        else:
            self._frames.update(log_q=reference.log_q, u=reference.u, frame=evaluation.frame, walker=evaluation.walker)
        if evaluation.field_evaluations is not None:
            self.field_evaluations.update(evaluation.field_evaluations, weight=len(proposals.x))
        few, context = proposals.x[proposals.finite][:ESTIMATED], usual_context(module.proposer, module.energy)
        variance = module.proposer.log_prob_variance(few, self._rng, context)
        if variance is not None:
            self.log_q_variance.update(variance)

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        table = {name: column.cpu() for name, column in self._drawn.compute().items()}
        table["inside"] = table["inside"].bool()  # not every backend gathers truth values
        self.evaluation = self._pooled(module, table)
        knowledge = self._known(trainer, module)
        density = self._density(trainer, module, stage)
        self.findings = diagnose(module.energy, self.evaluation, knowledge, density, table)
        verdict = judge(self.findings, knowledge)
        integrates = module.proposer.evaluations is not None
        self.summary = {
            **summarise(self.findings, knowledge, verdict),
            "energy_calls": module.energy_calls(),
            "field_evaluations": self.field_evaluations.compute().item() if integrates else None,
        }
        self._profile(trainer, module, table)
        self._log(module, stage)
        self._show(trainer, stage)
        if stage == "val":
            self._watch(trainer, self.findings.weights.ess)

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        if stage == "test" and trainer.is_global_zero and folder is not None and self.profiles:
            save_profiles(self.profiles, Path(folder) / "profiles.npz")

    def _pooled(self, module: BoltzmannGenerator, table: dict[str, Tensor]) -> Evaluation:
        """All batches of all ranks, the frames of the reference in order of time."""
        frames = {name: column.cpu() for name, column in self._frames.compute().items()}
        twice = self._twice.compute()["densities"].cpu()
        order = torch.argsort(frames["frame"])
        frames = {name: column[order] for name, column in frames.items()}
        data = module.data.held
        held = None if data is None or not len(order) else Samples(data.x[frames["frame"]], frames["log_q"], frames["u"])
        return Evaluation(
            Samples(table["x"], table["log_q"], table["u"]),
            held,
            module.proposer.evaluations,
            twice if len(twice) else None,
            frames["frame"],
            frames["walker"],
        )

    def _known(self, trainer: Trainer, module: BoltzmannGenerator) -> Knowledge:
        if self._knowledge is None:
            given = getattr(getattr(trainer, "datamodule", None), "log_Z", None)
            log_Z = None if given is None else Value(given.value, given.error, given.source)
            self._knowledge = collect_knowledge(module.energy, reference_data(trainer), log_Z)
        return self._knowledge

    def _density(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> Density:
        proposer = module.proposer
        defect = None
        if stage == "test" and proposer.exact_density:
            # The same stream on every rank, so that all ranks judge alike.
            defect = density_defect(proposer, module.energy, stream(0, "density_defect"))
        variance = None if proposer.exact_density else self.log_q_variance.compute().item()
        assert self.evaluation is not None  # set by conclude
        return compare_densities(self.evaluation, defect, proposer.exact_density, variance)

    def _profile(self, trainer: Trainer, module: BoltzmannGenerator, table: dict[str, Tensor]) -> None:
        energy = module.energy
        ranged = {name: o for name, o in energy.observables.items() if o.range is not None}
        if self._curves is None:
            target = target_samples(trainer, module) if ranged else None
            self._curves = {}
            if target is not None:
                x, series = target
                self._curves = {n: reference_curve(series(o.function(x).cpu()), o, self.bins) for n, o in ranged.items()}
        assert self.evaluation is not None
        log_w = torch.where(table["inside"], self.evaluation.proposals.log_w, -torch.inf)
        columns = dict(zip(energy.observables, table["a"].T, strict=True))
        self.profiles = find_profiles({n: (columns[n], o) for n, o in ranged.items()}, log_w, self.bins, self._curves)

    def _log(self, module: BoltzmannGenerator, stage: str) -> None:
        names = (
            "ess", "ess_forward", "pareto_k", "tail_share", "max_weight", "log_Z", "log_Z_err", "log_Z_forward",
            "n_nonfinite", "n_outside", "energy_calls", "field_evaluations", "log_q_variance",
        )  # fmt: skip
        found = {name: self.summary[name] for name in names if self.summary[name] is not None}
        for name, row in self.summary["observables"].items():
            found |= {name: row["reweighted"], f"{name}_err": row["err"], f"{name}_raw": row["raw"]}
        for name, row in (self.summary["modes"] or {}).items():
            found[f"effective/{name}"] = row["effective"]
        if self.summary["modes"] is not None:
            found["missing_modes"] = len(self.summary["missing_modes"])
        module.log_dict({f"{stage}/{name}": float(value) for name, value in found.items()})

    def _show(self, trainer: Trainer, stage: str) -> None:
        if wandb_run(trainer) is None:
            return
        import wandb

        media = {}
        for key in ("modes", "claims"):
            rows = self.summary[key]
            if rows:
                named = rows.items() if isinstance(rows, dict) else [(row["name"], row) for row in rows]
                cells = [[name, *(v for k, v in row.items() if k != "name")] for name, row in named]
                columns = [key.removesuffix("s"), *(k for k in next(iter(dict(named).values())) if k != "name")]
                media[f"{stage}/{key}"] = wandb.Table(columns=columns, data=cells)
        log_media(trainer, media)

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
