"""What speaks against a run as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge
from lit_bg.diagnostics.modes import SIGMAS

EFFECTIVE = 100  # effective samples below which error bars are guesses
POOR_ESS = 1 / 3  # of a generator whose few effective samples are its own fault; above it more draws are all it needs
RARE = 0.01  # fraction of proposals without a finite energy, or outside the region of the target
REPEATED = 1e-3  # fraction of proposals that repeat another
REPEATED_IN_1D = 0.05  # the same of single coordinates, of which chance makes some in float32
FORWARD = 0.2  # forward ESS below this fraction of the reverse ESS: the data hold what the proposals lack
UNPROPOSED = 0.01  # fraction of reference frames out of reach
ROUNDING = 1e-3  # [kT] of log Z: sums of float32 energies are no better
CONSISTENT = 0.02  # [nats] between log_prob(x) and the log q that came with x; float32 flows of 60 angles reach 0.005
CONSISTENT_SOLVER = 0.1  # the same where both go through a solver


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
    if repeated > (REPEATED_IN_1D if i.coordinates == 1 else REPEATED) * i.drawn + 2:
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
