"""A training as a configuration asks for it: built, checked, and ready to go."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.plugins.io import CheckpointIO

from lit_bg import callbacks as observers
from lit_bg import signals
from lit_bg.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from lit_bg.config.cli import CLI
from lit_bg.files import lock, remove_temporaries
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.load import read_checkpoint, with_modes
from lit_bg.runs.loggers import MetricsFile, wandb_logger, wandb_mode
from lit_bg.runs.resume import Resumption, check_length, compare_configurations


def prepare(cli: CLI, resumption: Resumption | None) -> tuple[Callable[[], None], RunFolder]:
    """Build and check everything; return the call that trains and judges, and the folder that it writes to.

    Raises:
        ValueError: the parts do not fit, the run folder exists or is in use, the checkpoint is of another configuration.
        FileNotFoundError: a file that is named does not exist.
    """
    config = cli.config
    seed_everything(cli.seed, verbose=False)
    resume = None if resumption is None else resumption.checkpoint
    folder = None if resumption is None else resumption.folder
    portable = cli.portable_config()
    checkpoint = None if resume is None else read_checkpoint(resume)
    if checkpoint is not None:
        if "configuration" in checkpoint:
            compare_configurations(checkpoint["configuration"], portable, str(resume))
        check_length(portable, checkpoint)
    built = cli.parser.instantiate(config)
    module, data = built.model, built.data
    data.prepare(module.energy, needs_data=module.loss.needs_data)
    if checkpoint is None:
        portable["model"]["energy"] = with_modes(portable["model"]["energy"], module.energy)
    else:  # the checkpoint knows its configuration, with the modes that were found then
        module.check_checkpoint(checkpoint)
        data.load_sources(checkpoint.get("sources", {}))
    settings = built.trainer.as_dict()
    settings["callbacks"] = with_observers(settings["callbacks"] or [])
    settings["plugins"] = with_plugins(settings["plugins"] or [])
    if settings["enable_progress_bar"] is False:
        settings["callbacks"] = [c for c in settings["callbacks"] if not isinstance(c, ProgressBar)]
    trainer = Trainer(**{**settings, "logger": False, "default_root_dir": config.runs})
    signals.take_over(trainer)

    # Nothing was wrong, so the run gets its folder.
    if folder is None:
        folder = RunFolder.new(config.runs, cli.experiment, config.version)
    # Where Lightning looks for the checkpoint of a requeued job, which would replace any other: there is none.
    trainer._default_root_dir = str(folder.path)  # type: ignore[attr-defined]
    if trainer.is_global_zero:
        lock(folder.path)
        remove_temporaries(folder.path)
        folder.write_config(portable)
    way_on = f"to go on: python -m lit_bg.fit --resume {shlex.quote(str(folder.path))}"
    signals.set_way_on(way_on)
    metrics = MetricsFile(str(folder.path.parent.parent), folder.path.parent.name, folder.version)
    metrics.resume_at(0 if checkpoint is None else checkpoint["global_step"])
    trainer.loggers = [metrics]
    if wandb_mode() != "disabled":
        trainer.loggers = [metrics, wandb_logger(folder.path, cli.experiment, portable)]
    for c in trainer.checkpoint_callbacks:
        if isinstance(c, ModelCheckpoint) and c.dirpath is None:
            c.dirpath = str(folder.checkpoints)
        if isinstance(c, Checkpoints):
            c.configuration = portable

    def job() -> None:
        signals.set_mode("raise")
        if trainer.is_global_zero:
            folder.keep_inputs(config.model.energy.as_dict())
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        signals.set_mode("raise")
        signals.set_way_on(f"the training is done and its test is not; {way_on}")
        best = folder.best if folder.best.is_file() else None
        trainer.test(module, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)

    return job, folder


def with_plugins(given: list[Any]) -> list[Any]:
    """Return the plugins of every run: whole checkpoints, and no requeueing by Lightning, which saves its own."""
    given = given if isinstance(given, list) else [given]
    added: list[Any] = [] if any(isinstance(p, CheckpointIO) for p in given) else [AtomicCheckpointIO()]
    if SLURMEnvironment.detect() and not any(isinstance(p, ClusterEnvironment) for p in given):
        added.append(SLURMEnvironment(auto_requeue=False))
    return [*given, *added]


def with_observers(given: list[Callback]) -> list[Callback]:
    """Return the callbacks of every run; one that the YAML names replaces its like."""
    standard: list[Callback] = [
        observers.Progress(),
        observers.EMA(),
        observers.NonFiniteGuard(),
        observers.Diagnose(),
        observers.ParticleDistances(),
        observers.Figures(),
        observers.Structures(),
        observers.Report(),
        Checkpoints(),
    ]
    kinds = {type(c) for c in given}
    everyone = [c for c in standard if type(c) not in kinds] + given
    # Report merges what the others found, so it comes after them; Lightning puts checkpoints last.
    return sorted(everyone, key=lambda c: isinstance(c, observers.Report))
