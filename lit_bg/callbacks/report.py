"""The report of a test: summary.json, samples.npz, a page, and the verdict on the terminal."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.wandb_run import wandb_run
from lit_bg.files import atomic
from lit_bg.kernels.units import in_kelvin
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.contents import read_contents
from lit_bg.report.page import write_page
from lit_bg.report.table import print_summary
from lit_bg.runs.folder import RunFolder


class Report(Observer):
    """Writes what observers have found in a test to summary.json (see `Summary`), and saves the samples.

    summary.json holds plain numbers, null where something is unknown or not finite. samples.npz holds `x`,
    `log_q` and `u` of all ranks. report.html is all of it to read, with figures and curves. The last lines printed
    are a table, the verdict, the page and the run folder. Without a run folder (no logger) only the table is printed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started: float | None = None
        self._before = 0.0  # seconds spent by the processes that this run continues
        self._continues = True

    @property
    def seconds(self) -> float:
        """Return the wall time of the run so far, resumed parts included."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        # The checkpoint that a test after training loads is of this very process: its time is already counted.
        self._continues = self._started is None
        if self._started is None:
            self._started = time.monotonic()

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder, proposals = trainer.log_dir, module.record.evaluation.proposals  # collective calls
        if stage == "test" and trainer.is_global_zero and folder is not None:
            with atomic(Path(folder) / "samples.npz") as temporary:
                np.savez(temporary, **{name: column.numpy() for name, column in proposals._asdict().items()})

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call
        if stage != "test" or not trainer.is_global_zero:
            return
        names = type(module.energy).__name__, type(module.generator).__name__
        steps = trainer.fit_loop.epoch_loop.global_step
        kT = module.energy.kT if in_kelvin(module.energy) else None
        summary = module.record.summarise(*names, steps, module.judged_step, self.seconds, kT)
        page = None
        if folder is not None:
            summary.write(Path(folder) / "summary.json")
            for logger in trainer.loggers:
                logger.save()  # curves are drawn from metrics.csv
            try:
                page = write_page(read_contents(RunFolder(Path(folder))))
            except ValueError as problem:  # of a picture or a structure, which is no reason to lose the verdict
                warnings.warn(f"the run has no page: {problem}", stacklevel=2)
        run = wandb_run(trainer)
        if run is not None:
            run.summary["verdict"] = summary.verdict
            run.summary["reasons"] = " ".join(summary.reasons)
        print_summary(summary, folder, None if page is None else str(page))

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._continues:
            self._before = state_dict["seconds"]
