"""python -m lit_bg.report RUN: a run as one page, report.html, which needs nothing but itself."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from lit_bg.config.command_line import name_of, run_command
from lit_bg.files import atomic
from lit_bg.report.configuration import to_yaml
from lit_bg.report.contents import Contents, find_contents
from lit_bg.report.curves import draw_curves, last_values
from lit_bg.report.differences import list_differences
from lit_bg.report.go_on import list_steps
from lit_bg.report.rendering import Picture, describe_figure, picture, render
from lit_bg.report.table import HEADER, Lines, list_costs, list_notes, list_numbers, list_remarks, list_rows
from lit_bg.report.trust import sort_claims
from lit_bg.report.views import view, viewer

NAME = "report.html"
LAST = {"val/ess": "ESS", "val/pareto_k": "k-hat", "val/log_Z": "log Z", "train/loss": "loss", "val/energy_calls": "energies"}
HELP = """\
Writes RUN/report.html: the verdict with its reasons, all numbers with their errors, figures, training curves, structures,
configuration, costs, and how to go on. One file, which needs no network. A run that was interrupted has a page, too."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    run_command(make_parser, write_page_of, args, "nothing was written.")


def make_parser() -> ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(prog=name_of("report"), description=HELP)
    parser.add_argument("run", help="runs/<experiment>/version_N, or runs/<experiment> for its newest run")
    parser.add_argument("--out", help="another file (default RUN/report.html)")
    return parser


def write_page_of(run: str, out: str | None = None) -> Path:
    """Write the page of a run that is named and return its path; for errors see `find_contents` and `write_page`."""
    return write_page(find_contents(run), None if out is None else Path(out))


def write_page(run: Contents, out: Path | None = None) -> Path:
    """Write the page of a run, whole or not at all, and return its path.

    Args:
        run: what lies in its folder.
        out: by default report.html in its folder.

    Raises:
        OSError: it cannot be written.
        ValueError: a figure or a structure is damaged.
    """
    out = run.folder / NAME if out is None else out
    text = compose(run)
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def compose(run: Contents) -> str:
    """Return the page of a run as HTML: a function of what lies in its folder, and of nothing else."""
    s = run.summary
    views = [view(name, path) for name, path in run.structures.items()]
    return render(
        "run.html",
        run=run,
        summary=s,
        opinions=[] if s is None else sort_claims(s.claims),
        remarks=[] if s is None else list_remarks(s),
        numbers=[] if s is None else list_numbers(s),
        header=HEADER,
        rows=[] if s is None else list_rows(s),
        notes=[] if s is None else list(list_notes(s)),
        differences=[] if s is None else list_differences(s),
        logged=max(run.metrics, default=-1) + 1,
        last=[(label, f"{v:.6g}") for key, v in last_values(run.metrics, list(LAST)).items() if (label := LAST[key])],
        figures=figures(run),
        curves=curves({run.name: run}),
        views=[(v, picture(v.still, f"Sticks: {v.title.lower()}")) for v in views],
        viewer=viewer() if views else None,
        costs=costs(run),
        steps=list_steps(run),
        config=to_yaml(run.config) if run.config else None,
    )


def figures(run: Contents) -> list[Picture]:
    """Return the figures of a run with what they show."""
    return [picture(data, f"{run.name}: {name}", describe_figure(name)) for name, data in run.figures.items()]


def curves(runs: dict[str, Contents]) -> list[Picture]:
    """Return the training curves of runs, all in one picture each."""
    from lit_bg.figures.style import png

    known = {run.summary.log_Z_known for run in runs.values() if run.summary is not None}
    drawn = draw_curves({name: run.metrics for name, run in runs.items()}, known.pop() if len(known) == 1 else None)
    return [picture(png(figure), f"{label} against {along}, of {', '.join(runs)}") for label, along, figure in drawn]


def costs(run: Contents) -> Lines:
    """Return what the training, its test and each effective sample of that cost."""
    s = run.summary
    if s is None:
        return []
    training = [row for row in list_numbers(s) if row[0] == "cost"]
    names = {"cost": "test", "each effective": "each effective sample of the test"}
    test = [(names[name], text) for name, text in list_costs(s.cost, s.cost_per_effective_sample)]
    return [*(("training and test", text) for _, text in training), *test] if test else training
