"""python -m lit_bg.free_energy RUN [RUN_B ...]: free energies of trained runs, or of OpenMM's replica exchange."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import add_options_of_runs, check_device, check_output, name_of, run_command
from lit_bg.runs.folder import RunFolder

RESULTS = ("free_energy.json", "u_nk.parquet", "u_kn.npz", "mbar_overlap_matrix.png", "forward_reverse_convergence.png")
OF_EXCHANGE = ("replica_exchange_matrix.png", "replica_state_timeseries.png")
DETAILS = """
Of one run: F = -ln Z by LFEP (proposals alone), reverse LFEP (frames alone; with LFEP the sandwich) and BAR between the
generator and its target. As the generator is a map from a base of known free energy, that is BAR along a learned map (LBAR).
Of several runs, each with its own generator: every F, and differences to the first (DeepBAR), whatever their dimensions; where
they share a space MBAR over all energies and generators. Frames are those that training held out.

  python -m lit_bg.free_energy runs/double_well
  python -m lit_bg.free_energy runs/amber96 runs/amber99sb --units kcal/mol
  python -m lit_bg.free_energy --openmm FOLDER --temperatures 300 350 410
"""


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    run_command(make_parser, free_energy, args, "what was found so far is in free_energy.json.")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=name_of("free-energy"),
        description=__doc__,
        epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run folders, runs/<experiment>/version_N")
    parser.add_argument("--openmm", metavar="FOLDER", help="of OpenMM's ReplicaExchangeReporter, with energy=True")
    parser.add_argument(
        "--temperatures", nargs="+", type=float, default=[], metavar="T", help="of OpenMM's states [K]; one for all if alike"
    )
    parser.add_argument("-n", type=int, default=10_000, help="proposals of each run, and frames at most (default 10000)")
    parser.add_argument("--repeats", type=int, default=8, help="independent parts that an error is taken from (default 8)")
    parser.add_argument("--out", help="folder to write (default free_energy in the folder of the first run)")
    parser.add_argument("--units", default="kT", help="kT (default), kJ/mol or kcal/mol")
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="FILE", help="reference data of each run, if not where its configuration says"
    )
    add_options_of_runs(parser, "numbers")
    return parser


def free_energy(
    runs: Sequence[str] = (),
    openmm: str | None = None,
    temperatures: Sequence[float] = (),
    n: int = 10_000,
    repeats: int = 8,
    out: str | None = None,
    units: str = "kT",
    data: Sequence[str] = (),
    seed: int = 0,
    checkpoint: str = "best",
    device: str = "cpu",
    force: bool = False,
) -> str:
    """Estimate free energies, write the result folder, and return what was found in words.

    Raises:
        FileExistsError: results are there, and `force` is not given.
        FileNotFoundError: there is no such run, checkpoint, folder or data file.
        OSError: the results cannot be written.
        ValueError: arguments that do not fit, data of another system, or files that are damaged.
    """
    folder = _check(runs, openmm, temperatures, n, repeats, out, units, data, seed, checkpoint, force)
    announce("PyTorch and the runs")
    if openmm is not None:
        from lit_bg.commands.free_energy_of_exchange import of_exchange

        return of_exchange(openmm, temperatures, units, folder, seed)
    from lit_bg.commands.free_energy_of_runs import of_runs

    check_device(device)
    return of_runs(runs, n, repeats, units, data, folder, seed, checkpoint, device)


def _check(
    runs: Sequence[str],
    openmm: str | None,
    temperatures: Sequence[float],
    n: int,
    repeats: int,
    out: str | None,
    units: str,
    data: Sequence[str],
    seed: int,
    checkpoint: str,
    force: bool,
) -> Path:
    """Refuse what cannot work, before anything heavy is imported, and return the result folder; see `free_energy`."""
    if (openmm is None) == (not runs):
        raise ValueError("give either run folders or --openmm FOLDER.")
    if units not in ("kT", "kJ/mol", "kcal/mol"):
        raise ValueError(f"--units must be one of kT, kJ/mol, kcal/mol, got {units}.")
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, got {seed}.")
    if openmm is not None:
        if not temperatures or not all(0 < t < float("inf") for t in temperatures):
            raise ValueError("--openmm needs --temperatures, one per state or one for all [K]: its files do not hold them.")
        if data:
            raise ValueError("--data belongs to runs, and --openmm reads its own files: leave it out.")
    else:
        if temperatures:
            raise ValueError("--temperatures belong to --openmm: a run knows its own, so leave them out.")
        if repeats < 2:
            raise ValueError(f"--repeats must be at least 2, got {repeats}: one part has no spread.")
        if n < 2 * repeats:
            raise ValueError(
                f"-n must be at least {2 * repeats}, two proposals for each of {repeats} repeats, got {n}: fewer have no "
                "error bar."
            )
        if data and len(data) != len(runs):
            raise ValueError(f"--data needs one file per run, got {len(data)} for {len(runs)}.")
        folders = [RunFolder.find(Path(run)) for run in runs]
        if len({os.path.realpath(f.path) for f in folders}) < len(runs):
            raise ValueError("a run is given twice: its difference to itself is zero.")
        for f in folders:
            f.checkpoint(checkpoint)
    folder = Path(out) if out is not None else _default_folder(runs, openmm)
    check_output([folder / name for name in (*RESULTS, *OF_EXCHANGE)], force)
    return folder


def _default_folder(runs: Sequence[str], openmm: str | None) -> Path:
    of = Path(openmm) if openmm is not None else RunFolder.find(Path(runs[0])).path
    return of / "free_energy"


if __name__ == "__main__":
    signals.run(main)
