"""The summary of a run as a table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from lit_bg.estimators import Tail, ess_is_known
from lit_bg.report.notation import count, with_error
from lit_bg.report.tails import describe_tail

MOST_MODES = 12  # rows; a system with more shows the missing ones and the most probable
HEADER = ("", "raw", "reweighted", "effective", "k-hat", "reference", "exact", "claim")
COLOURS = {"trust": "bold green", "do not trust": "bold red", "unchecked": "bold yellow"}


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

    words = {claim["name"]: claim["word"] for claim in summary["claims"]}
    table = Table(*HEADER, box=None, header_style="dim", pad_edge=False)
    for cells, missing in _rows(summary):
        word = words.get(cells[0].split(" missing")[0].split(" [")[0], "-")
        colour = COLOURS.get(word, "")
        styled = [Text(cell, style="bold red" if missing else "") for cell in cells]
        table.add_row(*styled, Text(word, style=colour))
    if table.row_count:
        console.print()
        console.print(table)
    for note in _notes(summary):
        console.print(Text(note, style="dim"))

    color = COLOURS[summary["verdict"]]
    console.print()
    console.print(Text(f"Verdict: {summary['verdict']}", style=color))
    for reason in summary["reasons"]:
        console.print(Text(f"  {reason}"))
    if summary.get("reference_problems"):
        problems = "; ".join(summary["reference_problems"])
        console.print(Text(f"  The reference data are no witness, by their own card: {problems}."), style="dim")
    said = {reason.rstrip(".") for reason in summary["reasons"]}
    remarks = [*(p for p in summary.get("problems") or () if p.rstrip(".") not in said), *(summary.get("remarks") or ())]
    for remark in remarks:
        console.print(Text(f"  Remark: {remark}"), style="dim")
    for unknown in summary.get("unknown") or ():
        console.print(Text(f"  Nobody can know from these samples: {unknown}"), style="dim")
    if folder is not None:
        console.print(Text(f"Run folder: {folder}"), soft_wrap=True)


def _rows(s: dict[str, Any]) -> Iterator[tuple[list[str], bool]]:
    """Cells of every average and mode, and whether it is a lost mode; the first cell begins with the name of the claim."""
    for name, row in s["observables"].items():
        label = f"<{name}>" + (f" [{row['unit']}]" if row["unit"] else "")
        yield (
            [
                label,
                with_error(row["raw"], row["raw_err"]),
                with_error(row["reweighted"], row["err"]),
                "-",
                row["tail"].replace(", ignored", "*").partition(":")[0],
                with_error(row["reference"], row["reference_err"]),
                with_error(row["exact"]),
            ],
            False,
        )
    modes = s["modes"] or {}
    shown = _shown(modes)
    for name in shown:
        row = modes[name]
        value = with_error(row["reweighted"], row["err"])
        if row["upper"] is not None:
            value = f"< {row['upper']:.2g}" if not row["missing"] else "-"
        yield (
            [
                f"P({name})" + (" missing" if row["missing"] else ""),
                with_error(row["raw"]),
                value,
                f"{row['effective']:.3g}",
                "-" if not math.isfinite(row["pareto_k"]) else f"{row['pareto_k']:.2f}",
                with_error(row["reference"], row["reference_err"]),
                with_error(row["exact"]),
            ],
            row["missing"],
        )
    for name in shown[1:] if shown and shown[0] == next(iter(modes)) else ():
        row, first = modes[name], modes[shown[0]]
        known = [None if not (row[k] and first[k]) else -math.log(row[k] / first[k]) for k in ("reference", "exact")]
        value = with_error(row["free_energy"], row["free_energy_err"])
        yield (
            [f"F({name}) - F({shown[0]}) [kT]", "-", value, f"{row['effective']:.3g}", "-", *map(with_error, known)],
            False,
        )


def _notes(s: dict[str, Any]) -> Iterator[str]:
    """What the table leaves out, and why a high k-hat counts for nothing."""
    modes = s["modes"] or {}
    if len(_shown(modes)) < len(modes):
        yield f"... and {len(modes) - len(_shown(modes))} modes more, in summary.json"
    for name, row in s["observables"].items():
        if ", ignored" in row["tail"]:
            yield f"* <{name}>: k-hat {row['tail']}"


def _numbers(s: dict[str, Any]) -> list[tuple[str, str]]:
    kind = {"chains": _of_chains, "populations": _of_populations}.get(s.get("kind", ""), _of_proposals)
    judged = s.get("judged_step")
    return [
        *([("judged", f"the state of step {judged} of {s['steps']}")] if judged else []),
        *([("sampler", _of_sampler(s["sampler"]["class"], s["sampler_info"]))] if s.get("sampler") else []),
        *kind(s),
        *([("log Z", _log_z(s))] if s["log_Z"] is not None else []),
        *[(f"at {row['name']}", _at_conditions(row)) for row in s.get("conditions") or []],
        *_distances(s.get("wasserstein") or {}),
        *_cost(s),
    ]


def _of_sampler(name: str, info: dict[str, Any]) -> str:
    """What a sampler says of itself: of several numbers, at its levels say, the least and the largest.

    >>> _of_sampler("SMC", {"levels": 3, "acceptance": [0.41, 0.7, 0.52], "densities": 10})
    'SMC, levels 3, acceptance 0.41 to 0.7'
    """
    words = [name]
    for key, value in info.items():
        if key == "densities" or value == []:
            continue  # a cost
        if isinstance(value, list):
            low, high = f"{min(value):.3g}", f"{max(value):.3g}"
            value = low if low == high else f"{low} to {high}"
        words.append(f"{key.replace('_', ' ')} {value if isinstance(value, (str, int)) else f'{value:.3g}'}")
    return ", ".join(words)


def _of_proposals(s: dict[str, Any]) -> list[tuple[str, str]]:
    forward = "no reference data"
    if s["ess_forward"] is not None:
        forward = f"forward {_fraction(s['ess_forward'], s['ess_forward_err'], s['ess_forward_is_limit'])}"
    repeated = f" of {s['n_drawn']} drawn" if s["n_drawn"] != s["n_samples"] else ""
    ess = _fraction(s["ess"], s["ess_err"], s["ess_is_limit"])
    return [
        ("samples", f"{s['n_samples']}{repeated}, {_misplaced(s)}"),
        ("ESS", f"{ess} ({forward}), largest weight {s['max_weight']:.2g} of all"),
        ("k-hat", describe_tail(Tail(s["pareto_k"], math.nan, s["tail_share"]))),
    ]


def _of_chains(s: dict[str, Any]) -> list[tuple[str, str]]:
    worst = max(s["mixing"], key=lambda name: _known(s["mixing"][name]["r_hat"]))
    slowest = min(s["mixing"], key=lambda name: s["mixing"][name]["effective"])
    rows = [
        ("frames", f"{s['frames']} of {s['walkers']} walker{'s' * (s['walkers'] != 1)}, {_misplaced(s)}"),
        (
            "effective",
            f"{s['effective_samples']:.0f} frames, by {slowest}; R-hat {s['mixing'][worst]['r_hat']:.4g} at most, of {worst}",
        ),
    ]
    if s["starts"] is not None:
        shown = _shown(s["modes"])
        text = ", ".join(f"{name} {s['entries'][name]} (began there: {s['starts'][name]})" for name in shown)
        rows.append(("entries", text))
    if s["silence"] is not None:
        rows.append(("agreement", s["silence"].rstrip(".")))
    if s["virial"] is not None:
        v = s["virial"]
        rows.append(("virial", f"{with_error(v['value'], v['error'])} kT, in equilibrium {v['exact']:.0f}"))
    if s["energies"] is not None:
        e = s["energies"]
        mean, reference = with_error(e["mean"], e["error"]), with_error(e["reference"], e["reference_error"])
        rows.append(("<u> [kT]", f"{mean}, reference {reference}; W1 {e['distance']:.3g}, noise floor {e['floor']:.3g}"))
    return rows


def _of_populations(s: dict[str, Any]) -> list[tuple[str, str]]:
    families = f"{s['effective_samples']:.0f} effective ancestors of {s['ancestors']} distinct ones"
    return [
        ("particles", f"{s['populations']} populations of {s['particles']}, {_misplaced(s)}"),
        ("effective", f"{families}; by log Z the populations are worth {s['effective_populations']:.1f}"),
        ("ESS", f"{s['ess']:.3f}, largest weight {s['max_weight']:.2g} of all"),
        ("k-hat", describe_tail(Tail(s["pareto_k"], math.nan, s["tail_share"]))),
    ]


def _misplaced(s: dict[str, Any]) -> str:
    outside = f", {s['n_outside']} outside the target's region" if s["n_outside"] else ""
    return f"{s['n_nonfinite']} without a finite energy{outside}"


def _known(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _cost(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What a training paid, or what samples did, and each effective one of them."""
    if "energy_calls" in s:
        field = "" if s.get("field_evaluations") is None else f"{s['field_evaluations']:.0f} of the field per sample, "
        return [("cost", f"{count(s['energy_calls'])} energies, {field}{s['seconds']:.0f} s")]
    if "cost" not in s:
        return []
    paid, each = s["cost"], s["cost_per_effective_sample"]
    kinds = [kind for kind in ("energies", "gradients", "densities") if paid[kind]]
    total = ", ".join([*(f"{count(paid[kind])} {kind}" for kind in kinds), f"{paid['seconds']:.3g} s"])
    share = ", ".join([*(f"{each[kind]:.3g} {kind}" for kind in kinds), f"{each['seconds']:.2g} s"])
    rows = [("cost", total), ("each effective", share)]
    if data := s.get("reference_cost"):
        price = f"{count(data['energies'])} energies for {data['effective']:.0f} effective frames, "
        rows.append(("reference", f"{data['simulator']}, {price}{data['energies'] / data['effective']:.3g} each"))
    return rows


def _fraction(value: float, error: float | None, is_limit: bool) -> str:
    """An effective sample size: a value with its error, or an upper limit where it is estimated from too few samples."""
    return f"< {value:.2g}" if is_limit else with_error(value, error)


def _log_z(s: dict[str, Any]) -> str:
    text = with_error(s["log_Z"], s["log_Z_err"])
    if s.get("log_Z_forward") is not None:
        text += f", from the reference {with_error(s['log_Z_forward'], s['log_Z_forward_err'])}"
    known = s["log_Z_known"]
    if known is not None:
        text += f", {known['source']} {with_error(known['value'], known['error'])}"
    claim = next(c for c in s["claims"] if c["name"] == "log Z")
    return f"{text}: {claim['word']}" + (f" ({claim['reason'].rstrip('.')})" if claim["word"] == "unchecked" else "")


def _at_conditions(row: dict[str, Any]) -> str:
    """What a run is worth under further conditions."""
    exact = "" if row["log_Z_exact"] is None else f" (exact {row['log_Z_exact']:.5f})"
    ess = _fraction(row["ess"], row["ess_err"], not ess_is_known(row["ess"], row["n"]))
    value = with_error(row["log_Z"], row["log_Z_err"])
    return f"log Z {value}{exact}, ESS {ess} of {count(row['n'])}, k-hat {row['pareto_k']:.2f}"


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
        known = next(v for v in (row["exact"], row["reference"], row["reweighted"]) if v is not None)
        return 2.0 if row["missing"] else known

    best = sorted(modes, key=weight, reverse=True)[:MOST_MODES]
    return [name for name in modes if name in best]
