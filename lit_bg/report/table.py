"""The summary of samples as a table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch
from typing import Any, NamedTuple

from lit_bg.activity import is_screen
from lit_bg.cost import Cost
from lit_bg.diagnostics.conditions import AtConditions
from lit_bg.estimators import Tail, ess_is_known
from lit_bg.report.notation import count, with_error
from lit_bg.report.origin import FromReference, GivenFile, SamplerRun, TrainedRun
from lit_bg.report.summary import ModeRow, OfChains, OfPopulations, OfProposals, Summary
from lit_bg.report.tails import describe_tail

MOST_MODES = 12  # rows; a system with more shows the missing ones and the most probable
HEADER = ("", "raw", "reweighted", "effective", "k-hat", "reference", "exact", "claim")
COLOURS = {"trust": "bold green", "do not trust": "bold red", "unchecked": "bold yellow"}

Lines = list[tuple[str, str]]  # names of numbers, and the numbers in words


class Row(NamedTuple):
    """A row of the table of averages and modes."""

    claim: str  # name of the claim that it is
    cells: list[str]  # as `HEADER` names them
    word: str  # of the verdict; a dash where nothing is claimed
    missing: bool  # it is a lost mode


def print_summary(summary: Summary, folder: str | None = None, page: str | None = None) -> None:
    """Print the numbers, then the verdict with its reasons, and last the page and the run folder."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not is_screen(console):
        console = Console(width=110)  # a log file: no terminal whose width must be kept

    numbers = Table(show_header=False, box=None, pad_edge=False)
    for name, value in list_numbers(summary):
        numbers.add_row(Text(name, style="dim"), Text(value))
    console.print()
    console.print(numbers)

    table = Table(*HEADER, box=None, header_style="dim", pad_edge=False)
    for row in list_rows(summary):
        styled = [Text(cell, style="bold red" if row.missing else "") for cell in row.cells[:-1]]
        table.add_row(*styled, Text(row.word, style=COLOURS.get(row.word, "")))
    if table.row_count:
        console.print()
        console.print(table)
    for note in list_notes(summary):
        console.print(Text(note, style="dim"))

    console.print()
    console.print(Text(f"Verdict: {summary.verdict}", style=COLOURS[summary.verdict]))
    for reason in summary.reasons:
        console.print(Text(f"  {reason}"))
    for remark in list_remarks(summary):
        console.print(Text(f"  {remark}"), style="dim")
    if page is not None:
        console.print(Text(f"Page: {page}"), soft_wrap=True)
    if folder is not None:
        console.print(Text(f"Run folder: {folder}"), soft_wrap=True)


def list_remarks(s: Summary) -> list[str]:
    """Return what is to be said below the verdict, in sentences."""
    problems = "; ".join(s.reference_problems)
    own = [f"The reference data are no witness, by their own card: {problems}."] if problems else []
    return [*own, *_remarks(s.origin, s.reasons)]


@singledispatch
def _remarks(origin: Any, reasons: tuple[str, ...]) -> Iterator[str]:
    """Return what is said below the verdict, by where the samples come from."""
    yield from ()


@_remarks.register
def _remarks_of_sampler(origin: SamplerRun, reasons: tuple[str, ...]) -> Iterator[str]:
    said = {reason.rstrip(".") for reason in reasons}
    yield from (f"Remark: {problem}" for problem in origin.problems if problem.rstrip(".") not in said)


@_remarks.register
def _remarks_of_file(origin: GivenFile, reasons: tuple[str, ...]) -> Iterator[str]:
    yield from (f"Remark: {remark}" for remark in origin.remarks)
    yield from (f"Nobody can know from these samples: {unknown}" for unknown in origin.unknown)


def list_rows(s: Summary) -> list[Row]:
    """Return a row for every average, mode and free-energy difference."""
    words = {claim.name: claim.word for claim in s.claims}
    return [Row(claim, [*cells, words.get(claim, "-")], words.get(claim, "-"), missing) for claim, cells, missing in _cells(s)]


def _cells(s: Summary) -> Iterator[tuple[str, list[str], bool]]:
    """Return the name of the claim and cells of every row, and whether it is a lost mode."""
    for name, row in s.observables.items():
        yield (
            f"<{name}>",
            [
                f"<{name}>" + (f" [{row.unit}]" if row.unit else ""),
                with_error(row.raw, row.raw_err),
                with_error(row.reweighted, row.err),
                "-",
                row.tail.replace(", ignored", "*").partition(":")[0],
                with_error(row.reference, row.reference_err),
                with_error(row.exact),
            ],
            False,
        )
    modes = s.modes or {}
    shown = shown_modes(modes)
    for name in shown:
        mode = modes[name]
        value = with_error(mode.reweighted, mode.err)
        if mode.upper is not None:
            value = f"< {mode.upper:.2g}" if not mode.missing else "-"
        yield (
            f"P({name})",
            [
                f"P({name})" + (" missing" if mode.missing else ""),
                with_error(mode.raw),
                value,
                f"{mode.effective:.3g}",
                "-" if not math.isfinite(mode.pareto_k) else f"{mode.pareto_k:.2f}",
                with_error(mode.reference, mode.reference_err),
                with_error(mode.exact),
            ],
            mode.missing,
        )
    for name in shown[1:] if shown and shown[0] == next(iter(modes)) else ():
        mode, first = modes[name], modes[shown[0]]
        known = [_difference(mode.reference, first.reference), _difference(mode.exact, first.exact)]
        value = with_error(mode.free_energy, mode.free_energy_err)
        claim = f"F({name}) - F({shown[0]})"
        yield (
            claim,
            [f"{claim} [kT]", "-", value, f"{mode.effective:.3g}", "-", *map(with_error, known)],
            False,
        )


def _difference(p: float | None, first: float | None) -> float | None:
    """Return the free energy of a population relative to the first [kT]."""
    return -math.log(p / first) if p and first else None


def list_notes(s: Summary) -> Iterator[str]:
    """Say what the table leaves out, and why a high k-hat counts for nothing."""
    modes = s.modes or {}
    if len(shown_modes(modes)) < len(modes):
        yield f"... and {len(modes) - len(shown_modes(modes))} modes more, in summary.json"
    for name, row in s.observables.items():
        if ", ignored" in row.tail:
            yield f"* <{name}>: k-hat {row.tail}"


def list_numbers(s: Summary) -> Lines:
    """Return what is said above the table, in words."""
    return [
        *_before(s.origin),
        *_of_kind(s.samples, s),
        *([("log Z", _log_z(s))] if s.log_Z is not None else []),
        *_after(s.origin, s),
    ]


@singledispatch
def _before(origin: Any) -> Lines:
    """Return what is said of where the samples come from, above all numbers."""
    return []


@_before.register
def _before_run(origin: TrainedRun) -> Lines:
    return [("judged", f"the state of step {origin.judged_step} of {origin.steps}")] if origin.judged_step else []


@_before.register
def _before_sampler(origin: SamplerRun) -> Lines:
    return [("sampler", _of_sampler(origin.sampler.name, origin.sampler_info))]


@singledispatch
def _after(origin: Any, s: Summary) -> Lines:
    """Return what is said of where the samples come from, below their numbers: above all what they cost."""
    return list_costs(s.cost, s.cost_per_effective_sample)


@_after.register
def _after_run(origin: TrainedRun, s: Summary) -> Lines:
    field = "" if origin.field_evaluations is None else f"{origin.field_evaluations:.0f} of the field per sample, "
    return [
        *((f"at {row.name}", _at_conditions(row)) for row in origin.conditions or ()),
        *_distances(origin.wasserstein),
        ("cost", f"{count(origin.energy_calls)} energies, {field}{origin.seconds:.0f} s"),
    ]


@_after.register
def _after_sampler(origin: SamplerRun, s: Summary) -> Lines:
    rows = list_costs(s.cost, s.cost_per_effective_sample)
    if data := origin.reference_cost:
        price = f"{count(data.energies)} energies for {data.effective:.0f} effective frames, "
        rows.append(("reference", f"{data.simulator}, {price}{data.energies / data.effective:.3g} each"))
    return rows


def _of_sampler(name: str, info: dict[str, Any]) -> str:
    """Return what a sampler reports: of several numbers, such as those of its levels, the least and the largest.

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


@singledispatch
def _of_kind(samples: Any, s: Summary) -> Lines:
    """Return what only one kind of samples has."""
    raise NotImplementedError(f"nothing is known of how {type(samples).__name__} are printed.")


@_of_kind.register
def _of_proposals(samples: OfProposals, s: Summary) -> Lines:
    forward = "no reference data"
    if samples.ess_forward is not None:
        forward = f"forward {_fraction(samples.ess_forward, samples.ess_forward_err, bool(samples.ess_forward_is_limit))}"
    repeated = f" of {samples.n_drawn} drawn" if samples.n_drawn != samples.n_samples else ""
    ess = _fraction(samples.ess, samples.ess_err, samples.ess_is_limit)
    return [
        ("samples", f"{samples.n_samples}{repeated}, {_misplaced(s)}"),
        ("ESS", f"{ess} ({forward}), largest weight {samples.max_weight:.2g} of all"),
        ("k-hat", describe_tail(Tail(samples.pareto_k, math.nan, samples.tail_share))),
    ]


@_of_kind.register
def _of_chains(samples: OfChains, s: Summary) -> Lines:
    mixing = samples.mixing
    worst = max(mixing, key=lambda name: _known(mixing[name].r_hat))
    slowest = min(mixing, key=lambda name: mixing[name].effective)
    rows = [
        ("frames", f"{samples.frames} of {samples.walkers} walker{'s' * (samples.walkers != 1)}, {_misplaced(s)}"),
        (
            "effective",
            f"{samples.effective_samples:.0f} frames, by {slowest}; R-hat {mixing[worst].r_hat:.4g} at most, of {worst}",
        ),
    ]
    if samples.starts is not None:
        shown = shown_modes(s.modes or {})
        text = ", ".join(f"{name} {samples.entries[name]} (began there: {samples.starts[name]})" for name in shown)
        rows.append(("entries", text))
    if samples.silence is not None:
        rows.append(("agreement", samples.silence.rstrip(".")))
    if v := samples.virial:
        rows.append(("virial", f"{with_error(v.value, v.error)} kT, in equilibrium {v.exact:.0f}"))
    if e := samples.energies:
        mean, reference = with_error(e.mean, e.error), with_error(e.reference, e.reference_error)
        rows.append(("<u> [kT]", f"{mean}, reference {reference}; W1 {e.distance:.3g}, noise floor {e.floor:.3g}"))
    return rows


@_of_kind.register
def _of_populations(samples: OfPopulations, s: Summary) -> Lines:
    families = f"{samples.effective_samples:.0f} effective ancestors of {samples.ancestors} distinct ones"
    return [
        ("particles", f"{samples.populations} populations of {samples.particles}, {_misplaced(s)}"),
        ("effective", f"{families}; by log Z the populations are worth {samples.effective_populations:.1f}"),
        ("ESS", f"{samples.ess:.3f}, largest weight {samples.max_weight:.2g} of all"),
        ("k-hat", describe_tail(Tail(samples.pareto_k, math.nan, samples.tail_share))),
    ]


def _misplaced(s: Summary) -> str:
    outside = f", {s.n_outside} outside the target's region" if s.n_outside else ""
    return f"{s.n_nonfinite} without a finite energy{outside}"


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def list_costs(paid: Cost | None, each: Cost | None) -> Lines:
    """Return what samples cost, and each effective one of them."""
    if paid is None or each is None:
        return []
    whole = {"energies": paid.energies, "gradients": paid.gradients, "densities": paid.densities}
    shares = {"energies": each.energies, "gradients": each.gradients, "densities": each.densities}
    kinds = [kind for kind, n in whole.items() if n]
    total = ", ".join([*(f"{count(whole[kind])} {kind}" for kind in kinds), f"{paid.seconds:.3g} s"])
    share = ", ".join([*(f"{shares[kind]:.3g} {kind}" for kind in kinds), f"{each.seconds:.2g} s"])
    return [("cost", total), ("each effective", share)]


def _fraction(value: float, error: float | None, is_limit: bool) -> str:
    """Write an effective sample size: a value with its error, or an upper limit where it is estimated from too few samples."""
    return f"< {value:.2g}" if is_limit else with_error(value, error)


def _log_z(s: Summary) -> str:
    text = with_error(s.log_Z, s.log_Z_err)
    forward = _forward(s.samples)
    if forward is not None:
        text += f", from the reference {forward}"
    if known := s.log_Z_known:
        text += f", {known.source} {with_error(known.value, known.error)}"
    claim = next(c for c in s.claims if c.name == "log Z")
    return f"{text}: {claim.word}" + (f" ({claim.reason.rstrip('.')})" if claim.word == "unchecked" else "")


@singledispatch
def _forward(samples: Any) -> str | None:
    """Return log Z from the frames of the reference, with which only proposals are compared."""
    return None


@_forward.register
def _forward_of_proposals(samples: OfProposals) -> str | None:
    z = samples.log_Z_forward
    return None if z is None else with_error(z, samples.log_Z_forward_err)


def _at_conditions(row: AtConditions) -> str:
    """Return what a run is worth under further conditions."""
    exact = "" if row.log_Z_exact is None else f" (exact {row.log_Z_exact:.5f})"
    ess = _fraction(row.ess, row.ess_err, not ess_is_known(row.ess, row.n))
    return f"log Z {with_error(row.log_Z, row.log_Z_err)}{exact}, ESS {ess} of {count(row.n)}, k-hat {row.pareto_k:.2f}"


def _distances(found: FromReference | None) -> Lines:
    """Return the distances from the reference data, and those between two halves of these."""
    if found is None:
        return []
    rows = [
        (name, f"raw {row.raw:.3g}, reweighted {row.reweighted:.3g}, noise floor {row.floor:.3g}")
        for name, row in (("W1 of distances", found.distances), ("W1 of energies [kT]", found.u))
    ]
    if w2 := found.configurations:
        rows.append(("W2", f"raw {w2.raw:.3g}, noise floor {w2.floor:.3g}"))
    return rows


def shown_modes(modes: dict[str, ModeRow]) -> list[str]:
    """Return the names of the modes worth a row, in their own order."""

    def weight(name: str) -> float:
        row = modes[name]
        known = next(v for v in (row.exact, row.reference, row.reweighted) if v is not None)
        return 2.0 if row.missing else known

    best = sorted(modes, key=weight, reverse=True)[:MOST_MODES]
    return [name for name in modes if name in best]
