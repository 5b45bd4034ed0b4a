"""The summary of a run as a table on the terminal."""

from __future__ import annotations

from typing import Any

from lit_bg.callbacks.notation import count, with_error

MOST_MODES = 12  # rows; a system with more shows the missing ones and the most probable


def print_summary(summary: dict[str, Any], folder: str | None = None) -> None:
    """Print the numbers, then the verdict with its reasons, and last the run folder."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)  # a log file: no terminal whose width must be kept

    numbers = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _numbers(summary):
        numbers.add_row(Text(name, style="dim"), Text(value))
    console.print()
    console.print(numbers)

    observables, modes = summary.get("observables") or {}, summary.get("modes") or {}
    table = Table("", "raw", "reweighted", "reference", "exact", box=None, header_style="dim", pad_edge=False)
    for name, row in observables.items():
        label = f"<{name}>" + (f" [{row['unit']}]" if row["unit"] else "")
        cells = [
            with_error(row["raw"], row["raw_err"]),
            with_error(row["reweighted"], row["err"]),
            with_error(row["reference"], row["reference_err"]),
            with_error(row["exact"]),
        ]
        table.add_row(*map(Text, [label, *cells]))
    shown = _shown(modes)
    for name in shown:
        row = modes[name]
        exact = row["reference_err"] == 0
        cells = [
            with_error(row["raw"]),
            with_error(row["reweighted"], row["err"]),
            "-" if exact else with_error(row["reference"], row["reference_err"]),
            with_error(row["reference"]) if exact else "-",
        ]
        style = "bold red" if row["missing"] else ""
        label = f"P({name})" + (" missing" if row["missing"] else "")
        table.add_row(*(Text(cell, style=style) for cell in [label, *cells]))
    if table.row_count:
        console.print()
        console.print(table)
    if len(shown) < len(modes):
        console.print(Text(f"... and {len(modes) - len(shown)} modes more, in summary.json", style="dim"))

    color = {"trust": "bold green", "do not trust": "bold red"}.get(summary["verdict"], "bold yellow")
    console.print()
    console.print(Text(f"Verdict: {summary['verdict']}", style=color))
    for reason in summary["reasons"]:
        console.print(Text(f"  {reason}"))
    if summary.get("reference_problems"):
        problems = "; ".join(summary["reference_problems"])
        console.print(Text(f"  The reference data were not held against the run, by their own card: {problems}."), style="dim")
    if folder is not None:
        console.print(Text(f"Run folder: {folder}"), soft_wrap=True)


def _numbers(s: dict[str, Any]) -> list[tuple[str, str]]:
    forward = "no reference data" if s["ess_forward"] is None else f"forward {with_error(s['ess_forward'])}"
    exact = "" if s["log_Z_exact"] is None else f", exact {s['log_Z_exact']:.4f}"
    field = "" if s.get("field_evaluations") is None else f"{s['field_evaluations']:.0f} of the field per sample, "
    return [
        ("samples", f"{s['n_samples']}, {s['n_nonfinite']} without a finite energy"),
        ("ESS", f"{s['ess']:.4f} ({forward}), largest weight {s['max_weight']:.2g} of all"),
        ("k-hat", f"{s['pareto_k']:.2f}"),
        ("log Z", with_error(s["log_Z"], s["log_Z_err"]) + exact),
        *_distances(s.get("wasserstein") or {}),
        ("cost", f"{count(s['energy_calls'])} energies, {field}{s['seconds']:.0f} s"),
    ]


def _distances(wasserstein: dict[str, Any]) -> list[tuple[str, str]]:
    """From the reference data, and what two halves of these are apart."""
    names = {"distances": "W1 of distances", "u": "W1 of energies [kT]", "configurations": "W2"}
    rows = []
    for key, name in names.items():
        if key in wasserstein:
            row = wasserstein[key]
            reweighted = f", reweighted {row['reweighted']:.3g}" if "reweighted" in row else ""
            rows.append((name, f"raw {row['raw']:.3g}{reweighted}, noise floor {row['floor']:.3g}"))
    return rows


def _shown(modes: dict[str, Any]) -> list[str]:
    """Names of the modes worth a row, in their own order."""

    def weight(name: str) -> float:
        row = modes[name]
        known = row["reference"] if row["reference"] is not None else row["reweighted"]
        return 2.0 if row["missing"] else known

    best = sorted(modes, key=weight, reverse=True)[:MOST_MODES]
    return [name for name in modes if name in best]
