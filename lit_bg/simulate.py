"""python -m lit_bg.simulate -c experiments/x.yaml: make the reference data that data.path names."""

from __future__ import annotations

import sys


def main(args: list[str] | None = None) -> None:
    """The command line: the energy and the `simulate` section of an experiment, written to its `data.path`."""
    args = sys.argv[1:] if args is None else args
    from lit_bg.config_file import refuse_early
    from lit_bg.fit import quiet

    refuse_early(args)
    quiet()
    import torch

    from lit_bg.cli import CLI, build, complain
    from lit_bg.data.simulation import simulate
    from lit_bg.energies.base import Energy
    from lit_bg.samplers.base import Simulator

    config = CLI(args, prog="python -m lit_bg.simulate").config
    if config.simulate is None:
        complain(
            "the configuration has no `simulate` section: name a simulator there, such as simulate: {class_path: Metropolis}."
        )
    if config.data.path is None:
        complain("data.path is not set: it names the file to write.")
    try:
        energy, simulator = build(Energy, config.model.energy), build(Simulator, config.simulate)
        if torch.cuda.is_available() and config.trainer.accelerator in ("auto", "gpu", "cuda"):
            energy = energy.to("cuda")  # walkers live where the energy has its tensors
        simulate(energy, simulator, config.data.path, seed=int(config.seed_everything), force=config.data.force)
    except (ValueError, TypeError, OSError) as error:
        complain(error)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "Interrupted; nothing was written.", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
