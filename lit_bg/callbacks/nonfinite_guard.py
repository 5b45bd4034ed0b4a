"""A guard against training steps whose loss or gradient is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from lit_bg.callbacks.wandb_run import alert

IN_A_ROW = 10  # nothing changes between skipped steps but the noise


class NonFiniteGuard(Callback):
    """Skips and counts training steps with a non-finite loss or gradient; past a limit, or ten in a row, stops and says why.

    A skipped step leaves no trace: the gradients are removed (None, not zero), so the optimizer changes
    neither parameters nor its moments. All ranks skip together. Past the limit the last good state is
    written to checkpoints/nonfinite.ckpt.

    Logs `train/skipped_steps`, the count so far.

    Args:
        limit: skipped steps, in the whole run, that are tolerated.

    Raises:
        ValueError: a negative limit.
        FloatingPointError: more than `limit` steps were skipped, or ten one after the other, which teach nothing.
    """

    def __init__(self, limit: int = 50) -> None:
        if limit < 0:
            raise ValueError(f"limit counts training steps and cannot be negative, got {limit}.")
        self.limit = limit
        self.count = 0
        self.in_a_row = 0
        self._loss_is_finite: Tensor | None = None
        self._last = ""  # what was not finite

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        finite = torch.isfinite(loss.detach()).all()
        self._loss_is_finite = finite if self._loss_is_finite is None else self._loss_is_finite & finite

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = {} if self._loss_is_finite is None else {"loss": self._loss_is_finite}
        if grads:
            finite["gradient"] = torch.isfinite(torch.stack(torch._foreach_norm(grads, torch.inf))).all()
        # One question for both, since the answer waits for the device.
        fine = torch.stack(list(finite.values())).tolist() if finite else []
        bad = [name for name, answer in zip(finite, fine, strict=True) if not answer]
        self._loss_is_finite = None
        # The gradients are the same on all ranks, a loss is not.
        if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            optimizer.zero_grad(set_to_none=True)
            self.count += 1
            self.in_a_row += 1
            self._last = bad[0] if bad else "gradient"
        else:
            self.in_a_row = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        pl_module.log("train/skipped_steps", float(self.count))
        if self.count <= self.limit and self.in_a_row < IN_A_ROW:
            return
        path = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints" / "nonfinite.ckpt"
        trainer.save_checkpoint(path)
        past = self.count > self.limit
        how_many = f"{self.count} training steps" if past else f"{self.in_a_row} training steps in a row"
        text = (
            f"{how_many} had a non-finite {self._last or 'loss'} (limit {self.limit}), the last at "
            f"step {trainer.global_step}: lower the learning rate, clip gradients or cut high energies in the loss; "
            f"the last good state is checkpoints/{path.name} of the run."
        )
        alert(trainer, "Training stopped", text)
        raise FloatingPointError(text)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]
