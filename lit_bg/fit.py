"""python -m lit_bg.fit -c experiments/x.yaml [--a.b=c ...]: train, judge, and leave a run folder."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lit_bg import signals
from lit_bg.command_line import complain, name_of
from lit_bg.config_file import refuse_early
from lit_bg.console.activity import announce
from lit_bg.console.check import refuse_names
from lit_bg.files import lock, release, remove_temporaries
from lit_bg.resume import read_arguments

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from lit_bg.cli import CLI
    from lit_bg.resume import Resumption
    from lit_bg.run_folder import RunFolder


def main(args: list[str] | None = None) -> None:
    """The command line. What the user can mend is one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    if not args or "-h" in args or "--help" in args:
        print(HELP.replace("python -m lit_bg.fit", name_of("fit")))
        return
    if "--help-all" in args:
        show_every_key("fit")
        return
    with signals.listening("nothing was trained: the same command starts it."):
        refuse_early(args)
        try:
            arguments, resumption = read_arguments(args)
        except (ValueError, OSError) as error:
            complain(error)
        refuse_names(arguments)
        if not any(word.startswith("--print_config") for word in args):
            announce("PyTorch, Lightning and OpenMM")
        quiet()
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        from lit_bg.cli import CLI

        cli = CLI(arguments)
        try:
            job, folder = prepare(cli, resumption)
        except (ValueError, TypeError, OSError, ImportError, MisconfigurationException) as error:
            complain(error)
        try:
            job()
        except (FloatingPointError, ValueError, TypeError, MisconfigurationException) as error:
            signals.follow_ranks()
            complain(error)  # an energy of -inf, too many losses that are not finite, a potential or a monitor that is none
        except OSError as error:  # a disk that is full, or gone
            complain(f"{error}; {signals.way_on()}")
        except Exception:
            signals.follow_ranks()
            raise
        finally:
            release(folder.path)


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
  --resume RUN       go on with runs/<experiment>/version_N by its own config.yaml; needs nothing else. What may change:
                     trainer.max_epochs, data.val_samples, data.test_samples; and, no longer bit for bit, the hardware
                     (trainer.accelerator, devices, num_nodes, strategy) and data.eval_batch_size
  --ckpt_path last   the same for the newest run of the experiment; or a checkpoint file
  --name, --version  of the run folder; by default the name of the YAML and the next free number
  --runs             folder of all runs (default runs)
  --print_config     after -c: every key with its value
  --help-all         every key with its type; takes some seconds, as torch is imported
  --model.generator.help=CouplingFlow
                     arguments of a class; likewise for energy, loss and optimizer

A traceback instead of one sentence: LIT_BG_TRACEBACK=1. Class paths import code: run only configurations you trust."""


def show_every_key(command: str) -> None:
    """Print the whole help of what reads an experiment."""
    announce("PyTorch, Lightning and OpenMM")
    quiet()
    from lit_bg.cli import CLI

    CLI(["--help"], prog=name_of(command))


def quiet() -> None:
    """Advice of Lightning that does not apply: our loaders only count, our batches are drawn on the device."""
    import logging

    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", module=r"lightning\.")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def prepare(cli: CLI, resumption: Resumption | None) -> tuple[Callable[[], None], RunFolder]:
    """Build and check everything; returns the call that trains and judges, and the folder that it writes to.

    Raises:
        ValueError: the parts do not fit, the run folder exists or is in use, the checkpoint is of another configuration.
        FileNotFoundError: a file that is named does not exist.
    """
    from lightning.pytorch import Trainer, seed_everything
    from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

    from lit_bg.callbacks.checkpoints import Checkpoints
    from lit_bg.loggers import MetricsFile, wandb_logger, wandb_mode
    from lit_bg.resume import check_length, compare_configurations
    from lit_bg.run import read_checkpoint, with_modes
    from lit_bg.run_folder import RunFolder

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
    """The plugins of every run: whole checkpoints, and no requeueing by Lightning, whose checkpoints later runs would load."""
    from lightning.fabric.plugins.environments import SLURMEnvironment
    from lightning.pytorch.plugins.environments import ClusterEnvironment
    from lightning.pytorch.plugins.io import CheckpointIO

    from lit_bg.callbacks.checkpoints import AtomicCheckpointIO

    given = given if isinstance(given, list) else [given]
    added: list[Any] = [] if any(isinstance(p, CheckpointIO) for p in given) else [AtomicCheckpointIO()]
    if SLURMEnvironment.detect() and not any(isinstance(p, ClusterEnvironment) for p in given):
        added.append(SLURMEnvironment(auto_requeue=False))
    return [*given, *added]


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
    signals.run(main)
