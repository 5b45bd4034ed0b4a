"""python -m lit_bg.wandb_workspace ENTITY/PROJECT: write a workspace whose sections are named as the metrics are."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_bg.config.command_line import check_output, complaining
from lit_bg.files import atomic

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

STEP = "trainer/global_step"
COLUMNS = ("verdict", "test/ess", "test/pareto_k", "test/log_Z", "test/log_Z_err", "best/ess")  # beside the name of a run

DESCRIPTION = """\
Writes a workspace of W&B: sections train, val, test and sample, as the metrics are named, and the verdict beside every run.
With --run it has a panel for each average and mode of that system, too. Without a login it says so; --out writes the
definition, as W&B keeps it, to a JSON file instead."""


@dataclass(frozen=True)
class Panel:
    """One chart of a section.

    Attributes:
        title: above it.
        kind: "lines" over the steps, "bars", one for each run, "table" or "media".
        metrics: what it shows.
        pattern: a regular expression for more metrics, of lines.
        x: what lines are drawn over.
    """

    title: str
    kind: str
    metrics: tuple[str, ...] = ()
    pattern: str | None = None
    x: str = STEP


def main(args: list[str] | None = None) -> None:
    """Run the command line: what the user can mend is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(
        "python -m lit_bg.wandb_workspace", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="where runs are; without ENTITY/ that of the login")
    parser.add_argument("--name", default="Boltzmann generators", help="of the workspace")
    parser.add_argument("--run", help="a run folder whose metrics.csv says which averages and modes there are")
    parser.add_argument("--out", help="a JSON file to write the definition to, without W&B")
    parser.add_argument("--force", action="store_true", help="overwrite the file of --out")
    args = sys.argv[1:] if args is None else args
    if not args:
        parser.print_help()
        return
    options = parser.parse_args(args)
    with complaining():
        print(write_workspace(options.project, options.name, options.run, options.out, options.force))


def write_workspace(
    project: str, name: str = "Boltzmann generators", run: str | None = None, out: str | None = None, force: bool = False
) -> str:
    """Write the workspace to W&B, or its definition to a file; returns a line that says where it is.

    Args:
        project: ENTITY/PROJECT, or PROJECT of the entity that is logged in.
        name: of the workspace.
        run: a run folder, for the metrics that depend on the system.
        out: the JSON file to write instead.
        force: overwrite it.

    Raises:
        ImportError: `wandb-workspaces` is not installed.
        ValueError: no login and no `out`, or no such project.
        FileNotFoundError: the run has no metrics.csv.
        FileExistsError: the file is there already.
    """
    entity, _, name_of_project = project.rpartition("/")
    if not name_of_project or "/" in entity:
        raise ValueError(f"give ENTITY/PROJECT, such as my-team/lit_bg, got '{project}'.")
    metrics = [] if run is None else read_names(run)
    if out is not None:
        check_output([Path(out)], force)
        view = define(entity, name_of_project, name, metrics)._to_model()
        content = view.model_dump(by_alias=True, exclude_none=True, mode="json")
        with atomic(out) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")
        return f"The definition of the workspace is in {out}."
    if not _is_logged_in():
        mode = f" (WANDB_MODE={os.environ['WANDB_MODE']})" if "WANDB_MODE" in os.environ else ""
        raise ValueError(f"no login at W&B{mode}: `wandb login` first, or write the definition by --out workspace.json.")
    import wandb

    entity = entity or str(wandb.Api().default_entity)
    workspace = define(entity, name_of_project, name, metrics)
    try:
        return f"The workspace is at {workspace.save().url}"
    except Exception as error:  # of the network, of rights, or of the service
        raise ValueError(
            f"W&B did not take the workspace for {entity}/{name_of_project} ({type(error).__name__}: {str(error)[:200]}): look "
            "whether the project is there and yours to write to, or write the definition by --out workspace.json."
        ) from error


def define(entity: str, project: str, name: str, metrics: Iterable[str] = ()) -> Workspace:
    """Return the workspace as the library of W&B has it; nothing is sent.

    Raises:
        ImportError: `wandb-workspaces` is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as charts
        import wandb_workspaces.workspaces as workspaces
    except ImportError:
        raise ImportError("a workspace needs W&B's package for them: pip install 'lit_bg[workspace]'.") from None

    def chart(panel: Panel) -> Any:
        if panel.kind == "lines":
            y: list[Any] = list(panel.metrics)
            return charts.LinePlot(title=panel.title, x=panel.x, y=y, metric_regex=panel.pattern)
        if panel.kind == "bars":
            return charts.BarPlot(title=panel.title, metrics=list(panel.metrics))
        if panel.kind == "table":
            return charts.WeavePanelSummaryTable(table_name=panel.metrics[0])
        return charts.MediaBrowser(title=panel.title, media_keys=list(panel.metrics), num_columns=1)

    sections = [
        workspaces.Section(name=section, panels=[chart(panel) for panel in panels], is_open=True)
        for section, panels in arrange(metrics).items()
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis=STEP, group_by_prefix="first"),
        runset_settings=workspaces.RunsetSettings(pinned_columns=[f"summary:{column}" for column in COLUMNS]),
    )


def arrange(metrics: Iterable[str] = ()) -> dict[str, list[Panel]]:
    """Return the panels of every section: those of all runs, and one for whatever else is among the metrics.

    >>> [panel.metrics for panel in arrange(["val/x1", "val/x1_err", "val/x1_raw"])["val"]][-1]
    ('val/x1', 'val/x1_raw')

    Args:
        metrics: names that a run has logged; an average `a` comes with `a_raw` and `a_err`.
    """
    names = list(dict.fromkeys(metrics))
    sections = {
        "train": [Panel("loss", "lines", ("train/loss",)), Panel("skipped steps", "lines", ("train/skipped_steps",))],
        "val": [*_judged("val"), Panel("modes", "table", ("val/modes",)), Panel("claims", "table", ("val/claims",))],
        "test": [
            Panel("claims", "table", ("test/claims",)),
            Panel("modes", "table", ("test/modes",)),
            *(bars for panel in _judged("test") if panel.x == STEP and (bars := _as_bars(panel, names)).metrics),
        ],
        "sample": [
            Panel(name.replace("_", " "), "media", (f"sample/{name}",))
            for name in ("configurations", "energies", "weights", "distances", "radial", "lowest_energy", "highest_weight")
        ],
    }
    shown = {metric for panels in sections.values() for panel in panels for metric in _shown_in(panel, names)}
    for metric in names:
        section, _, rest = metric.partition("/")
        average, _, ending = metric.rpartition("_")
        if not rest or metric in shown or section == "trainer" or (ending == "raw" and average in names):
            continue
        group = (metric, f"{metric}_raw") if f"{metric}_raw" in names else (metric,)
        kind = {"test": "bars", "sample": "media"}.get(section, "lines")
        panel = Panel(rest.replace("_", " "), kind, group)
        sections.setdefault(section, []).append(panel)
    return sections


def _shown_in(panel: Panel, names: Sequence[str]) -> list[str]:
    """Return the metrics of a panel, those among the names that its pattern finds included."""
    found = [] if panel.pattern is None else [name for name in names if re.search(panel.pattern, name)]
    return [*panel.metrics, *(name for name in found if name not in panel.metrics)]


def _as_bars(panel: Panel, names: Sequence[str]) -> Panel:
    """Return a panel of lines as one of bars, which find nothing by a pattern."""
    return Panel(panel.title, "bars", tuple(_shown_in(panel, names)))


def _judged(stage: str) -> Sequence[Panel]:
    """Return what validations and tests both log."""

    def lines(title: str, *names: str, **more: str) -> Panel:
        return Panel(title, "lines", tuple(f"{stage}/{name}" for name in names), **more)

    return (
        lines("effective share of the samples", "ess", "ess_forward"),
        lines("effective share against energies", "ess", x=f"{stage}/energy_calls"),
        lines("log Z", "log_Z", "log_Z_forward"),
        lines("k-hat", "pareto_k"),
        lines("weights", "max_weight", "tail_share"),
        lines("effective samples in every mode", pattern=f"^{stage}/effective/.*"),
        lines("modes that are missing", "missing_modes"),
        lines("samples without a finite energy, or outside", "n_nonfinite", "n_outside"),
        lines("negative log likelihood of the data", "nll"),
        lines("standard errors", pattern=f"^{stage}/.*_err$"),
        lines("distances from the data", pattern=f"^{stage}/w[12].*"),
        lines("energies", "energy_calls"),
        lines("evaluations of the field", "field_evaluations"),
        lines("variance of log q", "log_q_variance"),
    )


def read_names(run: str) -> list[str]:
    """Return the names of what a run has logged: columns of its metrics.csv, and its figures.

    Raises:
        FileNotFoundError: there is no metrics.csv.
    """
    file = Path(run, "metrics.csv")
    if not file.is_file():
        raise FileNotFoundError(f"'{run}' has no metrics.csv: give the folder of a run, such as runs/double_well/version_0.")
    with open(file, newline="", encoding="utf-8") as lines:
        columns = [name for name in next(csv.reader(lines), []) if name != "step"]
    return [*columns, *(f"sample/{picture.stem}" for picture in sorted(Path(run, "figures").glob("*.png")))]


def _is_logged_in() -> bool:
    """Whether W&B can be asked: there is a login, and WANDB_MODE does not forbid it."""
    if os.environ.get("WANDB_MODE", "online") not in ("online", "shared"):
        return False
    import wandb

    return bool(wandb.login(prompt=False))


if __name__ == "__main__":
    main()
