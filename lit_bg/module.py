"""The LightningModule that ties an energy, a generator and a loss together."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from lit_bg.data.module import Data
from lit_bg.energies.base import Energy
from lit_bg.energies.trial import try_energy
from lit_bg.evaluate import evaluate
from lit_bg.generators.base import Generator
from lit_bg.identity import compare, identify
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.drought import Drought, NothingFinite
from lit_bg.metrics import Pool
from lit_bg.optimizer_trial import try_optimizer
from lit_bg.report.record import Record
from lit_bg.rng import Place, stream
from lit_bg.samples import Evaluation


class BoltzmannGenerator(LightningModule):
    """Trains a generator on an energy, and hands weighted samples to whoever watches.

    `validation_step` and `test_step` draw proposals with the averaged weights (where `EMA` keeps some),
    evaluate the energy once and return an `Evaluation`; the callbacks turn it into numbers.

    Every draw comes from a stream addressed by (seed, stage, rank, step), so ranks differ and a resumed
    run continues as if it had never stopped.

    Args:
        energy: the system.
        generator: how to propose; built for the energy here.
        loss: how the proposal learns.
        optimizer: a class with its arguments; applied to the generator's parameters.
        lr_scheduler: optional, stepped every training step.
        seed: of all random draws.

    Raises:
        ValueError: energy, generator and loss do not fit together.
    """

    def __init__(
        self,
        energy: Energy,
        generator: Generator,
        loss: Loss,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        try_energy(energy)
        self.energy = energy
        self.generator = generator.build(energy)
        self.averaged: Generator | None = None  # set by the EMA callback
        self.optimizer_from = optimizer
        self.lr_scheduler_from = lr_scheduler
        self.seed = seed
        self.loaded_step: int | None = None  # of the checkpoint read last
        self.drought = Drought()
        self._size = 1  # proposals of the present step
        self._pool: Pool | None = None  # of the evaluation that is under way,
        self._record: Record | None = None  # and of the one that has ended
        if self.generator.context != len(energy.conditions):
            known = ", ".join(map(str, energy.conditions))
            raise ValueError(
                f"{type(energy).__name__} has conditions ({known}) and {type(generator).__name__} does not follow them: use a "
                "CouplingFlow or a ContinuousFlow, or the energy at one temperature."
            )
        self.loss = loss.build(self.generator, energy)
        self.check_optimizer()

    @property
    def proposer(self) -> Generator:
        """Return the generator that is judged, with averaged weights where there are some."""
        return self.generator if self.averaged is None else self.averaged

    @property
    def judged_step(self) -> int:
        """Return the training step of the state that is evaluated: in a test, of the checkpoint that it has read."""
        if self.trainer.testing and self.trainer.ckpt_path and self.loaded_step is not None:
            return self.loaded_step
        return self.trainer.fit_loop.epoch_loop.global_step

    @property
    def data(self) -> Data:
        """Return the datamodule, which says how much is drawn and holds the reference data."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, Data):
            raise ValueError("BoltzmannGenerator trains with lit_bg.data.Data: pass trainer.fit(model, datamodule=Data(...)).")
        return data

    def setup(self, stage: str) -> None:
        self.data.prepare(self.energy, needs_data=self.loss.needs_data)
        x = self.data.look(stream(self.seed, "look", device=self.device)) if stage == "fit" else None
        if x is not None:
            self.generator.adapt(x)
        if stage == "fit" and self.averaged is not None:
            self.averaged.load_state_dict(self.generator.state_dict())

    def check_optimizer(self, steps: int | None = None) -> None:
        """Refuse an optimizer or a schedule that cannot be meant, for training of so many steps.

        Raises:
            ValueError: which setting, and the way out.
        """
        length = {} if steps is None else {"steps": steps}
        try_optimizer(self.optimizer_from, self.lr_scheduler_from, self.generator.parameters(), **length)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_from(self.generator.parameters())
        if self.lr_scheduler_from is None:
            return optimizer
        scheduler = {"scheduler": self.lr_scheduler_from(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def rng(self, stage: str, step: int) -> torch.Generator:
        """Return the random stream of this rank at this step."""
        return stream(self.seed, stage, self.global_rank, step, self.device)

    def log(self, name: str, value: Any, *args: Any, **settings: Any) -> None:
        """Log as every LightningModule does; an average over an evaluation weighs batches by their proposals.

        Lightning infers the size of a batch from the batch, which here is its number. So whoever logs, such as a callback of a
        user, need not give `batch_size`.
        """
        if settings.get("batch_size") is None:
            settings["batch_size"] = self._size
        super().log(name, value, *args, **settings)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        self.loss.at_step(step)
        source = self.data.frames if self.loss.needs_data else None
        self._size = self.data.local_batch_size
        drawn = Batch(
            self.generator,
            self.energy,
            self._size,
            None if source is None else source.to(self.device),
            Place(self.seed, self.global_rank, step, self.device),
            differentiable=self.loss.follows_proposals,
            per_condition=self.loss.per_condition,
        )
        loss = self._learned(drawn, step)
        parts = {f"train/{name}": value for name, value in self.loss.parts().items()}
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log_dict({"train/loss": loss.detach(), "train/lr": rate, **parts}, prog_bar=False, sync_dist=True)
        self.log("train/energy_calls", float(self.energy.n_values), sync_dist=True, reduce_fx="sum")
        return loss

    def _learned(self, drawn: Batch, step: int) -> Tensor:
        """Return the loss of a batch: zero where no proposal of this rank has a finite energy and luck may mend it.

        Raises:
            FloatingPointError: on all ranks together, an energy of -inf on one, or no finite energy on any.
        """
        problem: FloatingPointError | None = None
        try:
            loss = self.loss(drawn)
        except FloatingPointError as error:
            problem = error
            # Nothing is learned, by every parameter, so that all ranks reduce the same gradients.
            loss = 0.0 * torch.stack([p.sum() for p in self.generator.parameters()]).sum()
        before = self.drought.finite > 0
        dry, finite = isinstance(problem, NothingFinite), drawn.proposals.n_finite
        if dry or finite is not None:
            self.drought.note(drawn.size, finite or 0)
        wrong, hopeless = problem is not None and not dry, dry and self.drought.hopeless
        ranks = self.trainer.world_size
        if ranks > 1:
            count = torch.tensor([wrong, hopeless], device=self.device, dtype=torch.float32)
            n_wrong, n_hopeless = self.trainer.strategy.reduce(count, reduce_op="sum").tolist()
            wrong, hopeless = n_wrong > 0, n_hopeless == ranks
        if wrong or hopeless:
            text = str(problem or "another process has met an energy of -inf.")
            if hopeless and before and "diverged" not in text:
                text += " Earlier batches had some: if training has diverged, lower the learning rate or clip gradients."
            raise FloatingPointError(f"stopped at step {step}: {text}")
        return loss

    def _evaluate(self, stage: str, n: int, index: int, of: int) -> Evaluation:
        # Stream (stage, rank, step): a fresh one for every batch of every evaluation.
        rng, held = self.rng(stage, self.global_step * of + index), self.data.reference(stage, index, self.device)
        self._size = max(n, 1)
        if index == 0:
            self._record = None
            self._pool = Pool(self.energy, next(self.generator.parameters()).dtype, self.device, self.global_rank)
        assert self._pool is not None  # batches are counted from 0
        evaluation = evaluate(self.proposer, self.energy, n, rng, held, twice=index == 0)
        self._pool.add(evaluation)
        reference = evaluation.reference
        if reference is not None:
            self.log(f"{stage}/nll", -reference.log_q.mean(), sync_dist=True, batch_size=len(reference.x), on_epoch=True)
        return evaluation

    def validation_step(self, batch: int, batch_idx: int) -> Evaluation:  # type: ignore[override]
        sizes = self.data.chunks("val")
        return self._evaluate("val", sizes[batch_idx], batch_idx, len(sizes))

    def test_step(self, batch: int, batch_idx: int) -> Evaluation:  # type: ignore[override]
        sizes = self.data.chunks("test")
        return self._evaluate("test", sizes[batch_idx], batch_idx, len(sizes))

    @property
    def record(self) -> Record:
        """Return the evaluation that has just ended, over all batches and ranks, and what observers have found in it so far.

        It is pooled when the first observer asks, which is a collective call: all ranks ask.

        Raises:
            RuntimeError: there was no evaluation.
        """
        if self._record is None:
            if self._pool is None:
                raise RuntimeError("there is no evaluation to look at: run a validation or a test first.")
            held = self.data.held
            self._record = Record(self._pool.compute(None if held is None else held.x), self.energy_calls())
            self._pool = None  # of the device
        return self._record

    def energy_calls(self) -> int:
        """Return the number of energies evaluated so far, over all ranks; this is a collective call."""
        calls = torch.tensor(self.energy.n_values, device=self.device, dtype=torch.int64)
        return int(self.trainer.strategy.reduce(calls, reduce_op="sum"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model"] = describe_model(self)
        checkpoint["target"] = identify(self.energy)
        checkpoint["sources"] = self.data.save_sources()

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.check_checkpoint(checkpoint)
        if self.trainer.training:  # the best state, which a test reads, says nothing of how training goes on
            self.data.load_sources(checkpoint.get("sources", {}))
        self.loaded_step = int(checkpoint["global_step"])

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of another configuration.

        Raises:
            ValueError: energy or generator differ, or the files or arguments that the energy was built from.
        """
        mine, theirs = describe_model(self), checkpoint.get("model", {})
        for part in mine:
            if theirs.get(part) != mine[part]:
                raise ValueError(
                    f"the checkpoint holds another {part} ({theirs.get(part)}) than this run ({mine[part]}): resume with the "
                    "config.yaml of the checkpoint's run folder, or start afresh without --ckpt_path."
                )
        name, found = type(self.energy).__name__, compare(identify(self.energy), checkpoint.get("target"))
        if found.difference is not None:
            raise ValueError(
                f"the checkpoint is of a {name} with {found.difference}: resume with the config.yaml of the checkpoint's run "
                "folder and the files that it names as they were, or start afresh without --ckpt_path."
            )
        if found.unknown:
            warnings.warn(
                f"the checkpoint does not say all that tells one {name} from another ({found.doubt}); class, shape, "
                "temperature and whatever else it says agree.",
                stacklevel=2,
            )


def describe_model(module: BoltzmannGenerator) -> dict[str, str]:
    """Describe what a checkpoint must agree on: class and shape of the energy, class and parameter shapes of the generator."""
    shapes = [f"{name}{tuple(p.shape)}" for name, p in module.generator.named_parameters()]
    n = sum(p.numel() for p in module.generator.parameters())
    mark = zlib.crc32(" ".join(sorted(shapes)).encode())
    energy = module.energy
    of = f" of {type(energy.given()).__name__}, {', '.join(map(str, energy.conditions))}," if energy.conditions else ""
    return {
        "energy": f"{type(energy).__name__}{of} {energy.space.shape} at kT = {energy.kT:.6g}",
        "generator": f"{type(module.generator).__name__} of {n} parameters in {len(shapes)} tensors, layout {mark:08x}",
    }
