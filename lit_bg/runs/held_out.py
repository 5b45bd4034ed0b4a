"""Frames of the target that the generator of a run was not trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.data.card import quality
from lit_bg.data.dataset import Dataset
from lit_bg.rng import stream
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.load import Run
from lit_bg.runs.system import DataSection


class HeldOut(NamedTuple):
    """Holds frames of walkers in order of time, and where they are from."""

    x: Tensor  # (T, W, *event_shape)
    u: Tensor  # (T, W) [kT]
    source: str  # for the report
    problems: tuple[str, ...] = ()  # what their card says against them


def read_held_out(run: Run, n: int, path: str | None = None, seed: int = 0) -> HeldOut | None:
    """Return frames of the target that `run` was not trained on, some n of them at most, evenly in time; None: there are none.

    They are the part of its reference data that its configuration holds out, split as in training. Of a run that was trained
    without data all frames of a file that is given are such; without a file exact samples are, where the system has them.
    Training frames would bias every estimate: the generator is too good at them.

    Args:
        run: a loaded run, which learns modes that are to be found in data.
        n: frames.
        path: file of its reference data, if not where the configuration says.
        seed: of exact samples.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that cannot be read, or of another system.
    """
    section = DataSection.of_run(RunFolder(run.folder))
    energy = run.energy.given()
    if path is None and section.path is None:
        if not energy.has_exact_samples:
            return None
        x = energy.exact_samples(n, stream(seed, "free energy/target", device=run.device))
        with torch.no_grad():
            return HeldOut(x[None], energy(x)[None].double().cpu(), "exact samples")
    file = section.find() if path is None else Path(path)
    if file is None or not file.is_file():
        raise FileNotFoundError(
            f"there is no data file '{path or section.path}' of the run '{run.folder}': say by --data where it is."
        )
    frames = Dataset.load(file, energy, force=section.force)
    source = file.name
    if section.path is not None:
        _, frames = frames.split(section.held_out)
        source += ", held out"
    walkers = frames.walkers
    every = math.ceil(len(frames) / n)
    x = frames.x.reshape(walkers, -1, *energy.space.shape).transpose(0, 1)[::every]
    u = frames.series(frames.u.double())[::every]
    problems = () if quality(frames.card) == "pass" else tuple(frames.card["verdict"])
    return HeldOut(x, u, source, problems)
