"""A progress bar, or plain lines, with the state of the training."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from lit_bg.report.notation import count


class Progress(RichProgressBar):
    """Shows a bar with loss, ESS, k-hat and energy calls; where there is no terminal, one plain line per validation."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        from rich import get_console

        self.plain = not get_console().is_terminal
        if self.plain:
            self.disable()

    @property
    def state_key(self) -> str:
        return "Progress"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        return standing(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if self.plain and trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.sanity_checking:
            numbers = ", ".join(f"{name} {value}" for name, value in standing(trainer, pl_module).items())
            print(f"step {trainer.global_step}: {numbers}", flush=True)


def standing(trainer: Trainer, module: Any) -> dict[str, str]:
    """Return what has been logged last, as text; what is not known yet is left out."""
    shown = {"loss": "train/loss", "NLL": "val/nll", "ESS": "val/ess", "k-hat": "val/pareto_k"}
    logged = trainer.callback_metrics
    numbers = {name: f"{logged[key].item():.4g}" for name, key in shown.items() if key in logged}
    return {**numbers, "energy calls": count(module.energy.n_values * trainer.world_size)}
