"""What a test leaves behind: summary.json, samples.npz, and the verdict on the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer

from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.wandb_run import wandb_run
from lit_bg.files import atomic, write_json
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.table import print_summary


class Report(Observer):
    """Merges the observers' summaries of a test into summary.json, and saves the samples.

    summary.json holds plain numbers, null where something is unknown or not finite. samples.npz holds `x`,
    `log_q` and `u` of all ranks. The last lines printed are a table, the verdict and the run folder. Without a
    run folder (no logger) only the table is printed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started: float | None = None
        self._before = 0.0  # seconds spent by the processes that this run continues
        self._continues = True

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, resumed parts included."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        # The checkpoint that a test after training loads is of this very process: its time is already counted.
        self._continues = self._started is None
        if self._started is None:
            self._started = time.monotonic()

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        pooled = next((c.evaluation for c in trainer.callbacks if isinstance(c, Diagnose)), None)  # type: ignore[attr-defined]
        if stage == "test" and trainer.is_global_zero and folder is not None and pooled is not None:
            with atomic(Path(folder) / "samples.npz") as temporary:
                np.savez(temporary, **{name: column.numpy() for name, column in pooled.proposals._asdict().items()})

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        if stage != "test" or not trainer.is_global_zero:
            return
        self.summary = self.merge(trainer, module)
        if folder is not None:
            write_json(Path(folder) / "summary.json", self.summary)
        run = wandb_run(trainer)
        if run is not None:
            run.summary["verdict"] = self.summary["verdict"]
            run.summary["reasons"] = " ".join(self.summary["reasons"])
        print_summary(self.summary, folder)

    def merge(self, trainer: Trainer, module: BoltzmannGenerator) -> dict[str, Any]:
        """The summaries of all observers, with the verdict on them.

        Raises:
            ValueError: there is no Diagnose among the callbacks.
        """
        fragments: dict[str, Any] = {}
        for observer in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(observer, Observer) and observer is not self:
                fragments |= observer.summary
        if "verdict" not in fragments:
            raise ValueError("Report writes what Diagnose finds: put it among the callbacks too.")
        return {
            "energy": type(module.energy).__name__,
            "generator": type(module.generator).__name__,
            "steps": trainer.fit_loop.epoch_loop.global_step,
            "judged_step": module.judged_step,
            "seconds": self.seconds,
            **fragments,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._continues:
            self._before = state_dict["seconds"]
