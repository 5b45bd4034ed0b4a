"""The report of replica exchange: rates, round trips, and states between which nothing is exchanged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Numbers
from lit_bg.kernels.replicas import group
from lit_bg.kernels.units import in_kelvin, to_kT

FEWEST_EXCHANGES = 0.05  # a pair of neighbours that exchanges less often parts the states in two


def rates_of(measured: Mapping[str, Tensor]) -> list[float]:
    """Return how often neighbours exchange, as a share of the attempts, R - 1 of them."""
    return (measured["exchanges"] / measured["attempts"].clamp_min(1)).tolist()


def summarise_exchange(
    states: Sequence[Energy], measured: Mapping[str, Tensor], duration: tuple[float, str] | None
) -> tuple[Numbers, list[str]]:
    """Return numbers for the data card, and what keeps replicas from mixing, in sentences.

    Args:
        states: the energies of all states, R of them.
        measured: sums over moves of `attempts` and `exchanges`, (R - 1,), `trips`, `moves` and `replica_moves`.
        duration: of a move, with its unit; None where no time passes.
    """
    rates, trips = rates_of(measured), int(measured["trips"])
    if len(set(group(states))) > 1:
        info: Numbers = {}
        pairs = [f"the states {r + 1} and {r + 2}" for r in range(len(rates))]
        way_out, ends = "put a state between them", ("first state", "last")
    else:
        temperatures = [energy.kT / to_kT(energy, 1.0) for energy in states]
        info, unit = {"temperatures": temperatures}, "K" if in_kelvin(states[0]) else "kT"
        pairs = [f"{a:.4g} and {b:.4g} {unit}" for a, b in itertools.pairwise(temperatures)]
        way_out, ends = "give more rungs or a lower max_temperature", ("lowest temperature", "highest")
    problems = [
        f"not converged: {pair} exchange in {100 * rate:.2g} % of the attempts, so {way_out}"
        for pair, rate in zip(pairs, rates, strict=True)
        if rate < FEWEST_EXCHANGES
    ]
    if trips == 0:
        problems.append(f"not converged: no replica went from the {ends[0]} to the {ends[1]} and back")
    return info | {"exchange": rates, "round_trips": trips} | _trips(states[0], measured, duration), problems


def _trips(energy: Energy, measured: Mapping[str, Tensor], duration: tuple[float, str] | None) -> Numbers:
    """Return round trips per replica, and per time of all replicas."""
    trips, moves, of_all = (float(measured[name]) for name in ("trips", "moves", "replica_moves"))
    found: Numbers = {"round_trips_per_replica": trips * moves / max(1.0, of_all)}
    if duration is None or not moves:
        return found
    per_time = trips / (of_all * duration[0])
    return found | ({"round_trips_per_ns": 1000 * per_time} if in_kelvin(energy) else {"round_trips_per_time": per_time})
