"""Reference data from the energy alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lit_bg.data.card import describe, refusal
from lit_bg.data.dataset import Dataset
from lit_bg.data.table import card_table
from lit_bg.energies.base import Energy
from lit_bg.samplers.base import Simulator, Trajectory
from lit_bg.samplers.motion import device_of
from lit_bg.samplers.recorder import Recorder


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
        ValueError: the simulator cannot handle the energy, the path is not an npz file, or an unfinished simulation of
            something else is in the way.
        Interrupted: the text says how to go on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"simulated data are written as npz, but data.path is {path}: give it the suffix .npz.")
    simulator.check(energy)
    others = {kT: path.with_name(f"{path.stem}_{label}.npz") for label, kT in simulator.other_kTs(energy).items()}
    for file in (path, *others.values()):
        if file.exists() and not force:
            raise FileExistsError(f"{file} exists: choose another data.path, or overwrite it with data.force=true.")
    identity = {"energy": describe(energy), "kT": energy.kT, "simulator": describe(simulator), "seed": seed}
    identity["modes"] = list(energy.modes.names) if energy.modes is not None else []  # replica exchange records them
    identity["device"] = device_of(energy).type  # on another one, rounding differs
    recorder = Recorder(path.with_name(f"{path.name}.partial"), identity, restart=force)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(type(simulator).__name__, state="")
        trajectory = simulator.run(
            energy,
            seed,
            progress=lambda done, total, state: bar.update(task, completed=done, total=total, state=state),
            recorder=recorder,
        )

    def finish(energy: Energy, trajectory: Trajectory, file: Path) -> Dataset:
        data = Dataset.from_trajectory(energy, trajectory, simulator, seed)
        data.save(file)
        console.print(card_table(data.card))
        reason = refusal(data.card)
        fate = f", which training will refuse: {reason}." if reason else "."
        console.print(f"{len(data)} frames in {file}{fate}", soft_wrap=True)
        return data

    for kT, file in others.items():
        other = replace(trajectory.others[kT], info=trajectory.info, problems=trajectory.problems)
        finish(energy.at(kT), other, file)
    data = finish(energy, trajectory, path)
    if trajectory.u is not None:
        data = replace(data, x=data.x.clone(), u=data.u.clone())  # they may be views of the files that go now
    recorder.discard()
    return data
