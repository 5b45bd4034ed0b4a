"""A progress bar, or plain lines, with the state of the training."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from lit_bg.activity import is_screen
from lit_bg.report.notation import count
from lit_bg.simulators.base import ReportProgress
from lit_bg.simulators.progress_bar import show_progress

OFTEN = 0.5  # [s] between two looks at what was logged, each of which waits for the device


class Progress(ProgressBar):
    """Shows the whole training as one bar: time left, loss, ESS, k-hat and energy calls; then the test as another.

    Where there is no terminal it prints a line now and then, and one per validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._report: ReportProgress | None = None
        self._next = 0.0
        self._enabled = True

    @property
    def state_key(self) -> str:
        return "Progress"

    def disable(self) -> None:
        """Show nothing, as on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bars again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin("fit")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._tell(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._tell(trainer, pl_module, "validation", at_once=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._enabled or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        from rich import get_console

        if not is_screen(get_console()):
            print(f"step {trainer.global_step}: {standing(trainer, pl_module)}", flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin("test")

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        if self._report is not None:
            self._report(batch_idx + 1, int(sum(trainer.num_test_batches)), "proposals")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._report is not None:
            n = int(sum(trainer.num_test_batches))
            self._report(n, n, "judging them")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._end()

    def _begin(self, name: str) -> None:
        self._end()
        if self._enabled:
            self._report, self._next = self._open.enter_context(show_progress(name, transient=True)), 0.0

    def _end(self) -> None:
        self._report = None
        self._open.close()

    def _tell(self, trainer: Trainer, module: Any, doing: str = "", at_once: bool = False) -> None:
        now = time.monotonic()
        if self._report is None or (now < self._next and not at_once):
            return
        self._next = now + OFTEN
        state = standing(trainer, module)
        self._report(trainer.fit_loop.epoch_loop.total_batch_idx + 1, length(trainer), f"{doing}, {state}" if doing else state)


def length(trainer: Trainer) -> int:
    """Return the number of batches of the whole training; 0 where only time limits it."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    limits = [] if steps < 0 else [steps * trainer.accumulate_grad_batches]
    if epochs is not None and epochs >= 0:
        limits.append(int(epochs * trainer.num_training_batches))
    return min(limits, default=0)


def standing(trainer: Trainer, module: Any) -> str:
    """Say what has been logged last; what is not known yet is left out."""
    shown = {"loss": "train/loss", "ESS": "val/ess", "k-hat": "val/pareto_k", "NLL": "val/nll"}
    logged = trainer.callback_metrics
    numbers = [f"{name} {logged[key].item():.4g}" for name, key in shown.items() if key in logged]
    return ", ".join([*numbers, f"energy calls {count(module.energy.n_values * trainer.world_size)}"])
