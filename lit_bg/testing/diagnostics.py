"""Laws of diagnostics, the observers of a run, and the function that runs all of them."""

from __future__ import annotations

import copy
import logging
import math
import pickle
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.observer import Observer
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow
from lit_bg.generators.base import Generator
from lit_bg.losses import Batch, Loss
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.record import Record
from lit_bg.testing.law import Checked, Law, require, run_laws, same

STAGES = ("val", "test")


@dataclass(frozen=True)
class DiagnosticCase:
    """Holds a diagnostic, and what it looks at.

    Args:
        observer: the diagnostic; copies are tried, each beside a `Diagnose`, whose findings it may take.
        energy: the system.
        generator: not built yet; its first, untrained proposals are looked at.
        data: reference data of the system, npz of `lit_bg.simulate`; None: without.
        n: proposals.
    """

    observer: Observer
    energy: Energy
    generator: Generator
    data: str | None = None
    n: int = 500

    @property
    def name(self) -> str:
        """Return what messages call the diagnostic."""
        return type(self.observer).__name__

    def look(self, observers: list[Observer], stage: str = "test", n: int = 0, spoil: str = "", seed: int = 0) -> Looked:
        """Return what observers make of one evaluation.

        Args:
            observers: as they are, no copies.
            stage: "val" or "test".
            n: proposals; 0: those of the case.
            spoil: what is wrong with proposals, a key of `SPOILS`; "": nothing.
            seed: of the generator and its proposals, and of the global random numbers.
        """
        n = n or self.n
        torch.manual_seed(seed)
        energy, generator = copy.deepcopy(self.energy), copy.deepcopy(self.generator)
        first = [] if any(isinstance(observer, Diagnose) for observer in observers) else [Diagnose()]
        module = Watched(energy, generator, Nothing(), torch.optim.Adam, seed=seed)
        module.spoil = spoil
        spy = Spy()
        with silence_lightning(), tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                accelerator="cpu",
                devices=1,
                logger=False,
                callbacks=[*first, spy.before, *observers, spy.after],
                default_root_dir=folder,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                use_distributed_sampler=False,
            )
            data = Data(self.data, val_samples=n, test_samples=n, eval_batch_size=math.ceil(n / 2))
            run = trainer.validate if stage == "val" else trainer.test
            run(module, data, verbose=False)
            logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        return Looked(module.record, logged, spy, energy.n_values)


class Looked(NamedTuple):
    """Holds what came of one evaluation."""

    record: Record
    logged: dict[str, float]
    spy: Spy
    energies: int


class Nothing(Loss):
    """Teaches nothing: evaluations alone are looked at."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.proposals.log_q.sum() * 0.0


class Watched(BoltzmannGenerator):
    """Spoils evaluations before anybody sees them."""

    spoil = ""

    @property
    def record(self) -> Record:
        fresh = self._record is None
        record = super().record
        if fresh and self.spoil:
            record.evaluation = SPOILS[self.spoil](record.evaluation)
        return record


def _lose_energies(evaluation: Any) -> Any:
    """Give every second proposal an infinite energy, and one a log q that is no number."""
    proposals = evaluation.proposals
    u, log_q = proposals.u.clone(), proposals.log_q.clone()
    u[::2], log_q[1] = math.inf, math.nan
    return evaluation._replace(proposals=proposals._replace(u=u, log_q=log_q))


def _lose_all(evaluation: Any) -> Any:
    """Give every proposal an infinite energy."""
    proposals = evaluation.proposals
    return evaluation._replace(proposals=proposals._replace(u=torch.full_like(proposals.u, math.inf)))


SPOILS = {
    "every second proposal has an infinite energy": _lose_energies,
    "every proposal has an infinite energy": _lose_all,
}


class Spy:
    """Keeps what an observer may not touch, by a callback before it and one after it."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []
        self.tensors: list[list[Tensor]] = []
        self.judgements: list[Any] = []
        self.before, self.after = _Post(self), _Post(self)

    def note(self, module: BoltzmannGenerator) -> None:
        """Keep the global random numbers, the proposals and what `Diagnose` has found."""
        proposals = module.record.evaluation.proposals
        self.states.append(torch.get_rng_state())
        self.tensors.append([part.clone() for part in proposals])
        self.judgements.append(module.record.judgement)


class _Post(Callback):
    """Stands in the row of observers and lets the spy look."""

    def __init__(self, spy: Spy) -> None:
        self.spy = spy

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.spy.note(pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.spy.note(pl_module)


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Keep what Lightning says about loaders and accelerators from the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


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
