"""Doubts that keep a number from being trusted without contradicting it: too few walkers, populations or crossings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import singledispatch

from lit_bg.diagnostics.chains import CROSSINGS, ChainFindings
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.populations import PopulationFindings
from lit_bg.report.faults import EFFECTIVE

AGREE = 1.01  # R-hat of walkers that agree
POPULATIONS = 8  # whose scatter is an error bar
INDEPENDENT = 2.0  # frames per independent frame, up to which frames of one walker are draws and not a walk


def doubt(found: Findings, claim: str) -> str | None:
    """Return the first thing that keeps this claim from being trusted, None if nothing does."""
    return next(itertools.chain(found.doubts, doubts(found, claim)), None)


@singledispatch
def doubts(found: Findings, claim: str) -> Iterator[str]:
    """Name what keeps a claim from being trusted, one sentence each; by what the samples are.

    Args:
        found: in the samples.
        claim: its name, such as "<a>", "P(left)" or "log Z".
    """
    yield from ()


@doubts.register
def _of_chains(found: ChainFindings, claim: str) -> Iterator[str]:
    walking = found.n > INDEPENDENT * found.effective
    if found.walkers < 2 and walking:
        yield "a single walker cannot disagree with another: start several, in different modes."
    if found.effective < EFFECTIVE:
        yield f"{found.effective:.3g} effective samples of {found.n:.0f} frames cannot tell (at least {EFFECTIVE} are needed)."
    for name, share in (found.modes or {}).items():
        if found.entries[name] < CROSSINGS and share.value < 1 and not found.scarce(name) and walking:
            yield (
                f"walkers entered {name} {found.entries[name]} times from another mode (at least {CROSSINGS} are needed): run "
                "longer."
            )
    for name in dict.fromkeys(("u", claim)):
        mixing = found.mixing.get(name)
        if mixing is not None and mixing.r_hat > AGREE:
            yield f"R-hat of {name} is {mixing.r_hat:.4g} (below {AGREE} is needed): run longer."


@doubts.register
def _of_populations(found: PopulationFindings, claim: str) -> Iterator[str]:
    if found.populations < POPULATIONS:
        yield f"{found.populations} populations cannot tell whether they agree (at least {POPULATIONS} are needed)."
    if found.ancestors < EFFECTIVE:
        yield f"{found.ancestors} distinct ancestors in all cannot tell (at least {EFFECTIVE} are needed)."
