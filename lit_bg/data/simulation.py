"""Simulation of reference data, from the energy alone."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lit_bg.data.card import describe, refusal
from lit_bg.data.dataset import Dataset
from lit_bg.data.table import card_table
from lit_bg.energies.base import Energy
from lit_bg.files import release
from lit_bg.identity import identify
from lit_bg.simulators.base import Simulator, Trajectory
from lit_bg.simulators.progress_bar import show_progress
from lit_bg.simulators.recorder import Recorder

if TYPE_CHECKING:
    from rich.console import Console

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, of a user's share of it, of one file
SPOT_CHECKS = 32  # frames whose energies are evaluated before an unfinished simulation goes on


def simulate(energy: Energy, simulator: Simulator, path: str | Path, seed: int, force: bool = False) -> Dataset:
    """Run a simulator, write one npz file with the frames and their card, and print the card.

    While it runs, simulators that go step by step keep frames and state in the folder `<path>.partial`. Interrupted by Ctrl-C,
    SIGTERM or anything else, the same call goes on from there, and the data are those of an uninterrupted run, bit for bit.

    Args:
        energy: the system.
        simulator: how to sample it. What it samples at other temperatures goes to files beside `path`, `<name>_600K.npz`.
        path: the npz file to write.
        seed: of every random number.
        force: overwrite files that exist, and throw away an unfinished simulation of something else.

    Returns:
        the data, as they are in the file. Data whose virial contradicts equilibrium are written too, so that
        they can be looked at; `Dataset.load` refuses them.

    Raises:
        FileExistsError: a file exists.
        ValueError: the simulator cannot handle the energy, the path is not an npz file, or an unfinished simulation is in the
            way that is of something else, damaged, or contradicted by the energy.
        OSError: no space is left on the disk; what was simulated is kept as far as it was saved.
        Interrupted: the text says how to go on.
    """
    from rich.console import Console

    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"simulated data are written as npz, but data.path is {path}: give it the suffix .npz.")
    simulator.check(energy)
    others = {kT: path.with_name(f"{path.stem}_{label}.npz") for label, kT in simulator.other_kTs(energy).items()}
    for file in (path, *others.values()):
        if file.exists() and not force:
            raise FileExistsError(f"{file} exists: choose another data.path, or overwrite it with data.force=true.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write into '{path.parent}': give another data.path.")
    identity = {"energy": identify(energy), "kT": energy.kT, "simulator": describe(simulator), "seed": seed}
    identity["modes"] = list(energy.modes.names) if energy.modes is not None else []  # replica exchange records them
    identity["device"] = energy.device.type  # on another one, rounding differs
    recorder = Recorder(path.with_name(f"{path.name}.partial"), identity, restart=force)
    problem = _contradiction(energy, simulator, recorder)
    if problem is not None:
        if not force:
            raise ValueError(
                f"{recorder.folder} holds an unfinished simulation that cannot go on, because {problem}: delete the folder, or "
                "start again with data.force=true."
            )
        recorder.start_again()
    console = Console()

    def finish(energy: Energy, trajectory: Trajectory, file: Path) -> Dataset:
        data = Dataset.from_trajectory(energy, trajectory, simulator, seed)
        data.save(file)
        console.print(card_table(data.card))
        reason = refusal(data.card)
        fate = f", which training will refuse: {reason}." if reason else "."
        console.print(f"{len(data)} frames in {file}{fate}", soft_wrap=True)
        return data

    finished: list[Path] = []
    try:
        trajectory = _run(energy, simulator, seed, recorder, console)
        for kT, file in others.items():
            other = replace(trajectory.others[kT], info=trajectory.info, problems=trajectory.problems)
            finish(energy.at(kT), other, file)
            finished.append(file)
        data = finish(energy, trajectory, path)
    except BaseException as error:
        for file in finished:  # all files or none: the same command, given again, would be refused because of one
            file.unlink(missing_ok=True)
        if recorder.folder is not None:
            release(recorder.folder)
        if isinstance(error, OSError) and error.errno in FULL:
            raise OSError(f"{os.strerror(error.errno)}, writing {path}: make room; {recorder.way_on}") from error
        raise
    if trajectory.u is not None:
        data = replace(data, x=data.x.clone(), u=data.u.clone())  # they may be views of the files that go now
    recorder.discard()
    return data


def _run(energy: Energy, simulator: Simulator, seed: int, recorder: Recorder, console: Console) -> Trajectory:
    """Run the simulator under a progress bar."""
    with show_progress(type(simulator).__name__, console) as report:
        return simulator.run(energy, seed, report, recorder)


def _contradiction(energy: Energy, simulator: Simulator, recorder: Recorder) -> str | None:
    """Evaluate a few of the frames recorded so far, the last one among them, and the last state; say where they disagree."""
    if recorder.state is None:
        return None
    state = recorder.state
    recorded = {}  # (T, W, ...) and (T, W)
    if {"x", "u"} <= state.keys():
        recorded["its state.pt"] = state["x"][None], state["u"][None], energy.kT
    for ending, kT in {"": energy.kT, **{f"_{k}": kT for k, kT in simulator.other_kTs(energy).items()}}.items():
        if recorder.written and {f"x{ending}", f"u{ending}"} <= recorder.arrays.keys():
            x, u = (recorder.frames(f"{name}{ending}")[: recorder.written] for name in ("x", "u"))
            recorded[f"a frame in its x{ending}.npy"] = x, u, kT
    for where, (x, u, kT) in recorded.items():
        pick = torch.linspace(0, u.numel() - 1, SPOT_CHECKS, dtype=torch.float64).long().unique().to(u.device)
        frame, walker = pick // u.shape[1], pick % u.shape[1]
        there = u[frame, walker].double().cpu()
        with torch.no_grad():
            here = energy(x[frame, walker].to(energy.device)).double().cpu() * energy.kT / kT
        off = ((here - there).abs() - 1e-4 * there.abs()).nan_to_num(torch.inf)
        if not (off < 0.1).all():  # [kT]
            i = int(off.argmax())
            return f"{where} has u = {there[i]:.4f} kT there and {here[i]:.4f} under this {type(energy).__name__}"
    return None
