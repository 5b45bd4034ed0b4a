"""The datamodule: how much is drawn at each step, and the reference data where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_bg.data.dataset import Dataset
from lit_bg.data.memory import memory
from lit_bg.data.sources import ReferenceData, Source
from lit_bg.energies.base import Energy
from lit_bg.samples import Frames

LOOK = 10_000  # frames of a source that a generator takes its units from


@dataclass
class IndependentLogZ:
    """Holds a log partition function from elsewhere, which a run is compared with.

    Args:
        value: log Z in the reference measure of the system.
        error: its standard error; 0 if it is exact.
        source: where it comes from, for the report: "thermodynamic integration, 2025-03".

    Raises:
        ValueError: a value or error that is no number, or no source.
    """

    value: float
    error: float
    source: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not (math.isfinite(self.error) and self.error >= 0):
            raise ValueError(f"data.log_Z needs a finite value and an error of at least 0, got {self.value} +- {self.error}.")
        if not self.source.strip():
            raise ValueError("data.log_Z needs a source: say where the number comes from.")


class Data(LightningDataModule):
    """Holds the sizes of everything that is drawn, and the training and held-out parts of a data set.

    The data stay in memory and a step draws frames independently, with replacement, from the stream of
    its (seed, rank, step): no worker state, so a resumed run sees the same frames. The loaders only count steps.

    Args:
        path: reference data (npz of `lit_bg.simulate`, or a trajectory mdtraj reads); None: train without.
        batch_size: proposals, and frames, per training step, over all ranks.
        steps_per_epoch: training steps between two validations.
        val_samples: proposals per validation, over all ranks.
        test_samples: proposals of the final test, over all ranks.
        eval_batch_size: proposals in memory at a time while evaluating, per rank.
        held_out: fraction of walkers (or of the time, for few walkers) kept from training.
        force: use data that failed its own checks.
        log_Z: an independent log Z with its error and source, for systems whose exact one is not known.
        source: where training frames come from; by default the reference data, each frame as often as any other.

    Raises:
        ValueError: a size that is not positive, a loss that needs data without data, or data that do not fit.
    """

    def __init__(
        self,
        path: str | None = None,
        batch_size: int = 1024,
        steps_per_epoch: int = 100,
        val_samples: int = 10_000,
        test_samples: int = 100_000,
        eval_batch_size: int = 10_000,
        held_out: float = 0.1,
        force: bool = False,
        log_Z: IndependentLogZ | None = None,
        source: Source | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "val_samples": val_samples,
            "test_samples": test_samples,
            "eval_batch_size": eval_batch_size,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"data.{name} must be at least 1, got {size}.")
        if not 0 < held_out < 1:
            raise ValueError(f"data.held_out is a fraction between 0 and 1, got {held_out}.")
        self.path = path
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.sizes = {"val": val_samples, "test": test_samples}
        self.eval_batch_size = eval_batch_size
        self.held_out = held_out
        self.force = force
        self.log_Z = log_Z
        self.source = source
        self.dataset: Dataset | None = None  # all of it
        self.train: Dataset | None = None
        self.held: Dataset | None = None
        self._energy: Energy | None = None  # of `prepare`
        self._reference: ReferenceData | None = None

    def prepare(self, energy: Energy, needs_data: bool = False) -> None:
        """Read, check and split the data; call it before anything expensive, and more than once without harm."""
        if self.dataset is not None or self._energy is not None:
            return
        self._check_memory(energy)
        if self.source is not None:
            self.source.build(energy)
        if self.path is None:
            if needs_data and self.source is None:
                raise ValueError(
                    "the loss needs data and data.path is not set: make some with `python -m lit_bg.simulate -c <this yaml>` "
                    "after setting data.path, or train from the energy alone (ReverseKL)."
                )
        else:
            self.dataset = Dataset.load(self.path, energy.given(), force=self.force)
            self.train, self.held = self.dataset.split(self.held_out)
        if self.source is not None:
            self.source.take(self.train)
        self._energy = energy

    @property
    def frames(self) -> Source | None:
        """Return the source of training frames; None where there is none."""
        if self.source is not None or self.train is None:
            return self.source
        if self._reference is None:
            self._reference = ReferenceData(self.train, None if self._energy is None else self._energy.default_context)
        return self._reference

    def look(self, rng: torch.Generator) -> Tensor | None:
        """Return frames from which a generator takes location and scale, on the device of `rng`; None without any."""
        if self.source is not None:
            return self.source.to(rng.device).draw(LOOK, rng).x
        return None if self.train is None else self.train.x.to(rng.device)

    def save_sources(self) -> dict[str, Any]:
        """Return the state of the source of training frames, for a checkpoint."""
        return {} if self.frames is None else {"class": type(self.frames).__name__, "state": self.frames.state_dict()}

    def load_sources(self, saved: Mapping[str, Any]) -> None:
        """Restore the state that `save_sources` returned.

        Raises:
            ValueError: it is of another source, or of other data.
        """
        mine = self.save_sources()
        if not saved or not mine:
            return
        assert self.frames is not None
        if saved["class"] != mine["class"]:
            raise ValueError(
                f"the checkpoint was trained on frames of {saved['class']}, and this run has {mine['class']}: give the same "
                "data.source, or start afresh."
            )
        self.frames.load_state_dict(saved["state"])

    def _check_memory(self, energy: Energy) -> None:
        """Refuse sizes of which not even the configurations fit into the memory of this machine.

        A batch is held with its gradient and the evaluation of a batch at a time; what an evaluation has drawn is kept whole,
        with log q and u in double precision.
        """
        row = 4 * energy.space.dim
        needed = {
            "batch_size": 2 * row * self.batch_size,
            "val_samples": (row + 16) * self.sizes["val"],
            "test_samples": (row + 16) * self.sizes["test"],
        }
        for name, size in needed.items():
            if size > memory():
                n = self.batch_size if name == "batch_size" else self.sizes[name.removesuffix("_samples")]
                raise ValueError(
                    f"data.{name} = {n} configurations of {type(energy).__name__} take {size / 2**30:.3g} GiB and more, and "
                    f"this machine has {memory() / 2**30:.3g}: make it smaller."
                )

    @property
    def world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    @property
    def rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    def _share(self, n: int) -> int:
        """Return how many of n this rank does."""
        return n // self.world_size + (self.rank < n % self.world_size)

    @property
    def local_batch_size(self) -> int:
        return max(1, self._share(self.batch_size))

    def chunks(self, stage: str) -> list[int]:
        """Return sizes of this rank's evaluation batches, equally many on all ranks, so that collective calls match."""
        most = -(-self.sizes[stage] // self.world_size)
        n = -(-most // self.eval_batch_size)
        mine = self._share(self.sizes[stage])
        return [mine // n + (i < mine % n) for i in range(n)]

    def reference(self, stage: str, index: int, device: torch.device) -> Frames | None:
        """Return the held-out frames of evaluation batch `index` on this rank, spread evenly; at most as many as proposals."""
        if self.held is None:
            return None
        n = min(self.sizes[stage], len(self.held.x))
        pick = torch.linspace(0, len(self.held.x) - 1, n).long()
        pick = pick[self.rank :: self.world_size][index :: len(self.chunks(stage))]
        if len(pick) == 0:
            return None
        x, u, walker = (column[pick].to(device) for column in (self.held.x, self.held.u, self.held.walker))
        return Frames(x, u, pick.to(device), walker)

    def train_dataloader(self) -> DataLoader:
        return _counter(self.steps_per_epoch)

    def val_dataloader(self) -> DataLoader:
        return _counter(len(self.chunks("val")))

    def test_dataloader(self) -> DataLoader:
        return _counter(len(self.chunks("test")))


def _counter(n: int) -> DataLoader:
    """Return a loader of the numbers 0 to n - 1: a step itself draws what it works on."""
    return DataLoader(range(n), batch_size=None)  # type: ignore[arg-type]
