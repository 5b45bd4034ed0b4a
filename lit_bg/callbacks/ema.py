"""Averaged weights, which propose better than those of the last step."""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class EMA(Callback):
    r"""Keeps a moving average of the generator's parameters, $\bar\theta \leftarrow d \bar\theta + (1 - d) \theta$.

    The average lives in `module.averaged`: validation, test and every later use of the run draw from it,
    and it is in the checkpoint. Early on the decay is $\min(d, (1+t)/(10+t))$ after t optimizer steps, so
    that the average forgets the initial weights. Buffers are copied.

    Args:
        decay: d, per optimizer step.

    Raises:
        ValueError: `decay` is not between 0 and 1.

    References:
        Polyak, Juditsky, SIAM J. Control Optim. 30, 838 (1992).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}; 0.999 averages over 1000 steps.")
        self.decay = decay
        self._steps = 0  # optimizer steps already averaged

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if pl_module.averaged is None:
            # Only the generator is copied: an energy may hold what cannot be, such as an OpenMM context.
            pl_module.averaged = copy.deepcopy(pl_module.generator).requires_grad_(False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self._steps:
            return  # gradients are still being accumulated
        self._steps = trainer.global_step
        decay = min(self.decay, (1 + self._steps) / (10 + self._steps))
        averaged, current = pl_module.averaged, pl_module.generator
        torch._foreach_lerp_(list(averaged.parameters()), list(current.parameters()), 1 - decay)
        for mean, now in zip(averaged.buffers(), current.buffers(), strict=True):
            mean.copy_(now)
