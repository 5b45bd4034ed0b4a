"""What diagnostics are tried on: one evaluation of an untrained generator, watched, sound or spoiled."""

from __future__ import annotations

import copy
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.observer import Observer
from lit_bg.data.module import Data
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses import Batch, Loss
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.record import Record


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
