"""The law of identity: what tells a system from others, so that nothing of one is taken for that of another."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from lit_bg.energies.base import Energy
from lit_bg.identity import compare, identify
from lit_bg.testing.law import DoesNotApply, Law, require, require_close
from lit_bg.testing.potentials import EnergyCase, at_another_temperature

STEP = 1.25  # factor of a parameter that is changed


def know_themselves(case: EnergyCase) -> None:
    """Require that copies, views at other temperatures and what is built again are one target, another parameter another.

    What is built again has the same energies, so that nothing that counts is missing from the identity.
    """
    energy, name = case.energy, case.name
    node = identify(energy)
    require(json.loads(json.dumps(node)) == node, f"identify({name}) is not what JSON holds: give `spell` plain data")
    unknown = compare(node, node).unknown
    require(
        not unknown,
        f"nobody can tell what {name} was built from ({'; '.join(unknown)}): give functions that can be imported by their "
        "name, and numbers, text, arrays, modules of torch, dataclasses or energies otherwise",
    )
    same = {"a view at another temperature": at_another_temperature(energy, 1.5)}
    with suppress(Exception):  # the law of copies says so
        same["a deep copy"] = copy.deepcopy(energy)
    for what, other in same.items():
        _require_one(f"{what} of {name}", energy, other)
    again = _build(energy, {})
    _require_one(f"{name} built again from {_shown(energy)}", energy, again)
    x = case.configurations(4)
    u = again.at(energy.kT)(x)
    why = ": what it holds besides, such as random numbers, must be an argument"
    require_close(f"u of {name} built again from {_shown(energy)}", u, energy(x), 1e-7, 1e-7, why)
    for parameter, other in _others(energy, again):
        _tell_apart(case, parameter, again, other)


def _require_one(what: str, energy: Energy, other: Energy) -> None:
    difference = compare(identify(energy), identify(other)).difference
    require(difference is None, f"{what} is another target by its identity, for {difference}")


def _build(energy: Energy, changes: dict[str, Any]) -> Energy:
    """Return a system that is built anew from what its identity says, with other arguments where they are given.

    Raises:
        DoesNotApply: the identity holds digests or objects, or the constructor does not take plain data.
    """
    parameters = dict(identify(energy)["parameters"])
    for parameter in inspect.signature(type(energy).__init__).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            parameters |= parameters.pop(parameter.name, {})
    if objects := [name for name, value in parameters.items() if isinstance(value, dict)]:
        raise DoesNotApply(f"{type(energy).__name__} cannot be built again from plain data, for its {', '.join(objects)}")
    try:
        return type(energy)(**(parameters | changes))
    except Exception as error:
        raise DoesNotApply(
            f"{type(energy).__name__} cannot be built from plain data ({type(error).__name__}, {error})"
        ) from error


def _others(energy: Energy, again: Energy) -> Iterator[tuple[str, Energy]]:
    """Yield systems with one number changed, incidental ones too, as far as the constructor takes it."""
    for name, parameter in inspect.signature(type(energy).__init__).parameters.items():
        value = identify(energy)["parameters"].get(name, parameter.default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        try:
            yield name, _build(energy, {name: value * STEP if isinstance(value, float) and value else value + 1})
        except DoesNotApply:  # out of its range
            continue


def _tell_apart(case: EnergyCase, parameter: str, again: Energy, other: Energy) -> None:
    """Require that a system with one parameter changed is another target, if anything but its temperature is different."""
    name, difference = case.name, compare(identify(again), identify(other)).difference
    if other.space.shape != again.space.shape:
        require(difference is not None, f"{name} has another space for another {parameter}, and the same identity")
        return
    x = case.configurations(4)
    gap = (other.potential(x) - again.potential(x)).abs().max()
    moved = not bool(gap <= 1e-6 * (1 + again.potential(x).abs().max()))
    require(
        difference is not None or not moved,
        f"another {parameter} changes the potential of {name} by up to {gap:.3g} {again.unit} and not its identity: take it "
        "out of `incidental`, or write it in `spell`",
    )
    require(
        difference is None or moved or other.kT == again.kT,
        f"another {parameter} changes nothing but kT of {name}, and its identity too: name it in `incidental`",
    )


def _shown(energy: Energy) -> str:
    text = ", ".join(f"{name}={value}" for name, value in identify(energy)["parameters"].items())
    return f"({text if len(text) < 60 else text[:57] + '...'})"


IDENTITY_LAWS: dict[str, Law[EnergyCase]] = {"identity": know_themselves}
