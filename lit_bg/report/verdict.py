"""Which numbers of a run can be trusted, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lit_bg.diagnostics.averages import Average
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import EXPECTED, FEWEST
from lit_bg.estimators import Tail

Word = Literal["trust", "do not trust", "unchecked"]

PARETO_K = 0.7  # above it importance sampling does not work at this sample size,
SHARP = 0.1  # standard error of k-hat from which the limit gives way by two: few samples must not be accused by chance
LARGE_SHARE = 0.1  # of the sum in the tail, below which a k-hat above the limit must be so by two of its errors
TAIL_SHARE = 0.01  # unless the tail holds less of the sum: nearly equal weights have a tail of any form and no size
EFFECTIVE = 100  # effective samples below which error bars are guesses
POOR_ESS = 1 / 3  # of a generator whose few effective samples are its own fault; above it more draws are all it needs
RARE = 0.01  # fraction of proposals without a finite energy, or outside the region of the target
REPEATED = 1e-3  # fraction of proposals that repeat another; of single coordinates
REPEATED_IN_1D = 0.05  # chance makes some, by float32
SIGMAS = 4.0
FORWARD = 0.2  # forward ESS below this fraction of the reverse ESS: the data hold what the proposals lack
UNPROPOSED = 0.01  # fraction of reference frames out of reach
ROUNDING = 1e-3  # [kT] of log Z: sums of float32 energies are no better
CONSISTENT = 0.02  # [nats] between log_prob(x) and the log q that came with x; float32 flows of 60 angles reach 0.005
CONSISTENT_SOLVER = 0.1  # the same where both go through a solver
BLINDNESS = 0.2  # a loss of this share of the weight must show in log Z, or log Z shows nothing

BLIND = "nothing that is known of this system could have shown a lost mode: give it exact values, populations or data."


class Claim(NamedTuple):
    """One number of a run and whether it can be trusted, with the reason in one sentence."""

    name: str
    word: Word
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of a run: the worst word among the claims that something can check, its reasons, and every claim.

    `do not trust`: something speaks against it. `trust`: nothing does, and something could have. `unchecked`: nothing
    could have; an unchecked claim does not lower the word of the run.
    """

    word: Word
    reasons: tuple[str, ...]
    claims: tuple[Claim, ...]

    def of(self, name: str) -> Claim:
        """Return the claim of this name."""
        return next(c for c in self.claims if c.name == name)


def judge(found: Findings, known: Knowledge) -> Verdict:
    """Judge every claim of a run, and the run.

    An ESS near one is no proof: a generator that has lost a mode and is right elsewhere has it. So `trust` needs a witness that
    could have contradicted the very claim: an exact or given log Z, exact values that differ between the modes, exact
    populations, or reference data that passed their own card.
    """
    faults = list(find_faults(found, known))
    if faults:
        names = [name for name, _ in _claims(found, known)]
        claims = tuple(Claim(name, "do not trust", faults[0]) for name in names)
        own = [c.reason for _, c in _claims(found, known) if c.word == "do not trust"]
        return Verdict("do not trust", tuple(dict.fromkeys([*faults, *own])), claims)
    claims = tuple(claim for _, claim in _claims(found, known))
    against = tuple(dict.fromkeys(c.reason for c in claims if c.word == "do not trust"))
    if against:
        return Verdict("do not trust", against, claims)
    if any(c.word == "trust" for c in claims):
        return Verdict("trust", (), claims)
    return Verdict("unchecked", tuple(_why_unchecked(found, known)), claims)


def find_faults(found: Findings, known: Knowledge) -> Iterator[str]:
    """Name what speaks against the run as a whole, one sentence each."""
    yield from _misplaced(found)
    yield from _few(found)
    yield from _dependent(found)
    yield from _wrong_density(found)
    if found.lost:
        yield f"the generator has lost mode{'s' * (len(found.lost) > 1)} {', '.join(found.lost)}."
    yield from _forward_against_reverse(found, known)


def _few(found: Findings) -> Iterator[str]:
    n = found.n
    if found.effective < EFFECTIVE and found.weights.ess < POOR_ESS:
        yield f"only {found.effective:.3g} effective samples out of {n:.0f} (at least {EFFECTIVE} are needed)."


def _dependent(found: Findings) -> Iterator[str]:
    i = found.independence
    repeated = i.drawn - i.distinct
    if repeated > REPEATED * i.drawn + 2:
        yield (
            f"{repeated} of {i.drawn} proposals repeat another one (duplicates): {i.distinct} distinct draws are left of what "
            "the generator claims to be independent."
        )
    if i.inefficiency > 1:
        yield (
            f"proposals are correlated in the order of drawing: {i.distinct} are worth {i.left:.0f} of what the generator "
            "claims to be independent."
        )


def _misplaced(found: Findings) -> Iterator[str]:
    n = found.independence.distinct
    slack = RARE * n + 3 * math.sqrt(RARE * n)
    if found.n_nonfinite > slack:
        yield f"{found.n_nonfinite} of {n} proposals have no finite energy or density."
    if found.n_outside > slack:
        yield (
            f"{found.n_outside} of {n} proposals lie outside the region that the target covers (mirror images, of a molecule): "
            "the energy cannot tell them apart, so the generator must (FoldedFlow, or internal coordinates)."
        )


def _wrong_density(found: Findings) -> Iterator[str]:
    d = found.density
    if not d.exact:
        size = "" if d.variance is None else f" of variance {d.variance:.2g}, which lifts log Z by about {d.variance / 2:.2g}"
        yield f"log q is a random estimate{size}, and weights made of it are biased: give the generator an exact divergence."
    limit = CONSISTENT_SOLVER if d.solver else CONSISTENT
    if d.shift is not None and d.scatter is not None and d.exact:
        if not d.scatter <= limit:
            yield (
                f"log q is not consistent between sample and log_prob: over {d.compared} proposals they differ by a noise of "
                f"{d.scatter:.2g} nats."
            )
        elif not abs(d.shift) <= limit:
            yield (
                f"log q is not consistent between sample and log_prob: over {d.compared} proposals log_prob(x) is "
                f"{d.shift:+.3g} nats from the log q that came with x (a Jacobian or a norm is missing in one)."
            )
        elif d.worst is not None and not math.isfinite(d.worst):
            yield "log q is not consistent between sample and log_prob: log_prob gives a proposal no density."
    if d.defect is not None and not d.defect.agrees:
        yield (
            f"log q is wrong: it differs from the density of the base minus log|det| of the map by {d.defect.mean:+.3g} nats "
            f"on average, {d.defect.worst:.3g} at most."
        )


def _forward_against_reverse(found: Findings, known: Knowledge) -> Iterator[str]:
    f, w = found.forward, found.weights
    if f is None or known.quality in ("none", "refuted"):
        return
    if f.unproposed > UNPROPOSED and f.unproposed * f.n > 2:
        yield (
            f"{f.unproposed:.1%} of the reference frames are configurations that {found.n:.0f} proposals practically never "
            "reach: a mode or region is lost."
        )
        return
    if not known.data_pass:
        return
    if f.ess + SIGMAS * (f.ess_error if math.isfinite(f.ess_error) else 1.0) < FORWARD * w.ess:
        yield (
            f"the forward ESS {f.ess:.2g} is far below the reverse ESS {w.ess:.2g}: the reference data hold configurations "
            "that the generator does not propose (a lost mode or region)."
        )
        return
    sigma = math.hypot(f.log_Z_error, w.log_Z_error)
    if abs(f.log_Z - w.log_Z) > SIGMAS * sigma + 2 * ROUNDING:
        apart = f"log Z is {w.log_Z:.4f} from the proposals and {f.log_Z:.4f} from the reference data, "
        apart += f"{abs(f.log_Z - w.log_Z) / sigma:.1f} standard errors apart: " if sigma > 0 else "apart: "
        if f.ess > w.ess + SIGMAS * math.hypot(f.ess_error, w.ess_error):
            yield apart + f"forward ESS {f.ess:.2g} against {w.ess:.2g} says noise in log q, or log q wrong in sample."
        elif f.log_Z > w.log_Z:
            yield apart + "a lost mode or region, or log q too large in sample."
        else:
            yield apart + "log q is not the same function in sample and log_prob."


def _claims(found: Findings, known: Knowledge) -> list[tuple[str, Claim]]:
    """Every claim by its name, in the order of the table."""
    modes = _Guards(found, known)
    claims = [_log_z(found, known, modes)]
    claims += [_average(name, row, found, known, modes) for name, row in found.averages.items()]
    claims += list(_populations(found, known, modes))
    return [(c.name, c) for c in claims]


class _Guards:
    """What could have shown that a mode is lost, for every mode.

    A witness sees a mode when losing it would have moved the number that is known by more than four standard errors. Log Z and
    populations say that nothing is lost; they do not say that proposals are drawn from the log q that they come with. So a
    number that is not known itself rests on them only where the generator is known to be proper (`Findings.proper`).
    """

    def __init__(self, found: Findings, known: Knowledge) -> None:
        self.found, self.known = found, known
        self.by_mode = {name: list(self._witnesses(name)) for name in found.modes or {}}

    def _witnesses(self, name: str) -> Iterator[str]:
        assert self.found.modes is not None
        share, z = self.found.modes[name], self.known.log_Z
        p = min(max(share.value, 0.0), 1.0)
        shift = -math.log1p(-min(p, 1 - 1e-12))
        if z is not None and self.found.proper and shift > SIGMAS * _sigma(self.found.weights.log_Z_error, z):
            yield "log Z"
        population = self.known.populations.get(name)
        if population is not None and self._powerful(population.value):
            yield f"P({name})"
        if self.known.data_pass and name in self.known.reference_populations:
            yield "the reference data"
        for a, row in self.found.averages.items():
            value = _best(a, self.known)
            moved = _distance(self.found.without[a].get(name, math.nan), row.value, row.period)
            if value is not None and moved > SIGMAS * _sigma(row.error, value):
                yield f"<{a}>"

    def _powerful(self, p: float) -> bool:
        return min(p, 1 - p) * self.found.effective >= EXPECTED

    def negligible(self, name: str) -> bool:
        """Whether a mode is too rare for this many proposals to tell of it at all."""
        population = self.known.populations.get(name)
        p = self.found.modes[name].value if population is None else population.value  # type: ignore[index]
        return not p * self.found.effective >= EXPECTED

    @property
    def everywhere(self) -> str | None:
        """What would have shown the loss of any mode worth telling, None if nothing."""
        z = self.known.log_Z
        if z is not None and 1 - math.exp(-SIGMAS * _sigma(self.found.weights.log_Z_error, z)) < BLINDNESS:
            return "log Z agrees with its known value, so next to nothing is lost"
        if self.known.data_pass and self.found.forward is not None:
            return "the reference data passed their card, and the proposals reach their frames"
        seen = [name for name in self.by_mode if not self.negligible(name)]
        if len(seen) > 1 and all(self.by_mode[name] for name in seen):
            names = sorted({w for name in seen for w in self.by_mode[name]})
            return f"{', '.join(names)} would have shown a lost mode"
        return None


def _log_z(found: Findings, known: Knowledge, guards: _Guards) -> Claim:
    w, z = found.weights, known.log_Z
    if heavy := _heavy(w.tail, "the weights"):
        return Claim("log Z", "do not trust", heavy)
    if not math.isfinite(w.log_Z_error):
        return Claim("log Z", "unchecked", f"log Z has no honest error bar ({_no_bar(w.tail, found)}).")
    if z is not None:
        sigma = _sigma(w.log_Z_error, z)
        if not abs(w.log_Z - z.value) <= SIGMAS * sigma + ROUNDING:
            if scarce := _scarce(found, known):
                return Claim("log Z", "unchecked", scarce)
            where = "exact is" if z.source == "exact" else f"{z.source} gives"
            return Claim(
                "log Z", "do not trust", f"log Z is {w.log_Z:.4f} with error {w.log_Z_error:.4f}, {where} {z.value:.4f}."
            )
        if 1 - math.exp(-SIGMAS * sigma) >= BLINDNESS:
            return Claim("log Z", "unchecked", "log Z agrees with its known value, but its error would hide a lost mode.")
        return Claim("log Z", "trust", f"log Z agrees with its known value ({z.source}).")
    if found.density.defect is None:
        return Claim("log Z", "unchecked", "log Z is not claimed: nothing shows that log q is normalised.")
    witness = guards.everywhere
    if witness is None:
        return Claim("log Z", "unchecked", "log q is normalised, and nothing could have shown a lost mode.")
    return Claim("log Z", "trust", f"log q is the density of the base minus log|det| of the map, and {witness}.")


def _average(name: str, row: Average, found: Findings, known: Knowledge, guards: _Guards) -> Claim:
    label = f"<{name}>"
    if not math.isfinite(row.value):
        return Claim(label, "do not trust", f"{label} could not be reweighted.")
    if heavy := _heavy(row.tail, f"w |a - <a>| of {label}"):
        return Claim(label, "do not trust", heavy)
    if not math.isfinite(row.error):
        return Claim(label, "unchecked", f"{label} has no honest error bar ({_no_bar(row.tail, found)}).")
    value = _best(name, known)
    if value is not None:
        sigma = _sigma(row.error, value)
        apart = _distance(row.value, value.value, row.period)
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


def _populations(found: Findings, known: Knowledge, guards: _Guards) -> Iterator[Claim]:
    if found.modes is None:
        return
    words: dict[str, Word] = {}
    first = next(iter(found.modes))
    for name, share in found.modes.items():
        claim = _population(name, found, known, guards)
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


def _population(name: str, found: Findings, known: Knowledge, guards: _Guards) -> Claim:
    assert found.modes is not None
    share, label = found.modes[name], f"P({name})"
    value = known.populations.get(name)
    if value is None and known.data_pass:
        value = known.reference_populations.get(name)
    if heavy := _heavy(share.inside, f"w |1 - p| of {label}"):
        return Claim(label, "do not trust", heavy)
    n = max(found.effective, 1e-12)
    if value is not None:
        p = value.value
        # What draws of p would scatter by, each of the weight seen in the mode: one that has seen a sample claims no certainty.
        drawn = math.hypot(math.sqrt(p * max(1 - p, 0.0) * max(1 / n, share.unit)), max(1 / n, share.unit))
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


def _why_unchecked(found: Findings, known: Knowledge) -> Iterator[str]:
    if found.effective < EFFECTIVE:
        yield f"{found.effective:.3g} effective samples of {found.n:.0f} cannot tell: draw more."
    blind = [c.name for _, c in _claims(found, known) if "cannot see a lost mode" in c.reason]
    if blind:
        yield f"what is known exactly ({', '.join(blind)}) cannot see a lost mode."
    if known.quality in ("not converged", "refuted"):
        yield f"the reference data are no witness, by their own card: {'; '.join(known.problems)}."
    yield BLIND


def _scarce(found: Findings, known: Knowledge) -> str | None:
    """The sentence on a mode that so few proposals cannot be expected to hold enough of, which moves every number."""
    for name, share in (found.modes or {}).items():
        p = known.populations.get(name)
        if p is not None and share.effective < FEWEST and not share.lost and p.value * found.effective >= 0.05:
            held = f"{share.effective:.2g} effective samples of {name}, whose probability is {p.value:.3g}"
            return f"{found.n:.0f} proposals cannot tell: they hold {held}."
    return None


def _heavy(t: Tail, what: str) -> str | None:
    """The sentence on a tail that is certainly heavy, and large enough to matter."""
    slack = 2 * max(0.0, t.error - SHARP) if t.share >= LARGE_SHARE else 2 * t.error
    if t.k > PARETO_K + slack and t.share > TAIL_SHARE:
        return f"k-hat of {what} is {t.k:.2f} (below {PARETO_K} is needed) in a tail that holds {t.share:.1%} of the sum."
    return None


def describe_tail(t: Tail) -> str:
    """Say what a k-hat means for its average: nothing where the tail is small.

    >>> describe_tail(Tail(0.94, 0.1, 0.0005)), describe_tail(Tail(0.4, 0.1, 0.3))
    ('0.94, ignored: its tail holds 0.05 % of the sum', '0.40')
    """
    if math.isnan(t.k):
        return "-"
    text = f"{t.k:.2f}" if math.isfinite(t.k) else "no tail"
    if t.k > PARETO_K and t.share <= TAIL_SHARE:
        text += f", ignored: its tail holds {100 * t.share:.1g} % of the sum"
    return text


def _no_bar(t: Tail, found: Findings) -> str:
    if not t.k <= 0.5 and t.share > TAIL_SHARE:
        return f"k-hat {t.k:.2f}"
    return f"{found.effective:.3g} effective samples"


def _best(name: str, known: Knowledge) -> Value | None:
    """What an average is held against: its exact value, else data that passed their card."""
    value = known.exact.get(name)
    if value is None and known.data_pass:
        value = known.reference.get(name)
    return value if value is not None and math.isfinite(value.error) else None


def _sigma(error: float, value: Value) -> float:
    return math.hypot(error, value.error)


def _distance(a: float, b: float, period: float | None) -> float:
    apart = abs(a - b)
    if period is not None and math.isfinite(apart):
        apart = apart % period
        apart = min(apart, period - apart)
    return apart


def _differs_at_starts(name: str, row: Average, value: Value, known: Knowledge) -> bool:
    starts = known.starts.get(name)
    return starts is not None and (starts.max() - starts.min()).item() / len(starts) > SIGMAS * _sigma(row.error, value)
