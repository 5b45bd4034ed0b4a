"""Structures of molecules to look at: those of lowest energy, and those that carry the averages."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.wandb_run import log_media, wandb_run
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Samples


class Structures(Observer):
    """Saves the structures of lowest energy and of highest weight in a test, for molecules; nothing for other systems.

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

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        if stage != "test" or module.energy.given().structure is None:
            return
        folder, drawn = trainer.log_dir, module.record.evaluation.proposals  # collective calls
        if not trainer.is_global_zero:
            return
        from lit_bg.molecules import pdb_text, save_structures

        structure = module.energy.given().structure
        assert structure is not None  # else nothing is wanted
        media = {}
        for kind, samples in choose_structures(drawn, self.n).items():
            if len(samples.x) == 0:
                continue
            if folder is not None:
                save_structures(structure, samples.x, Path(folder) / "structures" / f"{kind}.pdb")
            if wandb_run(trainer) is not None:
                import wandb

                caption = f"u = {samples.u[0].item():.2f} kT, log w = {samples.log_w[0].item():.2f}"
                text = io.StringIO(pdb_text(structure, samples.x[0]))
                media[f"sample/{kind}"] = wandb.Molecule(text, caption=caption, file_type="pdb")
        log_media(trainer, media)


def choose_structures(samples: Samples, n: int) -> dict[str, Samples]:
    """Return the n samples of lowest energy and the n of highest weight, best first, among those with a finite energy."""
    chosen, finite = {}, samples.finite
    for kind, value in (("lowest_energy", -samples.u), ("highest_weight", samples.log_w)):
        top = torch.where(finite, value, -torch.inf).topk(min(n, int(finite.sum()))).indices
        chosen[kind] = Samples(*(column[top] for column in samples))
    return chosen
