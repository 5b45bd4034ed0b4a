"""python -m lit_bg.report.compare RUN RUN ...: runs side by side on one page."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lit_bg import signals
from lit_bg.config.command_line import check_output, name_of, run_command
from lit_bg.files import atomic
from lit_bg.report.configuration import find_differences
from lit_bg.report.contents import Contents, find_contents
from lit_bg.report.differences import list_differences
from lit_bg.report.notation import with_error
from lit_bg.report.origin import TrainedRun
from lit_bg.report.page import costs, curves
from lit_bg.report.rendering import Picture, describe_figure, picture, render
from lit_bg.report.table import list_numbers, list_rows

HELP = """\
Writes one page with runs side by side: verdicts, numbers, free energies, curves, figures, costs, and the keys of their
configurations that differ. One file, which needs no network."""


class Column(NamedTuple):
    """What one run says of one number."""

    text: str
    word: str  # of the verdict; empty where nothing is claimed


NOTHING = Column("-", "")


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    run_command(make_parser, compare, args, "nothing was written.")


def make_parser() -> ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(prog=name_of("compare", "report.compare"), description=HELP)
    parser.add_argument("runs", nargs="+", help="runs/<experiment>/version_N, or runs/<experiment> for its newest run")
    parser.add_argument("--out", default="compare.html", help="file to write (default compare.html)")
    parser.add_argument("--force", action="store_true", help="overwrite it")
    return parser


def compare(runs: Sequence[str], out: str = "compare.html", force: bool = False) -> Path:
    """Write one page of several runs, whole or not at all, and return its path.

    Raises:
        FileExistsError: the page is there, and `force` is not given.
        OSError: a run is not there, or the page cannot be written.
        ValueError: fewer than two runs, one twice, or a file that is damaged.
    """
    path = Path(out)
    check_output([path], force)
    text = compose([find_contents(run) for run in runs])
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def compose(runs: Sequence[Contents]) -> str:
    """Return the page of several runs as HTML.

    Raises:
        ValueError: fewer than two runs, or one twice.
    """
    if len(runs) < 2:
        raise ValueError("a comparison needs two runs or more, got one: python -m lit_bg.report shows a single run.")
    named = name_runs(runs)
    labels = list(named)
    numbers = {name: [dict(_columns(run)).get(name, NOTHING) for run in runs] for name in _names(map(_columns, runs))}
    details = {name: [dict(_details(run)).get(name, NOTHING) for run in runs] for name in _names(map(_details, runs))}
    energies = {name: [dict(_energies(run)).get(name, NOTHING) for run in runs] for name in _names(map(_energies, runs))}
    paid = {name: [dict(_paid(run)).get(name, NOTHING) for run in runs] for name in _names(map(_paid, runs))}
    systems = {run.summary.origin.energy for run in runs if run.summary and isinstance(run.summary.origin, TrainedRun)}
    return render(
        "compare.html",
        runs=named,
        labels=labels,
        systems=sorted(systems),
        numbers=numbers,
        details=details,
        energies=energies,
        costs=paid,
        curves=curves(named),
        figures=_figures(named),
        config=find_differences([run.config for run in runs]),
    )


def name_runs(runs: Sequence[Contents]) -> dict[str, Contents]:
    """Return runs by a name of their own: experiment and version, or the whole path where two are called alike.

    Raises:
        ValueError: one run twice.
    """
    places = [run.folder.resolve() for run in runs]
    if twice := next((p for i, p in enumerate(places) if p in places[:i]), None):
        raise ValueError(f"'{twice}' is given twice: give runs that differ.")
    names = [run.name for run in runs]
    return {n if names.count(n) == 1 else str(run.folder): run for n, run in zip(names, runs, strict=True)}


def _names(columns: object) -> list[str]:
    return list(dict.fromkeys(name for column in columns for name, _ in column))  # type: ignore[attr-defined]


def _columns(run: Contents) -> list[tuple[str, Column]]:
    """Return reweighted numbers by the first cell of their row, which names the unit."""
    s = run.summary
    if s is None:
        return []
    z = next((c.word for c in s.claims if c.name == "log Z"), "")
    first = [] if s.log_Z is None else [("log Z", Column(with_error(s.log_Z, s.log_Z_err), z))]
    known = [(row.cells[0], Column(row.cells[2], row.word)) for row in list_rows(s)]
    return [*first, *known]


def _details(run: Contents) -> list[tuple[str, Column]]:
    """Return what stands above the table of a run, without log Z and costs, which have their own place."""
    s = run.summary
    return [] if s is None else [(name, Column(text, "")) for name, text in list_numbers(s) if name not in ("log Z", "cost")]


def _energies(run: Contents) -> list[tuple[str, Column]]:
    s = run.summary
    rows = [] if s is None else list_differences(s)
    return [(f"{d.name} [{unit}]", Column(value, d.word)) for d in rows for unit, value in d.values.items()]


def _paid(run: Contents) -> list[tuple[str, Column]]:
    return [(name, Column(text, "")) for name, text in costs(run)]


def _figures(runs: dict[str, Contents]) -> list[tuple[str, list[tuple[str, Picture]]]]:
    """Return every figure of all runs that have it, with what it shows."""
    names = dict.fromkeys(name for run in runs.values() for name in run.figures)
    return [
        (
            describe_figure(name),
            [(label, picture(run.figures[name], f"{label}: {name}")) for label, run in runs.items() if name in run.figures],
        )
        for name in names
    ]


if __name__ == "__main__":
    signals.run(main)
