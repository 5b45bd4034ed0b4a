"""python -m lit_bg.fit -c experiments/x.yaml [--a.b=c ...]: train, judge, and leave a run folder."""

from __future__ import annotations

import sys

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import complain, name_of, quiet
from lit_bg.config.file import refuse_early
from lit_bg.console.check import refuse_names
from lit_bg.files import release
from lit_bg.runs.resume import read_arguments
from lit_bg.shipped import locate_configurations


def main(args: list[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    if not args or "-h" in args or "--help" in args:
        print(HELP.replace("python -m lit_bg.fit", name_of("fit")))
        return
    if "--help-all" in args:
        show_every_key("fit")
        return
    with signals.listening("nothing was trained: the same command starts it."):
        args = locate_configurations(args)
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

        from lit_bg.commands.training import prepare
        from lit_bg.config.cli import CLI

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
    from lit_bg.config.cli import CLI

    CLI(["--help"], prog=name_of(command))


if __name__ == "__main__":
    signals.run(main)
