"""The verdict: which numbers of a run can be trusted, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lit_bg.diagnostics.averages import Average
from lit_bg.diagnostics.findings import Estimate, Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import FEWEST, SIGMAS
from lit_bg.estimators import Tail
from lit_bg.report.doubts import doubt
from lit_bg.report.faults import EFFECTIVE, ROUNDING, find_faults
from lit_bg.report.tails import TAIL_SHARE, accuse_tail
from lit_bg.report.witnesses import BLINDNESS, Witnesses, best_value, find_distance, joint_error

Word = Literal["trust", "do not trust", "unchecked"]

BLIND = "nothing that is known of this system could have shown a lost mode: give it exact values, populations or data."


class Claim(NamedTuple):
    """Says of one number of a run whether it can be trusted, with the reason in one sentence."""

    name: str
    word: Word
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Holds the judgement of a run: the worst word among the claims that something can check, its reasons, and every claim.

    `do not trust`: something speaks against it. `trust`: nothing does, and something could have. `unchecked`: nothing
    could have; an unchecked claim does not lower the word of the run.
    """

    word: Word
    reasons: tuple[str, ...]
    claims: tuple[Claim, ...]

    def of(self, name: str) -> Claim:
        """Return the claim of this name."""
        return next(c for c in self.claims if c.name == name)


def reach_verdict(found: Findings, known: Knowledge) -> Verdict:
    """Judge every claim of a run, and the run.

    An ESS near one is no proof: a generator that has lost a mode and is right elsewhere has it. So `trust` needs a witness that
    could have contradicted the very claim: an exact or given log Z, exact values that differ between the modes, exact
    populations, reference data that passed their own card, or walkers that began in different modes and agree.

    What speaks against samples, and what keeps a number from being trusted without speaking against it, are matters of what
    they are: see `find_faults` and `doubts`.
    """
    faults = [*found.complaints, *find_faults(found, known)]
    claims = tuple(_doubted(found, claim) for claim in _claims(found, known))
    against = tuple(dict.fromkeys([*faults, *(c.reason for c in claims if c.word == "do not trust")]))
    if faults:
        claims = tuple(Claim(c.name, "do not trust", faults[0]) for c in claims)
    if against:
        return Verdict("do not trust", against, claims)
    if any(c.word == "trust" for c in claims):
        return Verdict("trust", (), claims)
    return Verdict("unchecked", tuple(_why_unchecked(found, known, claims)), claims)


def _doubted(found: Findings, claim: Claim) -> Claim:
    """Mark a claim as unchecked that nothing contradicts and that the samples cannot support."""
    doubted = doubt(found, claim.name) if claim.word == "trust" else None
    return claim if doubted is None else Claim(claim.name, "unchecked", doubted)


def _claims(found: Findings, known: Knowledge) -> Iterator[Claim]:
    """Return every claim on its own merits, in the order of the table."""
    guards = Witnesses(found, known)
    if found.log_Z is not None:
        yield _log_z(found.log_Z, found, known, guards)
    for name, row in found.averages.items():
        yield _average(name, row, found, known, guards)
    yield from _populations(found, known, guards)


def _log_z(own: Estimate, found: Findings, known: Knowledge, guards: Witnesses) -> Claim:
    z = known.log_Z
    if heavy := accuse_tail(own.tail, "the weights"):
        return Claim("log Z", "do not trust", heavy)
    if not math.isfinite(own.error):
        return Claim("log Z", "unchecked", f"log Z has no honest error bar ({_no_bar(own.tail, found)}).")
    if z is not None:
        sigma = joint_error(own.error, z)
        if not abs(own.value - z.value) <= SIGMAS * sigma + ROUNDING:
            if scarce := _scarce(found, known):
                return Claim("log Z", "unchecked", scarce)
            where = "exact is" if z.source == "exact" else f"{z.source} gives"
            return Claim(
                "log Z", "do not trust", f"log Z is {own.value:.4f} with error {own.error:.4f}, {where} {z.value:.4f}."
            )
        if 1 - math.exp(-SIGMAS * sigma) >= BLINDNESS:
            return Claim("log Z", "unchecked", "log Z agrees with its known value, but its error would hide a lost mode.")
        return Claim("log Z", "trust", f"log Z agrees with its known value ({z.source}).")
    if found.normalised is None:
        return Claim("log Z", "unchecked", "log Z is not claimed: nothing shows that log q is normalised.")
    witness = guards.everywhere
    if witness is None:
        return Claim("log Z", "unchecked", "log q is normalised, and nothing could have shown a lost mode.")
    return Claim("log Z", "trust", f"{found.normalised}, and {witness}.")


def _average(name: str, row: Average, found: Findings, known: Knowledge, guards: Witnesses) -> Claim:
    label = f"<{name}>"
    if not math.isfinite(row.value):
        return Claim(label, "do not trust", f"{label} could not be reweighted.")
    if heavy := accuse_tail(row.tail, f"w |a - <a>| of {label}"):
        return Claim(label, "do not trust", heavy)
    if not math.isfinite(row.error):
        return Claim(label, "unchecked", f"{label} has no honest error bar ({_no_bar(row.tail, found)}).")
    value = best_value(name, known)
    if value is not None:
        sigma = joint_error(row.error, value)
        apart = find_distance(row.value, value.value, row.period)
        if apart > SIGMAS * sigma + 1e-6 * abs(value.value):
            if scarce := _scarce(found, known):
                return Claim(label, "unchecked", scarce)
            kind = "exact" if value.source == "exact" else "reference"
            times = f"{apart / sigma:.1f} standard errors apart" if sigma > 0 else "apart with no error"
            return Claim(label, "do not trust", f"{label} reweighted is {row.value:.5g}, {kind} {value.value:.5g}: {times}.")
    witness = guards.everywhere
    if witness is not None and (value is not None or found.proper):
        return Claim(label, "trust", f"{witness}.")
    if value is None:
        return Claim(label, "unchecked", f"nothing is known that {label} could be held against.")
    if value.source == "data":
        return Claim(label, "trust", f"{label} agrees with the reference data, which passed their card.")
    seen = [m for m, witnesses in guards.by_mode.items() if label in witnesses]
    if seen:
        return Claim(label, "trust", f"{label} agrees with its known value, which differs between modes ({', '.join(seen)}).")
    if not guards.by_mode and _differs_at_starts(name, row, value, known):
        return Claim(label, "trust", f"{label} agrees with its known value, which differs between the starting points.")
    return Claim(label, "unchecked", f"{label} agrees with its known value, which cannot see a lost mode.")


def _populations(found: Findings, known: Knowledge, guards: Witnesses) -> Iterator[Claim]:
    if found.modes is None:
        return
    words: dict[str, Word] = {}
    first = next(iter(found.modes))
    for name, share in found.modes.items():
        claim = _doubted(found, _population(name, found, known, guards))
        words[name] = claim.word
        yield claim
        if name == first:
            continue
        label = f"F({name}) - F({first})"
        if not math.isfinite(share.free_energy_error):
            few = f"{share.effective:.2g} effective samples in {name}"
            yield Claim(label, "unchecked", f"{label} has no honest error bar ({few}).")
        elif "do not trust" in (words[name], words[first]):
            yield Claim(label, "do not trust", f"one of its two populations is not to be trusted ({name}, {first}).")
        elif words[name] == words[first] == "trust":
            yield Claim(label, "trust", claim.reason)
        else:
            yield Claim(label, "unchecked", f"one of its two populations is unchecked ({name}, {first}).")


def _population(name: str, found: Findings, known: Knowledge, guards: Witnesses) -> Claim:
    assert found.modes is not None
    share, label = found.modes[name], f"P({name})"
    value = known.populations.get(name)
    if value is None and known.data_pass:
        value = known.reference_populations.get(name)
    if heavy := accuse_tail(share.inside, f"w |1 - p| of {label}"):
        return Claim(label, "do not trust", heavy)
    n = max(found.effective, 1e-12)
    if value is not None:
        p = value.value
        # What draws of p would scatter by, each of the largest weight in any mode: to have seen one sample is no certainty.
        unit = max(1 / n, *(s.unit for s in found.modes.values()))
        drawn = math.hypot(math.sqrt(max(p, 0.0) * max(1 - p, 0.0) * unit), unit)
        own = share.error if math.isfinite(share.error) else 0.0
        sigma = math.sqrt(own**2 + value.error**2 + drawn**2)
        if abs(share.value - p) > SIGMAS * sigma:
            kind = "exact" if value.source == "exact" else "reference"
            times = f"{abs(share.value - p) / sigma:.1f} standard errors apart"
            return Claim(label, "do not trust", f"{label} reweighted is {share.value:.5g}, {kind} {p:.5g}: {times}.")
    if not math.isfinite(share.error):
        limit = "" if share.upper is None else f", at most {share.upper:.2g} by the rule of three if all of it is reached"
        return Claim(label, "unchecked", f"{share.effective:.2g} effective samples in {name} cannot tell{limit}.")
    witnesses = guards.by_mode[name]
    if witnesses:
        return Claim(label, "trust", f"{', '.join(witnesses)} would have shown the loss of {name}.")
    if value is not None:
        few = f"{n:.0f} effective samples could not tell otherwise"
        return Claim(label, "unchecked", f"{label} agrees with its known value, but {few}.")
    return Claim(label, "unchecked", f"nothing is known that {label} could be held against.")


def _why_unchecked(found: Findings, known: Knowledge, claims: tuple[Claim, ...]) -> Iterator[str]:
    doubted = dict.fromkeys(filter(None, (doubt(found, c.name) for c in claims)))
    yield from doubted
    if found.effective < EFFECTIVE and not doubted:
        yield f"{found.effective:.3g} effective samples of {found.n:.0f} cannot tell: draw more."
    if scarce := _scarce(found, known):
        yield scarce
    blind = [c.name for c in claims if "cannot see a lost mode" in c.reason]
    if blind:
        yield f"what is known exactly ({', '.join(blind)}) cannot see a lost mode."
    if known.quality in ("not converged", "refuted"):
        yield f"the reference data are no witness, by their own card: {'; '.join(known.problems)}."
    if found.silence is not None:
        yield found.silence
    yield BLIND


def _scarce(found: Findings, known: Knowledge) -> str | None:
    """Return the sentence on a mode of which so few proposals cannot hold enough, which moves every number."""
    for name, share in (found.modes or {}).items():
        p = known.populations.get(name)
        if p is not None and share.effective < FEWEST and not share.lost and p.value * found.effective >= 0.05:
            held = f"{share.effective:.2g} effective samples of {name}, whose probability is {p.value:.3g}"
            return f"{found.n:.0f} {found.what} cannot tell: they hold {held}."
    return None


def _no_bar(t: Tail, found: Findings) -> str:
    if not t.k <= 0.5 and t.share > TAIL_SHARE:
        return f"k-hat {t.k:.2f}"
    return f"{found.effective:.3g} effective samples"


def _differs_at_starts(name: str, row: Average, value: Value, known: Knowledge) -> bool:
    starts = known.starts.get(name)
    return starts is not None and (starts.max() - starts.min()).item() / len(starts) > SIGMAS * joint_error(row.error, value)
