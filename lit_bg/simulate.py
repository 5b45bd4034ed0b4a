"""python -m lit_bg.simulate -c experiments/x.yaml: make the reference data that data.path names."""

from __future__ import annotations

import sys

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import complain, name_of, quiet
from lit_bg.config.file import refuse_early
from lit_bg.console.check import refuse_names
from lit_bg.shipped import locate_configurations

HELP = """\
python -m lit_bg.simulate -c experiments/x.yaml [--a.b=c ...]

Makes the reference data of an experiment: simulates model.energy as the section `simulate` says, and writes data.path with a
card that says whether the data are converged. Interrupted, the same command goes on where it stopped.

options, besides every key of the YAML:
  --data.path        the .npz file to write
  --data.force=true  overwrite it, and throw away an unfinished simulation of something else
  --help-all         every key with its type; takes some seconds, as torch is imported
  --simulate.help=ReplicaExchange
                     arguments of a simulator, among them its kernel: how walkers move"""


def main(args: list[str] | None = None) -> None:
    """Run the command line: simulate the energy of an experiment by its `simulate` section and write to its `data.path`."""
    args = sys.argv[1:] if args is None else args
    if not args or "-h" in args or "--help" in args:
        print(HELP.replace("python -m lit_bg.simulate", name_of("simulate")))
        return
    if "--help-all" in args:
        from lit_bg.fit import show_every_key

        show_every_key("simulate")
        return
    with signals.listening("nothing was written."):
        args = locate_configurations(args)
        refuse_early(args)
        refuse_names(args)
        if not any(word.startswith("--print_config") for word in args):
            announce("PyTorch, Lightning and OpenMM")
        _simulate(args)


def _simulate(args: list[str]) -> None:
    quiet()
    import torch

    from lit_bg.config.cli import CLI, build
    from lit_bg.data.simulation import simulate
    from lit_bg.energies.base import Energy
    from lit_bg.simulators.base import Simulator

    config = CLI(args, prog="python -m lit_bg.simulate").config
    if config.simulate is None:
        complain(
            "the configuration has no `simulate` section: name a simulator there, such as simulate: {class_path: Simulation, "
            "init_args: {kernel: {class_path: MALA}}}."
        )
    if config.data.path is None:
        complain("data.path is not set: it names the file to write.")
    try:
        energy, simulator = build(Energy, config.model.energy).given(), build(Simulator, config.simulate)
        if torch.cuda.is_available() and config.trainer.accelerator in ("auto", "gpu", "cuda"):
            energy = energy.to("cuda")  # walkers live where the energy has its tensors
        signals.set_mode("raise")
        simulate(energy, simulator, config.data.path, seed=int(config.seed_everything), force=config.data.force)
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        complain(error)


if __name__ == "__main__":
    signals.run(main)
