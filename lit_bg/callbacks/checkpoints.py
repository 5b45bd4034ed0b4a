"""best.ckpt and last.ckpt, also when a run is interrupted."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn


class Interrupted(Exception):
    """Training was stopped by a signal; last.ckpt is written."""


class Checkpoints(ModelCheckpoint):
    """Keeps the best state by one metric and the last one; an interrupt is obeyed between two steps.

    A signal may come in the middle of an optimizer step, and a state saved then is no state of the
    training. So the first Ctrl-C (or SIGTERM, which a queue sends) is remembered, last.ckpt is written at
    the end of the step, and training stops; a second one stops at once.

    Args:
        monitor: metric that decides which state is the best, such as val/ess or val/nll.
        mode: whether it should be large or small.
    """

    def __init__(self, monitor: str = "val/ess", mode: Literal["min", "max"] = "max") -> None:
        super().__init__(filename="best", monitor=monitor, mode=mode, enable_version_counter=False)
        self._signal: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def state_key(self) -> str:
        return "Checkpoints"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for s in (signal.SIGINT, signal.SIGTERM):
                self._before[s] = signal.signal(s, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        super().on_train_batch_end(trainer, *args, **kwargs)
        # All ranks stop at the same step, whoever was told.
        if trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False):
            self._save_last(trainer)
            raise Interrupted

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._save_last(trainer)

    def _save_last(self, trainer: Trainer) -> None:
        assert self.dirpath is not None
        trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt", weights_only=False)  # the optimizer too

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore_handlers()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)
        self._before = {}
