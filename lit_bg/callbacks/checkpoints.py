"""Checkpoints best.ckpt and last.ckpt, whole at every moment, also when a run is interrupted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from lit_bg import signals
from lit_bg.files import atomic


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target and renames it, so that the old one stays until the new one is whole.

    Lightning's own writes where TMPDIR is, and from another file system it is copied over the old file, which is cut first.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        content = io.BytesIO()  # a full disk is an OSError then; PyTorch's own writer has another name for it
        torch.save(checkpoint, content)
        with atomic(path) as temporary:
            temporary.write_bytes(content.getbuffer())


class Checkpoints(ModelCheckpoint):
    """Keeps the best state by one metric and the last one, and obeys a signal between two steps.

    last.ckpt is written before and after every validation, after the first step of all, and when a signal asks for it: always
    between two steps, when everything that has been logged so far is in metrics.csv. A signal may come in the middle of an
    optimizer step, and a state saved then is none of the training, so a step is ended first, by all ranks together. A
    validation or a test leaves the training as it is and is broken off at once; going on from before it begins it again.

    Args:
        monitor: metric that decides which state is the best, such as val/ess or val/nll.
        mode: whether it should be large or small.
    """

    def __init__(self, monitor: str = "val/ess", mode: Literal["min", "max"] = "max") -> None:
        super().__init__(filename="best", monitor=monitor, mode=mode, enable_version_counter=False)
        self.configuration: dict[str, Any] | None = None  # of the run, for the checkpoint
        self._before_validation = False  # whether the state that is saved has its validation still to come
        self._owes_validation = False  # whether the state that was loaded has
        self._saved = False

    @property
    def state_key(self) -> str:
        return "Checkpoints"

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"before_validation": self._before_validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._owes_validation = state_dict.get("before_validation", False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.configuration is not None:
            checkpoint["configuration"] = self.configuration

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._saved = trainer.global_step > 0
        if self._owes_validation:
            self._owes_validation = False
            loop = trainer.fit_loop.epoch_loop.val_loop
            trainer.validating = True
            loop.run()
            trainer.training = True
            loop._has_run = False  # or Lightning takes the epoch that it goes on with for done, and every one after it
        signals.set_mode("defer")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        signals.set_mode("defer")  # after a validation
        if batch_idx % trainer.accumulate_grad_batches:
            return  # gradients that are half added up are in no checkpoint
        asked = self._asked(trainer)
        if batch_idx > 0 and (asked or not self._saved):
            # Lightning has counted the step that is about to begin; the state is that of before it.
            progress = trainer.fit_loop.epoch_loop.batch_progress
            for counted in (progress.total, progress.current):
                counted.ready -= 1
            self._save_last(trainer)
            for counted in (progress.total, progress.current):
                counted.ready += 1
        self._leave_if(asked)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_start(trainer, pl_module)
        if not _in_fit(trainer):
            return
        asked = self._asked(trainer)
        self._before_validation = True
        self._save_last(trainer)
        self._before_validation = False
        self._leave_if(asked)
        signals.set_mode("raise")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        signals.set_mode("defer")
        asked = self._asked(trainer)
        self._save_last(trainer)
        self._leave_if(asked)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, signals.SignalReceived):
            signals.end_ranks()

    def _asked(self, trainer: Trainer) -> int:
        """Return the signal that any rank has caught, on all of them; 0 for none."""
        if trainer.world_size == 1:
            return signals.caught() or 0  # asked at every step: nobody has to wait for a device
        number = torch.tensor(float(signals.caught() or 0), device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

    @staticmethod
    def _leave_if(asked: int) -> None:
        if asked:
            raise signals.SignalReceived(asked)

    def _save_last(self, trainer: Trainer) -> None:
        assert self.dirpath is not None
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt", weights_only=False)  # the optimizer too
        self._saved = True


def _in_fit(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
