"""Runs whose generators have learned nothing: what `load` needs of a run folder, and no more."""

import torch
import yaml

from lit_bg.config.cli import build
from lit_bg.energies import Energy
from lit_bg.generators import Generator


def make_run(folder, energy, generator, frames=None):
    """Write a run folder from the configurations of energy and generator; `frames(system)` are what the generator adapts to."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"energy": energy, "generator": generator}}))
    system = build(Energy, energy)
    built = build(Generator, generator).build(system)
    if frames is not None:
        built.adapt(frames(system))
    state = {f"generator.{key}": value for key, value in built.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 0}, folder / "checkpoints" / "best.ckpt")
