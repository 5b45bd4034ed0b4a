"""python -m lit_bg.sample RUN --out F: draw from a trained generator and weigh, or correct its proposals by a sampler."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import add_options_of_runs, check_device, check_output, complaining, name_of
from lit_bg.files import atomic
from lit_bg.runs.folder import RunFolder

STRUCTURES = (".pdb", ".xtc", ".dcd")
WITHOUT_TOPOLOGY = (".xtc", ".dcd")  # formats that hold coordinates alone


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    parser = make_parser()
    if not args:
        parser.print_help()
        return
    options, rest = parser.parse_known_args(args)
    own = [word for word in rest if word.startswith("--sampler.")]
    if len(own) < len(rest) or (own and options.sampler is None):
        unknown = [word for word in rest if word not in own] or own
        parser.error(f"unrecognized arguments: {' '.join(unknown)}" + (" without --sampler" if own == unknown else ""))
    with signals.listening("nothing was written."), complaining():
        signals.set_mode("raise")
        print(sample(**vars(options), sampler_arguments=own))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_of("sample"), description=__doc__)
    parser.add_argument("run", help="run folder, runs/<experiment>/version_N")
    parser.add_argument("-n", type=int, default=10_000, help="number of samples (default 10000)")
    parser.add_argument(
        "--out",
        required=True,
        help="file to write: .npz, or for molecules .pdb, .xtc, .dcd with <out>.weights.npz and (xtc, dcd) <out>.topology.pdb",
    )
    parser.add_argument("--batch_size", type=int, default=10_000, help="samples in memory of the model at a time")
    parser.add_argument(
        "--context", nargs="+", default=[], metavar="NAME=VALUE", help="conditions, such as kT=0.7; default: the usual ones"
    )
    parser.add_argument(
        "--sampler",
        help="a class such as SMC, MarkovChains, AIS, Importance with its arguments as --sampler.NAME=VALUE, or a YAML with "
        "class_path and init_args; beside the samples it writes <out>.summary.json and <out>.figures",
    )
    parser.add_argument("--blend", nargs="+", default=[], metavar="RUN", help="further runs that propose, in equal shares")
    parser.add_argument("--reference", help="reference data for the verdict; default: those of the run, where they are there")
    add_options_of_runs(parser, "samples", force="overwrite files that exist, forget an unfinished sampler")
    return parser


def sample(
    run: str,
    n: int,
    out: str,
    seed: int = 0,
    batch_size: int = 10_000,
    checkpoint: str = "best",
    device: str = "cpu",
    force: bool = False,
    context: Sequence[str] = (),
    sampler: str | None = None,
    blend: Sequence[str] = (),
    reference: str | None = None,
    sampler_arguments: Sequence[str] = (),
) -> str:
    """Draw and save, or run a sampler, judge and save; return a line that says what was written.

    Structures are accompanied by their weights, `<out>.weights.npz`, and where the format holds coordinates alone by their
    topology, `<out>.topology.pdb`. All files appear together, or none.

    Raises:
        FileExistsError: one of the files is there, and `force` is not given.
        FileNotFoundError: there is no such run or checkpoint.
        OSError: the files cannot be written, or do not fit on the disk.
        ValueError: a number below one, an unknown suffix or device, structures of something that is not a molecule, or
            conditions that the run does not have or that are out of range.
    """
    corrected = sampler is not None or bool(blend)
    files = _files(out) + ([Path(f"{out}.summary.json")] if corrected else [])
    _check(run, n, seed, files, batch_size, checkpoint, force)
    announce("PyTorch and the run")
    if corrected:
        for other in blend:
            RunFolder.find(Path(other)).checkpoint(checkpoint)
        check_device(device)

        from lit_bg.commands.sample_with import read_sampler, sample_with
        from lit_bg.report.table import print_summary

        named = ("Importance", [f"--sampler.n={n}"]) if sampler is None else (sampler, sampler_arguments)
        runs = [run, *blend]
        print_summary(sample_with(runs, read_sampler(*named), Path(out), seed, checkpoint, device, force, reference, context))
        return f"Written: {out}, {out}.summary.json and {out}.figures"
    if reference is not None:
        raise ValueError("--reference is for the verdict on what a sampler found: give --sampler, or ask lit_bg.judge.")

    import numpy as np

    from lit_bg import estimators, load
    from lit_bg.energies.condition import describe_context, read_context
    from lit_bg.molecules import save_structures, save_topology
    from lit_bg.report.notation import with_error

    check_device(device)
    trained = load(run, checkpoint, device)
    conditions = read_context(trained.energy.conditions, trained.energy.default_context, context)
    energy, suffix = trained.energy.given(conditions), Path(out).suffix
    if suffix in STRUCTURES and energy.structure is None:
        raise ValueError(f"'{out}' holds structures and {type(energy).__name__} is no molecule: write .npz.")
    s = trained.sample(n, seed, batch_size, conditions)
    arrays = {"log_q": s.log_q.cpu().numpy(), "u": s.u.cpu().numpy(), "log_w": s.log_w.cpu().numpy()}
    under = ""
    if conditions is not None:
        arrays["context"], under = conditions.numpy(), f" at {describe_context(trained.energy.conditions, conditions)}"
    try:
        with ExitStack() as stack:  # every file is written before the first gets its name
            temporaries = [stack.enter_context(atomic(file)) for file in files]
            if energy.structure is not None and suffix in STRUCTURES:
                save_structures(energy.structure, s.x, temporaries[0])
                if suffix in WITHOUT_TOPOLOGY:
                    save_topology(energy.structure, temporaries[2])
            else:
                arrays["x"] = s.x.cpu().numpy()
            with temporaries[1 if suffix in STRUCTURES else 0].open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "No space left"  # what mdtraj writes fails without a number
        raise OSError(f"{reason}, writing '{out}': make room, or give another --out.") from error
    value, deviation = estimators.log_z(s.log_w)
    beside = f" (beside it: {', '.join(file.name for file in files[1:])})" if files[1:] else ""
    return (
        f"{n} samples{under} in {out}{beside}: ESS {estimators.ess(s.log_w):.3f}, k-hat {estimators.pareto_k(s.log_w):.2f}, "
        f"log Z {with_error(value, deviation)}"
    )


def _files(out: str) -> list[Path]:
    """Return the files that `out` stands for.

    >>> [file.name for file in _files("a/w.xtc")]
    ['w.xtc', 'w.xtc.weights.npz', 'w.xtc.topology.pdb']

    Raises:
        ValueError: an unknown suffix.
    """
    path = Path(out)
    if path.suffix not in (".npz", *STRUCTURES):
        raise ValueError(f"cannot write '{out}': the suffix must be .npz, or {', '.join(STRUCTURES)} for molecules.")
    endings = [".weights.npz"] * (path.suffix in STRUCTURES) + [".topology.pdb"] * (path.suffix in WITHOUT_TOPOLOGY)
    return [path, *(path.with_name(path.name + ending) for ending in endings)]


def _check(run: str, n: int, seed: int, files: list[Path], batch_size: int, checkpoint: str, force: bool) -> None:
    """Refuse what cannot work, before anything heavy is imported; for what is raised see `sample`."""
    for name, value, least in (("-n", n, 1), ("--batch_size", batch_size, 1), ("--seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    check_output(files, force)
    RunFolder.find(Path(run)).checkpoint(checkpoint)


if __name__ == "__main__":
    signals.run(main)
