"""python -m lit_bg.fit -c experiments/x.yaml [--a.b=c ...]: train, judge, and leave a run folder."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from lit_bg.config_file import refuse_early

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from lit_bg.cli import CLI


def main(args: list[str] | None = None) -> None:
    """The command line. What the user can mend is one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    if "-h" in args or "--help" in args:
        print(HELP)
        return
    refuse_early(args)
    quiet()
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from lit_bg.cli import CLI, complain

    cli = CLI(args)
    try:
        job = prepare(cli)
    except (ValueError, TypeError, OSError, ImportError, MisconfigurationException) as error:
        complain(error)
    try:
        job()
    except FloatingPointError as error:  # an energy of -inf, or too many losses that are not finite
        complain(error)


HELP = """\
python -m lit_bg.fit -c experiments/x.yaml [--a.b=c ...]

Trains a Boltzmann generator, judges it, and leaves runs/<experiment>/version_N/.

sections of the YAML, each key also an option:
  model            energy, generator, loss, optimizer, lr_scheduler: a class_path with its init_args
  data             path of reference data; sizes of batches, validation and test
  trainer          arguments of the Lightning Trainer: max_epochs, accelerator, devices, strategy, callbacks, ...
  simulate         how `python -m lit_bg.simulate -c experiments/x.yaml` makes data.path
  seed_everything  of every random number

options:
  --ckpt_path last   go on with the newest run of the experiment, or with a checkpoint file
  --name, --version  of the run folder; by default the name of the YAML and the next free number
  --runs             folder of all runs (default runs)
  --print_config     after -c: every key with its value
  --model.generator.help=CouplingFlow
                     arguments of a class; likewise for energy, loss and optimizer

A traceback instead of one sentence: LIT_BG_TRACEBACK=1. Class paths import code: run only configurations you trust."""


def quiet() -> None:
    """Advice of Lightning that does not apply: our loaders only count, our batches are drawn on the device."""
    import logging

    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", module=r"lightning\.")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def prepare(cli: CLI) -> Any:
    """Build and check everything; returns the call that trains and judges.

    Raises:
        ValueError: the parts do not fit, the run folder exists, the checkpoint is of another configuration.
        FileNotFoundError: a file that is named does not exist.
    """
    from lightning.pytorch import Trainer, seed_everything
    from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

    from lit_bg.callbacks.checkpoints import Interrupted
    from lit_bg.loggers import MetricsFile, wandb_logger, wandb_mode
    from lit_bg.run import read_checkpoint
    from lit_bg.run_folder import RunFolder, find_checkpoint

    config = cli.config
    seed_everything(cli.seed, verbose=False)
    resume = None
    if config.ckpt_path is not None:
        resume = find_checkpoint(config.ckpt_path, config.runs, cli.experiment, config.version)
    built = cli.parser.instantiate(config)
    module, data = built.model, built.data
    data.prepare(module.energy, needs_data=module.loss.needs_data)

    checkpoint = None if resume is None else read_checkpoint(resume)
    if checkpoint is not None:
        module.check_checkpoint(checkpoint)
    settings = built.trainer.as_dict()
    settings["callbacks"] = with_observers(settings["callbacks"] or [])
    if settings["enable_progress_bar"] is False:
        settings["callbacks"] = [c for c in settings["callbacks"] if not isinstance(c, ProgressBar)]
    trainer = Trainer(**{**settings, "logger": False, "default_root_dir": config.runs})

    # Nothing was wrong, so the run gets its folder.
    folder = RunFolder.of_checkpoint(resume) if resume is not None else None
    if folder is None:
        folder = RunFolder.new(config.runs, cli.experiment, config.version)
    metrics = MetricsFile(config.runs, cli.experiment, folder.version)
    if checkpoint is not None:
        metrics.resume_at(checkpoint["global_step"])
    portable = cli.portable_config()
    trainer.loggers = [metrics]
    if wandb_mode() != "disabled":
        trainer.loggers = [metrics, wandb_logger(folder.path, cli.experiment, portable)]
    for c in trainer.checkpoint_callbacks:
        if isinstance(c, ModelCheckpoint) and c.dirpath is None:
            c.dirpath = str(folder.checkpoints)

    def job() -> None:
        if trainer.is_global_zero:
            folder.write_config(portable)
            folder.keep_inputs(config.model.energy.as_dict())
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except Interrupted:
            if trainer.is_global_zero:
                print(f"Interrupted; to go on: python -m lit_bg.fit -c {config.config[0]} --ckpt_path {folder.last}")
            raise SystemExit(130) from None
        best = folder.best if folder.best.is_file() else None
        trainer.test(module, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)

    return job


def with_observers(given: list[Callback]) -> list[Callback]:
    """The callbacks of every run; one that the YAML names replaces its like."""
    from lit_bg import callbacks as observers
    from lit_bg.callbacks.checkpoints import Checkpoints

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


if __name__ == "__main__":
    main()
