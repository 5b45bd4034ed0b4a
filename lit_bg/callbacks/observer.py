"""Contract of observers: callbacks that turn evaluations into numbers."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_bg.energies.base import Energy
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Evaluation


class Observer(Callback):
    """Looks at every validation and test, and concludes once, over all ranks.

    A subclass defines `conclude`: it takes the pooled evaluation from `module.record`, and puts what it has found there, for
    those that draw and report it. It never samples what is there. Where batches have to be seen one by one, it defines `begin`
    and `observe` too. All of them run on every rank, so they may reduce over ranks. `stage` is "val" or "test", and names the
    section of what is logged.
    """

    def check(self, energy: Energy) -> None:
        """Refuse what this system cannot be asked, before a run begins; by default refuse nothing.

        Raises:
            ValueError: what does not fit, with the way out.
        """

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        """Forget the last evaluation."""

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        """Take in one batch of this rank."""

    def conclude(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        """Look at `module.record`, reduce over ranks, log the result, and add to the record what was found."""

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        """Write files and pictures, which take from several observers; called when all of them have concluded."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.begin(trainer, pl_module, "val")

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.observe(trainer, pl_module, outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.conclude(trainer, pl_module, "val")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.finish(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.begin(trainer, pl_module, "test")

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.observe(trainer, pl_module, outputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.conclude(trainer, pl_module, "test")

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.finish(trainer, pl_module, "test")
