"""python -m lit_bg.profile RUN --along phi [psi] --out FOLDER: free energies, other temperatures, paths between states."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import add_options_of_runs, check_device, check_output, name_of, run_command
from lit_bg.files import atomic
from lit_bg.runs.folder import RunFolder

if TYPE_CHECKING:
    from lit_bg.commands.profile_parts import Part
    from lit_bg.samples import Chains, Populations, Samples

BINS = (60, 30)  # along one observable, and along each of two


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    run_command(make_parser, profile, args, "nothing was written.")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_of("profile"), description=__doc__)
    parser.add_argument("run", help="run folder, runs/<experiment>/version_N")
    parser.add_argument("--along", nargs="+", default=[], metavar="NAME", help="one observable, or two for a surface")
    parser.add_argument(
        "--temperatures", nargs="+", type=float, default=[], metavar="T", help="to reweight to: [K] for molecules, else kT"
    )
    parser.add_argument(
        "--between",
        nargs=2,
        default=[],
        metavar=("A", "B"),
        help="interpolate between two modes (the lowest-energy sample of each), or samples by their index",
    )
    parser.add_argument("--out", required=True, help="folder for profile.npz, temperatures.npz, path.npz and their figures")
    parser.add_argument("-n", type=int, default=None, help="number of samples to draw (default 100000)")
    parser.add_argument("--samples", default=None, help="read samples instead, in any form that `python -m lit_bg.judge` takes")
    parser.add_argument("--bins", type=int, default=None, help=f"along every observable (default {BINS[0]}, of two {BINS[1]})")
    add_options_of_runs(parser, "samples")
    return parser


def profile(
    run: str,
    out: str,
    along: Sequence[str] = (),
    temperatures: Sequence[float] = (),
    between: Sequence[str] = (),
    n: int | None = None,
    samples: str | None = None,
    bins: int | None = None,
    seed: int = 0,
    checkpoint: str = "best",
    device: str = "cpu",
    force: bool = False,
) -> str:
    """Draw or read samples, find what is asked for, save it, and return what was found, in words.

    All files appear together, or none.

    Raises:
        FileExistsError: one of the files is there, and `force` is not given.
        FileNotFoundError: there is no such run, checkpoint or file of samples.
        OSError: the files cannot be written, or do not fit on the disk.
        TypeError: a path through a generator without a latent space.
        ValueError: a number below its least, an observable or mode that the system does not have, one that has no profile, or
            samples of another system.
    """
    asked = [name for name, given in (("profile", along), ("temperatures", temperatures), ("path", between)) if given]
    files = [Path(out) / f"{name}{suffix}" for name in asked for suffix in (".npz", ".png")]
    _check(run, along, temperatures, n, samples, bins, seed, checkpoint)
    _check_files(files, Path(out), force)
    announce("PyTorch and the run")

    import numpy as np

    from lit_bg import load
    from lit_bg.commands.profile_parts import (
        Sampled,
        describe_verdict,
        find_along,
        find_observables,
        find_path,
        find_temperatures,
    )
    from lit_bg.data.given_samples import load_samples
    from lit_bg.figures.style import png

    check_device(device)
    trained = load(run, checkpoint, device)
    energy = trained.energy.given()
    observables = find_observables(energy, along)  # refused before anything is drawn
    drawn: Samples | Chains | Populations
    if samples is not None:
        energy, drawn = load_samples(Path(samples), trained.energy)
        observables = find_observables(energy, along)
    else:
        drawn = trained.sample(100_000 if n is None else n, seed)
    source = Sampled(energy, trained.energy, trained.generator, drawn)
    parts: list[Part] = []
    if along:
        parts.append(find_along(source, observables, bins or BINS[len(along) - 1]))
    if temperatures:
        parts.append(find_temperatures(source, temperatures))
    if between:
        parts.append(find_path(source, between[0], between[1]))
    try:
        with ExitStack() as stack:  # every file is written before the first gets its name
            temporaries = [stack.enter_context(atomic(file)) for file in files]
            for k, part in enumerate(parts):
                with temporaries[2 * k].open("wb") as file:
                    np.savez(file, **part.arrays)  # type: ignore[arg-type]
                temporaries[2 * k + 1].write_bytes(png(part.figure))
    except OSError as error:
        raise OSError(f"{os.strerror(error.errno or 28)}, writing into '{out}': make room, or give another --out.") from error
    judged = [] if samples is not None else describe_verdict(RunFolder.find(Path(run)))
    return "\n".join([source.describe(), *judged, *(line for part in parts for line in part.lines), f"written to {out}"])


def _check(
    run: str,
    along: Sequence[str],
    temperatures: Sequence[float],
    n: int | None,
    samples: str | None,
    bins: int | None,
    seed: int,
    checkpoint: str,
) -> None:
    """Refuse what cannot work, before anything heavy is imported; for what is raised see `profile`."""
    if n == 1:
        raise ValueError("-n 1 is a single sample, which has no error bar and no profile: draw at least some thousand.")
    for name, value, least in (("-n", n, 2), ("--bins", bins, 2), ("--seed", seed, 0)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    if n is not None and samples is not None:
        raise ValueError(f"-n {n} draws samples and --samples {samples} reads them: give one of the two.")
    if len(along) > 2:
        raise ValueError(f"--along takes one observable or two, got {len(along)} ({', '.join(along)}): run it once for each.")
    if len(along) == 2 and along[0] == along[1]:
        raise ValueError(f"--along names {along[0]} twice: give another observable, or one.")
    for t in temperatures:
        if not (t > 0 and math.isfinite(t)):
            raise ValueError(f"--temperatures must be positive, got {t:g}: give kelvin for molecules, else kT.")
    if samples is not None and not Path(samples).is_file():
        raise FileNotFoundError(
            f"there is no file '{samples}': write it with `python -m lit_bg.sample`, or leave out --samples."
        )
    RunFolder.find(Path(run)).checkpoint(checkpoint)


def _check_files(files: list[Path], out: Path, force: bool) -> None:
    """Refuse files that are there already, and a folder that cannot be written; for what is raised see `profile`."""
    if not files:
        raise ValueError("nothing is asked for: give --along, --temperatures or --between.")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"'{out}' is no folder: give another --out.")
    check_output(files, force)


if __name__ == "__main__":
    signals.run(main)
