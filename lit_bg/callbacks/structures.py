"""Molecules to look at: what the generator finds lowest in energy, and what carries the averages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.wandb_run import log_media, wandb_run
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Evaluation, Samples


class Structures(Observer):
    """The structures of lowest energy and of highest weight in a test, for molecules; nothing for other systems.

    Writes structures/lowest_energy.pdb and structures/highest_weight.pdb in the run folder, best first, and
    shows the first of each in W&B.

    Args:
        n: structures of each kind.

    Raises:
        ValueError: `n` is not positive.
    """

    def __init__(self, n: int = 10) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(f"n structures are kept and must be at least 1, got {n}.")
        self.n = n
        self._best: dict[str, Samples] = {}  # of this rank
        self._wanted = False

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        self._best = {}
        self._wanted = stage == "test" and module.energy.given().structure is not None

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        if self._wanted:
            for kind in ("lowest_energy", "highest_weight"):
                held = [self._best[kind]] if kind in self._best else []
                self._best[kind] = self._first(kind, Samples.cat([*held, evaluation.proposals]))

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        if not self._wanted:
            return
        folder = trainer.log_dir  # a collective call
        best = {kind: self._over_ranks(kind, samples) for kind, samples in self._best.items()}
        self._best = {}
        if not trainer.is_global_zero:
            return
        from lit_bg.molecules import pdb_text, save_structures

        energy: Any = module.energy.given()
        media = {}
        for kind, samples in best.items():
            if len(samples.x) == 0:
                continue
            if folder is not None:
                save_structures(energy, samples.x, Path(folder) / "structures" / f"{kind}.pdb")
            if wandb_run(trainer) is not None:
                import wandb

                caption = f"u = {samples.u[0].item():.2f} kT, log w = {samples.log_w[0].item():.2f}"
                text = io.StringIO(pdb_text(energy, samples.x[0]))
                media[f"sample/{kind}"] = wandb.Molecule(text, caption=caption, file_type="pdb")
        log_media(trainer, media)

    def _first(self, kind: str, samples: Samples) -> Samples:
        """The n first of their kind, of those with finite energy."""
        value = -samples.u if kind == "lowest_energy" else samples.log_w
        value = torch.where(samples.finite, value, -torch.inf)
        top = value.topk(min(self.n, int(samples.finite.sum()))).indices
        return Samples(*(column[top] for column in samples))

    def _over_ranks(self, kind: str, samples: Samples) -> Samples:
        """The n first over all ranks; a collective call."""
        gathered = Gathered(**{name: column[:0] for name, column in samples._asdict().items()}).to(samples.x.device)
        gathered.update(**samples._asdict())
        return self._first(kind, Samples(**gathered.compute()))
