"""Temperatures between which replicas exchange, spaced for equal acceptance."""

from __future__ import annotations

import math
from collections.abc import Callable

MOST_RUNGS = 256


def expected_acceptance(beta_1: float, mean_1: float, beta_2: float, mean_2: float) -> float:
    r"""Return the mean acceptance between temperatures, $\mathrm{erfc}\, \frac12 \sqrt{(\beta_1 - \beta_2)(U_2 - U_1)}$.

    Exact when $(\beta_1 - \beta_2)(U_1 - U_2)$ is normal: detailed balance then ties its variance to its mean.

    Args:
        beta_1, beta_2: 1 / kT.
        mean_1, mean_2: mean potential energies, in the unit of kT.

    References:
        Kofke, J. Chem. Phys. 117, 6911 (2002), doi:10.1063/1.1507776.
        Rathore, Chopra, de Pablo, J. Chem. Phys. 122, 024111 (2005), doi:10.1063/1.1831273.
    """
    return math.erfc(0.5 * math.sqrt(max(0.0, (beta_1 - beta_2) * (mean_2 - mean_1))))


def equal_acceptance(
    lowest: float,
    highest: float,
    mean_energy: Callable[[float], float],
    rungs: int | None = None,
    target: float = 0.35,
) -> list[float]:
    """Return temperatures from the lowest to the highest between whose neighbours swaps are accepted equally often.

    Args:
        lowest, highest: kT.
        mean_energy: mean potential energy at kT, not falling with kT.
        rungs: how many temperatures; None: as few as give the target acceptance.
        target: acceptance wanted.

    Returns:
        kT, ascending.

    Raises:
        ValueError: the target would take more than 256 rungs.

    >>> [round(kT, 3) for kT in equal_acceptance(1.0, 4.0, lambda kT: 30 * kT, rungs=3)]  # harmonic: geometric
    [1.0, 2.0, 4.0]
    """

    def acceptance_of(low: float, high: float) -> float:
        return expected_acceptance(1 / low, mean_energy(low), 1 / high, mean_energy(high))

    def climb(acceptance: float, most: int) -> tuple[list[float], float]:
        """Return rungs as far apart as the acceptance allows, `most` of them, and the number of steps to the highest."""
        ladder = [lowest]
        while acceptance_of(ladder[-1], highest) < acceptance:
            if len(ladder) == most:
                return ladder, math.inf
            low, high = ladder[-1], highest
            for _ in range(50):
                middle = math.sqrt(low * high)
                low, high = (middle, high) if acceptance_of(ladder[-1], middle) >= acceptance else (low, middle)
            ladder.append(high)
        # the last, shorter step counts as a fraction
        return ladder, len(ladder) - 1 + math.log(acceptance_of(ladder[-1], highest)) / math.log(acceptance)

    if rungs is None:
        steps = climb(target, MOST_RUNGS)[1]
        if math.isinf(steps):
            raise ValueError(
                f"exchange with acceptance {target} between kT = {lowest:.4g} and {highest:.4g} takes more than "
                f"{MOST_RUNGS} rungs: give a lower max_temperature."
            )
        rungs = max(2, math.ceil(steps - 1e-6) + 1)
    low, high = 1e-12, 1 - 1e-9  # the acceptance that makes the last step as long as the others
    for _ in range(60):
        middle = math.sqrt(low * high) if high < 0.1 else 0.5 * (low + high)
        low, high = (middle, high) if climb(middle, rungs)[1] < rungs - 1 else (low, middle)
    ladder = climb(low, rungs)[0][: rungs - 1]
    while len(ladder) < rungs - 1:  # an energy that does not grow with temperature sets no distance
        ladder.append(math.sqrt(ladder[-1] * highest))
    return [*ladder, highest]


def with_rungs_at(ladder: list[float], wanted: list[float]) -> list[float]:
    """Return the ladder with its nearest inner rung moved to every wanted temperature within it; the ends stay.

    Raises:
        ValueError: a temperature outside the ladder, or more of them than inner rungs.

    >>> with_rungs_at([1.0, 1.5, 2.0, 3.0], [1.9])
    [1.0, 1.5, 1.9, 3.0]
    """
    ladder = list(ladder)
    free = set(range(1, len(ladder) - 1))
    for t in sorted(wanted):
        if any(math.isclose(t, end, rel_tol=1e-9) for end in ladder):
            free -= {i for i, rung in enumerate(ladder) if math.isclose(t, rung, rel_tol=1e-9)}
            continue
        if not ladder[0] < t < ladder[-1]:
            raise ValueError(f"{t:.6g} lies outside the ladder from {ladder[0]:.6g} to {ladder[-1]:.6g}.")
        if not free:
            raise ValueError(f"a ladder of {len(ladder)} rungs has no inner rung for {t:.6g}: give more rungs.")
        nearest = min(free, key=lambda i: abs(math.log(ladder[i] / t)))
        ladder[nearest] = t
        free.discard(nearest)
    return sorted(ladder)
