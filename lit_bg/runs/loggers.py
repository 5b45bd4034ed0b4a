"""Loggers of numbers: a CSV file that survives a resume, and W&B with or without a login."""

from __future__ import annotations

import csv
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from lit_bg.files import atomic
from lit_bg.runs.metrics_file import read_metrics


class MetricsFile(CSVLogger):
    """Writes metrics.csv with one line per step; a resumed run continues the file.

    Lightning's own logger deletes the file it finds and writes a line per call.
    """

    def __init__(self, save_dir: str, name: str, version: int) -> None:
        super().__init__(save_dir, name=name, version=version)
        self._rows: dict[int, dict[str, float]] | None = None
        self._unsaved = 0

    @property
    def path(self) -> Path:
        return Path(self.log_dir) / "metrics.csv"

    @property
    def rows(self) -> dict[int, dict[str, float]]:
        """Return metrics by step, read from the file of the run that is continued."""
        if self._rows is None:
            self._rows = read_metrics(self.path) if self.path.exists() else {}
        return self._rows

    @rank_zero_only
    def resume_at(self, step: int) -> None:
        """Forget what was logged after the checkpoint that is resumed: it will be logged again."""
        self._rows = {s: r for s, r in self.rows.items() if s < step}

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        values = {k: float(v) for k, v in metrics.items()}
        step = max(self.rows, default=-1) + 1 if step is None else step
        self.rows.setdefault(step, {}).update(values)
        self._unsaved += 1
        if self._unsaved >= 50:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        if not self.rows:
            return
        names = sorted(set().union(*self.rows.values()))
        with atomic(self.path) as temporary, open(temporary, "w", newline="") as f:
            writer = csv.DictWriter(f, ["step", *names])
            writer.writeheader()
            writer.writerows({"step": step, **row} for step, row in sorted(self.rows.items()))
        self._unsaved = 0

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Log nothing: config.yaml beside the file is the full configuration."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()


class WandbRun(WandbLogger):
    """Logs to a W&B run with one history line per step: what is logged at one step is merged, after a resume too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._wandb_init.pop("anonymous")  # W&B warns of the option, which Lightning always passes
        self._has_log = True

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return the W&B run, made when it is first asked for, without the log files that W&B begins beside it."""
        run = super().experiment
        if self._has_log and run is not None:
            self._has_log = False
            _remove_logs(Path(self._wandb_init["dir"]) / "wandb")
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if step is None:
            self.experiment.log(dict(metrics), commit=False)
        else:
            self.experiment.log({**metrics, "trainer/global_step": step}, step=step)


def _remove_logs(folder: Path) -> None:
    """Remove W&B's log of itself and its link to another: they name folders of this machine, and no sync reads them."""
    log = logging.getLogger("wandb")
    for handler in list(log.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).is_relative_to(folder.absolute()):
            log.removeHandler(handler)
            handler.close()
            Path(handler.baseFilename).unlink(missing_ok=True)
    for link in folder.glob("*run-*/logs/debug-core.log"):
        link.unlink(missing_ok=True)


def wandb_mode() -> str:
    """Return WANDB_MODE where it is set; otherwise online with a login and offline without."""
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    import wandb

    return "online" if wandb.login(prompt=False) else "offline"


def wandb_logger(folder: Path, name: str, config: dict[str, Any]) -> WandbRun:
    """Return the logger of the W&B run of a run folder: a resumed run continues it, because its id is kept in the folder.

    Its offline records can be given away: they hold no name of the machine or its user, and no absolute path.
    """
    import wandb

    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    id_file = folder / "wandb" / "run_id"
    if not id_file.exists():
        with atomic(id_file) as temporary:
            # The agent of a sweep has named the run already.
            named = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
            temporary.write_text(named or uuid.uuid4().hex[:12])
    return WandbRun(
        project="lit_bg",
        name=f"{name}/{folder.name}",
        id=id_file.read_text().strip(),
        save_dir=str(folder),
        mode=wandb_mode(),
        config=config,
        # No console capture, source code, git remote or machine description, host, or links: they hold paths and names.
        settings=wandb.Settings(
            console="off", silent=True, disable_code=True, disable_git=True, x_disable_meta=True, host="", symlink=False
        ),
    )
