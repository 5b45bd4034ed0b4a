"""The W&B run of a trainer, where there is one."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import Trainer


def logs_to_wandb(trainer: Trainer) -> bool:
    """Say whether the trainer has a WandbLogger, with the same answer on all ranks."""
    return _logger(trainer) is not None


def wandb_run(trainer: Trainer) -> Any | None:
    """Return the W&B run that is logged to; None without a WandbLogger and on all ranks but the first."""
    logger = _logger(trainer)
    return logger.experiment if logger is not None and trainer.is_global_zero else None


def _logger(trainer: Trainer) -> Any | None:
    from lightning.pytorch.loggers import WandbLogger

    return next((logger for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)


def log_media(trainer: Trainer, media: dict[str, Any]) -> None:
    """Log images, tables and molecules at the same step as the numbers of the same evaluation."""
    run = wandb_run(trainer)
    if run is not None and media:
        import wandb

        for name, value in media.items():
            if isinstance(value, wandb.Table):  # bound, it is a file of the run; else W&B makes an artifact in the home folder
                value.bind_to_run(run, name, run.step)
        # Not with a step of our own: Lightning logs a validation one step back, and W&B drops what comes late.
        run.log(media, commit=False)


def alert(trainer: Trainer, title: str, text: str) -> None:
    """Warn that something needs a human, here and by an alert in W&B."""
    if not trainer.is_global_zero:
        return
    warnings.warn(f"{title}: {text}", stacklevel=2)
    run = wandb_run(trainer)
    if run is not None:
        run.alert(title=title, text=text, level="WARN")
