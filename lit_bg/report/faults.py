"""Faults that speak against samples as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch

from lit_bg.diagnostics.chains import ChainFindings
from lit_bg.diagnostics.energies import EnergyDistance
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.knowledge import Knowledge
from lit_bg.diagnostics.modes import SIGMAS
from lit_bg.diagnostics.populations import PopulationFindings
from lit_bg.diagnostics.proposals import Density, ProposalFindings
from lit_bg.diagnostics.virial import Virial

EFFECTIVE = 100  # effective samples below which error bars are guesses
POOR_ESS = 1 / 3  # of a generator whose few effective samples are its own fault; above it more draws are all it needs
RARE = 0.01  # fraction of proposals without a finite energy, or outside the region of the target
REPEATED = 1e-3  # fraction of proposals that repeat another
REPEATED_IN_1D = 0.05  # the same of single coordinates, of which chance makes some in float32
FORWARD = 0.2  # forward ESS below this fraction of the reverse ESS: the data hold what the proposals lack
UNPROPOSED = 0.01  # fraction of reference frames out of reach
APART = 1.1  # R-hat of walkers that have not seen the same distribution
FEWEST_FRAMES = 4  # per walker, from which there is an R-hat
VIRIAL = 0.01  # fraction of the virial that a finite time step may cost
POOR_WORTH = 0.5  # of the populations, by their estimates of Z: half of them is a scatter of one between them
ROUNDING = 1e-3  # [kT] of log Z: sums of float32 energies are no better
CONSISTENT = 0.02  # [nats] between log_prob(x) and the log q that came with x; float32 flows of 60 angles reach 0.005
CONSISTENT_SOLVER = 0.1  # the same where both go through a solver


@singledispatch
def find_faults(found: Findings, known: Knowledge) -> Iterator[str]:
    """Name what speaks against the samples as a whole, one sentence each; by what they are."""
    raise NotImplementedError(f"nothing is known of what could speak against {type(found).__name__}.")


@find_faults.register
def _of_proposals(found: ProposalFindings, known: Knowledge) -> Iterator[str]:
    yield from _misplaced(found, found.independence.distinct, "the generator must (FoldedFlow, or internal coordinates)")
    yield from _few(found)
    yield from _dependent(found)
    yield from _wrong_density(found.density)
    if found.lost:
        yield f"the generator has lost mode{'s' * (len(found.lost) > 1)} {', '.join(found.lost)}."
    yield from _forward_against_reverse(found, known)


@find_faults.register
def _of_chains(found: ChainFindings, known: Knowledge) -> Iterator[str]:
    yield from _misplaced(found, round(found.n), "their start must")
    limit = REPEATED_IN_1D if found.coordinates == 1 else REPEATED
    if found.repeated > limit * found.n + 2:
        yield f"{found.repeated} of {found.n:.0f} frames repeat another one that is not the one before (duplicates)."
    still = found.mixing["u"]
    if math.isnan(still.r_hat) and found.frames >= FEWEST_FRAMES:
        yield "no walker ever moves: all frames have one energy."
    apart = {name: m.r_hat for name, m in found.mixing.items() if m.r_hat > APART}
    if apart:
        worst = max(apart, key=lambda name: apart[name])
        yield (
            f"the walkers have not seen one distribution: R-hat is {apart[worst]:.3g} for {worst} (above {APART} for "
            f"{len(apart)} of {len(found.mixing)} series)."
        )
    yield from accuse_virial(found.virial)
    yield from accuse_energies(found.energies, known)
    if found.lost:
        yield f"no walker has found mode{'s' * (len(found.lost) > 1)} {', '.join(found.lost)}, or hardly any."


@find_faults.register
def _of_populations(found: PopulationFindings, known: Knowledge) -> Iterator[str]:
    yield from _misplaced(found, round(found.n), "the first generation must")
    if found.ess * found.n < EFFECTIVE and found.ess < POOR_ESS:
        yield (
            f"the weights have collapsed: {found.ess * found.n:.3g} effective particles of {found.n:.0f} (at least {EFFECTIVE} "
            "are needed)."
        )
    elif found.worth < POOR_WORTH * found.populations:
        yield (
            f"the weight is in few populations: by their estimates of Z the {found.populations} are worth {found.worth:.1f}."
        )
    if found.ancestors < EFFECTIVE and found.ancestors < POOR_ESS * found.n:
        yield (
            f"all particles descend from {found.ancestors} ancestors of {found.n:.0f} (at least {EFFECTIVE} are needed): "
            "resample more rarely, or take more steps or particles."
        )
    if found.copies:
        yield f"{found.copies} of {found.populations} populations are copies of another one."
    if found.split:
        yield (
            f"the populations do not agree on {', '.join(found.split)}: they differ by more than four standard errors of their "
            "families."
        )
    yield from _wrong_density(found.density)
    if found.lost:
        yield f"the populations have lost mode{'s' * (len(found.lost) > 1)} {', '.join(found.lost)}."


def _few(found: ProposalFindings) -> Iterator[str]:
    n = found.n
    if found.effective < EFFECTIVE and found.weights.ess < POOR_ESS:
        yield f"only {found.effective:.3g} effective samples out of {n:.0f} (at least {EFFECTIVE} are needed)."


def _dependent(found: ProposalFindings) -> Iterator[str]:
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


def accuse_virial(v: Virial | None) -> Iterator[str]:
    """Say what is wrong with a virial that is not that of equilibrium, by more than a finite time step costs."""
    if v is not None and abs(v.value - v.exact) > max(SIGMAS * v.error, VIRIAL * v.exact):
        hot = " (hotter than the energy says, or stretched)" if v.value > v.exact else " (colder than the energy says)"
        yield (
            f"the virial is {v.value:.4g} with error {v.error:.2g} kT, and {v.exact:.0f} in equilibrium: a wrong temperature"
            f"{hot}, another energy, other units, or no equilibrium."
        )


def accuse_energies(e: EnergyDistance | None, known: Knowledge) -> Iterator[str]:
    """Say that energies are not those of reference data that passed their card."""
    if e is None or not known.data_pass:
        return
    sigma = math.hypot(e.error, e.reference_error)
    if abs(e.mean - e.reference) > SIGMAS * sigma + ROUNDING:
        yield (
            f"<u> is {e.mean:.5g} kT and {e.reference:.5g} in the reference data, {abs(e.mean - e.reference) / sigma:.1f} "
            f"standard errors apart (W1 of energies {e.distance:.3g}, noise floor {e.floor:.3g} kT)."
        )


def _misplaced(found: Findings, n: int, way_out: str) -> Iterator[str]:
    slack = RARE * n + 3 * math.sqrt(RARE * n)
    if found.n_nonfinite > slack:
        yield f"{found.n_nonfinite} of {n} {found.what} have no finite energy or density."
    if found.n_outside > slack:
        where = "outside the region that the target covers (mirror images, of a molecule)"
        yield f"{found.n_outside} of {n} {found.what} lie {where}: the energy cannot tell them apart, so {way_out}."


def _wrong_density(d: Density) -> Iterator[str]:
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


def _forward_against_reverse(found: ProposalFindings, known: Knowledge) -> Iterator[str]:
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
