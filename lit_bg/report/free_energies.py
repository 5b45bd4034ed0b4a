"""Free energies in words, and whether to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lit_bg.diagnostics.absolute import Absolute, FreeEnergy
from lit_bg.diagnostics.modes import SIGMAS, ModeShare
from lit_bg.diagnostics.states import Multistate
from lit_bg.estimators import least_overlap, next_to_diagonal, weakest_link
from lit_bg.report.energy_units import size_of_kT
from lit_bg.report.notation import with_error

ROUNDING = 1e-3  # [kT] that densities and energies in single precision may be off by, whatever the error bar
OPTIMISTIC = 2.0  # times the analytic error that another one is, from which the analytic one is said to be too small
WIDTH = 26  # of names
WORDS = ("trust", "unchecked", "do not trust")


class FreeEnergyVerdict(NamedTuple):
    """Holds the verdict on free energies in a word, with all that speaks against and for it in sentences."""

    word: str  # trust; unchecked, where nothing could have contradicted them; do not trust
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, bad: Sequence[str], unchecked: Sequence[str], good: Sequence[str]) -> FreeEnergyVerdict:
        """Return the worst word that has a reason."""
        word = "do not trust" if bad else "unchecked" if unchecked else "trust"
        return cls(word, tuple(f"{s[0].upper()}{s[1:].rstrip('.')}." for s in (*bad, *unchecked, *good)))


def worst(verdicts: Sequence[FreeEnergyVerdict]) -> str:
    """Return the worst word of several verdicts."""
    return max((v.word for v in verdicts), key=WORDS.index)


def judge_run(
    a: Absolute,
    generator: str,
    exact_density: bool,
    no_frames: str | None,
    problems: Sequence[str],
    exact: float | None = None,
) -> FreeEnergyVerdict:
    """Return whether the free energy of one run is to be trusted.

    Args:
        a: what was found.
        generator: its name.
        exact_density: whether its log q is exact.
        no_frames: why there are only proposals; None: there are frames.
        problems: of the frames, by their own card.
        exact: -ln Z where it is known [kT].
    """
    good: list[str] = []
    unchecked: list[str] = []
    bad: list[str] = []
    if exact is not None and abs(a.best.value - exact) > SIGMAS * a.best.error + ROUNDING:
        bad.append(f"{with_error(a.best.value, a.best.error)} kT is not the exact value, {exact:.4f} kT")
    if no_frames is not None:
        why = f"only LFEP is available, which does not know of what proposals never reach: {no_frames}"
        (good if exact is not None else unchecked).append(why)
    if a.failed is not None:
        bad.append(f"BAR has no answer: {a.failed}")
    if a.overlap is not None:
        limit = least_overlap(2)
        if a.overlap < limit:
            bad.append(
                f"too little overlap between the generator and its target ({a.overlap:.2g}, below {limit}): the answer is not "
                "to be trusted, so train longer"
            )
        else:
            good.append(f"overlap is enough between the generator and its target ({a.overlap:.2f} of at most 0.50)")
    if a.bar is not None and a.reverse is not None:
        one, other, both = (with_error(e.value, e.error) for e in (a.lfep, a.reverse, a.bar))
        if _differ(a.lfep, a.bar):
            bad.append(
                f"LFEP says {one} kT and BAR {both} kT: the generator misses a region that the frames hold, or the frames "
                "are no equilibrium"
            )
        if _differ(a.reverse, a.bar):
            good.append(
                f"reverse LFEP says {other} kT and BAR {both} kT: proposals go where too few frames are to say how often, "
                "which biases reverse LFEP alone"
            )
    if math.isinf(a.best.error):
        bad.append("no honest error bar exists: the weights have too heavy a tail, or there are too few samples")
    elif a.best.error > OPTIMISTIC * a.best.analytic > 0:
        good.append("the analytic error is less than half of another one: believe the largest")
    if a.bar is not None and a.convergence.halves > SIGMAS:
        bad.append(f"the two halves of the data differ by {a.convergence.halves:.1f} standard errors: not converged")
    if not exact_density:
        bad.append(f"log q of {generator} is a random estimate, which biases every free energy")
    bad += [f"the reference data, by their own card: {problem}" for problem in problems]
    return FreeEnergyVerdict.of(bad, unchecked, good)


def judge_states(m: Multistate, ordered: bool, round_trips: int | None = None) -> FreeEnergyVerdict:
    """Return whether differences of MBAR are to be trusted.

    Args:
        m: what was found.
        ordered: whether the states are a ladder, whose neighbours must overlap; else they only need to be joined somehow.
        round_trips: of replicas that exchange states; None: there are none.
    """
    sampled = [k for k in range(len(m.names)) if m.counts[k] > 0]
    even = m.even[sampled][:, sampled]
    smallest, i = next_to_diagonal(even) if ordered else (0.0, 0)
    j = i + 1
    if not ordered:
        smallest, i, j = weakest_link(even)
    i, j = sampled[i], sampled[j]
    limit = least_overlap(len(sampled))
    pair = f"between {m.names[i]} and {m.names[j]} ({smallest:.2g}"
    good: list[str] = []
    unchecked: list[str] = []
    bad: list[str] = []
    if smallest < limit:
        bad.append(
            f"too little overlap {pair}, below {limit:.2g}): differences across it are not to be trusted, so put a "
            "state between"
        )
    else:
        good.append(f"overlap is enough, least {pair}, where {limit:.2g} is needed)")
    if m.convergence.halves > SIGMAS:
        bad.append(
            f"{m.names[-1]} relative to {m.names[m.first]} differs by {m.convergence.halves:.1f} standard errors between the "
            "two halves of the data: not converged"
        )
    if round_trips == 0:
        unchecked.append(
            "no replica went from the first state to the last and back: barriers may not have been crossed anywhere"
        )
    elif round_trips is not None:
        good.append(f"{round_trips} round trips of replicas between the first and the last state")
    return FreeEnergyVerdict.of(bad, unchecked, good)


def tell_run(a: Absolute, unit: str, kT: float | None) -> list[str]:
    """Return the table of one run, with a column for each kind of error."""
    size = size_of_kT(unit, kT)
    rows = [_head(unit)]
    named = (
        ("LFEP (proposals)", a.lfep),
        ("reverse LFEP (frames)", a.reverse),
        ("BAR (both)", a.bar),
    )
    rows += [_row(name, e, size) for name, e in named if e is not None]
    if a.bounds is not None:
        b = a.bounds
        lower, upper = with_error(b.lower * size, b.lower_error * size), with_error(b.upper * size, b.upper_error * size)
        rows.append(f"  bounds by the mean work: {lower} <= F <= {upper}, gap {b.gap * size:.3g} {unit}")
    return rows


def tell_modes(shares: dict[str, ModeShare], size: float, unit: str) -> list[str]:
    """Return the free energies of modes relative to the first in words."""
    names = list(shares)
    rows = []
    for name in names[1:]:
        s = shares[name]
        value = "-" if math.isnan(s.free_energy) else with_error(s.free_energy * size, s.free_energy_error * size)
        rows.append(f"  F({name}) - F({names[0]}) = {value} {unit}, {s.effective:.3g} effective samples in {name}")
    return rows


def tell_difference(name: str, e: FreeEnergy, unit: str, kT: float | None) -> list[str]:
    """Return the free-energy difference of two runs in words."""
    return [_head(unit), _row(name, e, size_of_kT(unit, kT))]


def tell_states(m: Multistate, unit: str, kT: float | None) -> list[str]:
    """Return the table of MBAR."""
    size = size_of_kT(unit, kT)
    width = max(map(len, m.names)) + 2
    rows = [f"  {'state':{width}}{'samples':>8}  {f'F - F(first) [{unit}]':>22}   {'analytic':>9}  {'bootstrap':>9}"]
    for k, name in enumerate(m.names):
        value, analytic, spread = m.difference(k) if k else (0.0, 0.0, 0.0)
        shown = "0" if k == 0 else with_error(value * size, max(analytic, spread) * size)
        errors = "" if k == 0 else f"   {_error(analytic * size):>9}  {_error(spread * size):>9}"
        rows.append(f"  {name:{width}}{int(m.counts[k]):>8}  {shown:>22}{errors}")
    return rows


def _differ(a: FreeEnergy, b: FreeEnergy) -> bool:
    return abs(a.value - b.value) > SIGMAS * math.hypot(a.error, b.error) + ROUNDING


def _head(unit: str) -> str:
    return f"  {'':{WIDTH}}{f'F [{unit}]':>16}   {'analytic':>9}  {'bootstrap':>9}  {'of parts':>9}"


def _row(name: str, e: FreeEnergy, size: float) -> str:
    parts = "-" if e.parts is None else _error(e.parts.error * size)
    value = with_error(e.value * size, e.error * size)
    return f"  {name:{WIDTH}}{value:>16}   {_error(e.analytic * size):>9}  {_error(e.bootstrap * size):>9}  {parts:>9}"


def _error(error: float) -> str:
    return f"{error:.2g}" if math.isfinite(error) else "-"
