"""Laws of diagnostics, the observers of a run, and the function that runs all of them."""

from __future__ import annotations

import copy
import math
import pickle
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.observer import Observer
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow
from lit_bg.generators.base import Generator
from lit_bg.testing.law import Checked, Law, require, run_laws, same
from lit_bg.testing.observing import SPOILS, DiagnosticCase

STAGES = ("val", "test")


def find_numbers(case: DiagnosticCase, stage: str = "test", observer: Observer | None = None, **how: Any) -> dict[str, Any]:
    """Return what a fresh copy of the diagnostic, or a given one, logs and adds to the summary."""
    found = case.look([copy.deepcopy(case.observer) if observer is None else observer], stage, **how)
    return {**found.logged, **found.record.more}


def leave_the_evaluation(case: DiagnosticCase) -> None:
    """Require that a diagnostic changes neither proposals nor findings of others, and draws nothing from the global stream."""
    spy = case.look([copy.deepcopy(case.observer)]).spy
    for name, one, other in zip(("x", "log_q", "u"), *spy.tensors, strict=True):
        require(same(one, other), f"{case.name} changes '{name}' of the evaluation in place: others look at it after you")
    if not isinstance(case.observer, Diagnose):
        one, other = spy.judgements
        require(one is other, f"{case.name} replaces what Diagnose has found: put yours into record.more")
    require(
        torch.equal(*spy.states),
        f"{case.name} draws from the global random numbers, which changes what comes after: use lit_bg.rng.stream",
    )


def pay_nothing(case: DiagnosticCase) -> None:
    """Require that a diagnostic evaluates no energy: the evaluation has them, and its bill is what the summary says."""
    with_it, without = case.look([copy.deepcopy(case.observer)]).energies, case.look([]).energies
    require(
        with_it == without,
        f"{case.name} evaluates {with_it - without} energies beside the {without} of the evaluation: take u from its proposals",
    )


def be_the_same_again(case: DiagnosticCase) -> None:
    """Require equal numbers of equal evaluations, whatever was seen before: nothing is added up over evaluations."""
    first = find_numbers(case)
    seasoned = copy.deepcopy(case.observer)
    find_numbers(case, observer=seasoned, n=case.n + 2, seed=1)
    require_equal(
        first, find_numbers(case, observer=seasoned), f"{case.name} depends on an earlier evaluation: forget it in begin()"
    )


def name_what_it_logs(case: DiagnosticCase) -> None:
    """Require that what is logged is named `<stage>/...` and is a number: what is not known is not logged."""
    for stage in STAGES:
        others = case.look([], stage).logged if not isinstance(case.observer, Diagnose) else {}
        logged = case.look([copy.deepcopy(case.observer)], stage).logged
        for name, value in logged.items():
            if name in others:
                continue
            require(
                name.startswith(f"{stage}/"),
                f"{case.name} logs '{name}' in stage '{stage}': name it f\"{{stage}}/...\", since both are logged",
            )
            require(not math.isnan(value), f"{case.name} logs '{name}' as NaN: leave out what is not known")
        lost = {name for name, value in others.items() if not same_number(value, logged.get(name))}
        require(not lost, f"{case.name} changes what others log: {', '.join(sorted(lost))}")


def fit_the_summary(case: DiagnosticCase) -> None:
    """Require that what is added to `record.more` goes into summary.json, under keys of its own, and comes back."""
    record = case.look([copy.deepcopy(case.observer)]).record
    try:
        summary = record.summarise("energy", "generator", 1, 1, 1.0)
        back = type(summary).from_json(summary.to_json())
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"what {case.name} adds to record.more does not go into summary.json ({error}): add plain numbers, strings, lists "
            "and dictionaries, under keys of your own"
        ) from error
    require_equal(record.more, back.more, f"what {case.name} adds to record.more does not come back from summary.json")


def bear_poor_proposals(case: DiagnosticCase) -> None:
    """Require that proposals without a finite energy, a few or all, stop no training; their numbers can be written."""
    for spoil in SPOILS:
        try:
            record = case.look([copy.deepcopy(case.observer)], spoil=spoil).record
            record.summarise("energy", "generator", 1, 1, 1.0).to_json()
        except Exception as error:
            raise AssertionError(
                f"{case.name} fails where {spoil} ({type(error).__name__}: {error}): training goes through such proposals; "
                "look at those that are finite, and say nothing where there are none"
            ) from error


def live_in_checkpoints(case: DiagnosticCase) -> None:
    """Require that its state goes through a checkpoint and a copy through pickle, and that both go on alike."""
    seasoned = copy.deepcopy(case.observer)
    find_numbers(case, observer=seasoned, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.ckpt"
        try:
            torch.save(seasoned.state_dict(), path)
            state = torch.load(path, weights_only=True)
        except Exception as error:
            raise AssertionError(
                f"the state of {case.name} does not go through a checkpoint ({error}): keep numbers, strings and tensors in it"
            ) from error
    resumed = copy.deepcopy(case.observer)
    resumed.load_state_dict(state)
    require_equal(
        find_numbers(case, observer=seasoned),
        find_numbers(case, observer=resumed),
        f"{case.name} goes on differently after a resume: keep in state_dict() all that its future depends on",
    )
    try:
        copied = pickle.loads(pickle.dumps(case.observer))
    except Exception as error:
        raise AssertionError(
            f"{case.name} cannot be pickled ({error}), and runs on several processes pickle it: keep no open files or local "
            "functions"
        ) from error
    require_equal(find_numbers(case), find_numbers(case, observer=copied), f"a pickled copy of {case.name} finds other numbers")


def require_equal(first: dict[str, Any], second: dict[str, Any], sentence: str) -> None:
    """Require equal keys and values, NaN included, at any depth."""
    for key in first.keys() | second.keys():
        one, other = first.get(key), second.get(key)
        require(key in first and key in second and same_value(one, other), f"{sentence} ('{key}' is {one} and then {other})")


def same_value(one: Any, other: Any) -> bool:
    """Say whether two plain values are equal, NaN included; a tuple is a list."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same_value, one, other))
    return same_number(one, other)


def same_number(one: Any, other: Any) -> bool:
    """Say whether two values are equal, NaN included."""
    return bool(one == other or (one != one and other != other))


DIAGNOSTIC_LAWS: dict[str, Law[DiagnosticCase]] = {
    "evaluation": leave_the_evaluation,
    "bill": pay_nothing,
    "again": be_the_same_again,
    "names": name_what_it_logs,
    "summary": fit_the_summary,
    "poor proposals": bear_poor_proposals,
    "checkpoint": live_in_checkpoints,
}


def check_diagnostic(
    observer: Observer,
    energy: Energy | None = None,
    generator: Generator | None = None,
    skip: Collection[str] = (),
    **how: Any,
) -> Checked:
    """Run every law of diagnostics on one observer and say all that it breaks.

    Args:
        observer: copies are tried, each in validations and tests of untrained proposals, beside a `Diagnose`.
        energy: the system; None: the double well in the plane.
        generator: that proposes, not built yet; None: a small coupling flow.
        skip: names of laws, keys of `DIAGNOSTIC_LAWS`, to leave out.
        how: further arguments of `DiagnosticCase`: data, n.

    Returns:
        the laws that held, and those that were skipped.

    Raises:
        AssertionError: laws that are broken, with what is wrong, the value and the limit, one sentence each.
        ValueError: the observer refuses the system, or a name in `skip` that no law has.

    >>> from lit_bg.callbacks import Diagnose
    >>> "poor proposals" in check_diagnostic(Diagnose()).held
    True
    """
    energy = DoubleWell() if energy is None else energy
    observer.check(energy)
    generator = CouplingFlow(blocks=1, hidden=(8,)) if generator is None else generator
    return run_laws(DIAGNOSTIC_LAWS, DiagnosticCase(observer, energy, generator, **how), type(observer).__name__, skip)
