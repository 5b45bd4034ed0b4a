"""Reference data from the energy alone."""

from __future__ import annotations

from pathlib import Path

from lit_bg.data.card import refusal
from lit_bg.data.dataset import Dataset
from lit_bg.data.table import card_table
from lit_bg.energies.base import Energy
from lit_bg.samplers.base import Simulator


def simulate(energy: Energy, simulator: Simulator, path: str | Path, seed: int, force: bool = False) -> Dataset:
    """Run a simulator, write one npz file with the frames and their card, and print the card.

    Args:
        energy: the system.
        simulator: how to sample it.
        path: the npz file to write.
        seed: of every random number.
        force: overwrite a file that exists.

    Returns:
        the data, as they are in the file. Data whose virial contradicts equilibrium are written too, so that
        they can be looked at; `Dataset.load` refuses them.

    Raises:
        FileExistsError: the file exists.
        ValueError: the simulator cannot handle the energy, or the path is not an npz file.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"simulated data are written as npz, but data.path is {path}: give it the suffix .npz.")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists: choose another data.path, or overwrite it with data.force=true.")
    simulator.check(energy)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(type(simulator).__name__, state="")
        trajectory = simulator.run(
            energy,
            seed,
            progress=lambda done, total, state: bar.update(task, completed=done, total=total, state=state),
        )
    data = Dataset.from_trajectory(energy, trajectory, simulator, seed)
    data.save(path)
    console.print(card_table(data.card))
    reason = refusal(data.card)
    fate = f", which training will refuse: {reason}." if reason else "."
    console.print(f"{len(data)} frames in {path}{fate}", soft_wrap=True)
    return data
