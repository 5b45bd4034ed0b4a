"""Checks of what a file says of its samples, against their energies and against itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

OFF = (0.1, 1e-4)  # [kT], and relative, by which an energy may differ: single precision, another summation
UNEQUAL = (2e-3, 1e-4)  # the same of log weights in the file and -u - log q
FEWEST_EQUAL = 5  # largest weights that are one number,
TIMES = 5  # and so many times as many as of any number among the next
NEXT = 50  # largest values


class OtherEnergy(NamedTuple):
    """Says how the energies of a file differ from those of the system.

    Attributes:
        n: configurations whose energy differs.
        off: median difference [kT].
        sentence: what that looks like.
        constant: whether it is the same number everywhere, which moves no average.
    """

    n: int
    off: float
    sentence: str
    constant: bool


def compare_given_energies(given: Float[Tensor, "n"], u: Float[Tensor, "n"], kT: float) -> OtherEnergy | None:
    """Compare energies of a file with those of the system; None where they agree.

    Args:
        given, u: (n,) [kT], of the file and of the system; only what is finite in both is compared.
        kT: of the system.
    """
    both = torch.isfinite(given) & torch.isfinite(u)
    a, b = given[both].double(), u[both].double()
    difference = a - b
    wrong = difference.abs() > OFF[0] + OFF[1] * b.abs()
    n = int(wrong.sum())
    if n == 0:
        return None
    off = difference.median().item()
    start = f"u in the file is not that of the energy for {n} of {len(b)} configurations: "
    constant = bool(((difference - off).abs() <= OFF[0] + OFF[1] * b.abs()).all())
    if constant:
        return OtherEnergy(n, off, f"{start}it differs by a constant, {off:+.4g} kT.", True)
    ratio = (a @ b / (b @ b)).item()
    if ratio > 0 and bool(((a - ratio * b).abs() <= OFF[0] + 1e-3 * a.abs()).all()):
        other = f"it is that of kT = {kT / ratio:.5g}, and the energy has {kT:.5g}."
        return OtherEnergy(n, off, start + other, False)
    return OtherEnergy(
        n, off, f"{start}they are {off:+.3g} kT apart in the median (another force field, or other samples).", False
    )


def find_clipped_weights(log_w: Float[Tensor, "n"]) -> str | None:
    """Say that the largest weights are one number, as clipping leaves them; return None where they are not.

    That is five or more of them, and five times as many as there are of any number among the fifty next.

    Args:
        log_w: (n,).

    >>> w = torch.linspace(0, 1, 100, dtype=torch.float64)
    >>> find_clipped_weights(w), find_clipped_weights(torch.zeros(100))
    (None, None)
    >>> find_clipped_weights(w.clamp_max(0.9))
    'the 10 largest of 100 weights are equal: they were clipped, and averages are biased.'
    """
    finite = log_w[torch.isfinite(log_w)].double()
    if len(finite) == 0:
        return None
    values, counts = torch.unique(finite, return_counts=True)
    if len(values) < 2:
        return None
    top, others = int(counts[-1]), counts[:-1][-NEXT:].max()
    if top < FEWEST_EQUAL or top < TIMES * int(others):
        return None
    return f"the {top} largest of {len(log_w)} weights are equal: they were clipped, and averages are biased."


def compare_given_weights(log_w: Float[Tensor, "n"], log_q: Float[Tensor, "n"], u: Float[Tensor, "n"]) -> Iterator[str]:
    """Say that weights of a file are not exp(-u - log q), up to a constant factor.

    Args:
        log_w, log_q, u: (n,), all of the file.
    """
    own = -u.double() - log_q.double()
    both = torch.isfinite(log_w) & torch.isfinite(own)
    if not both.any():
        return
    difference = log_w[both].double() - own[both]
    difference = difference - difference.median()
    size = u[both].abs() + log_q[both].abs()
    wrong = difference.abs() > UNEQUAL[0] + UNEQUAL[1] * size
    n = int(wrong.sum()) + int((torch.isneginf(log_w) & torch.isfinite(own)).sum())
    if n:
        worst = difference.abs().max().item() if wrong.any() else math.inf
        yield (
            f"log_w in the file is not -u - log q for {n} of {len(log_w)} samples, by up to {worst:.3g} nats: the weights were "
            "changed (clipped, say)."
        )
