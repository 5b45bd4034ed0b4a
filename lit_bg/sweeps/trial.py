"""One trial of a sweep: a process, what it logs, and how it ends."""

from __future__ import annotations

import csv
import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.5  # [s] between two looks at what a run logs
LEAVE = 20.0  # [s] that a run has to end when it is told to


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        value: the last one of the metric; None if it failed or was ended early.
        pruned: it was ended early.
        problem: why it failed, in a sentence.
    """

    value: float | None = None
    pruned: bool = False
    problem: str | None = None


def run_trial(
    command: Sequence[str], folder: Path, log: Path, metric: str, goes_on: Callable[[int, float], bool] | None = None
) -> Outcome:
    """Run a command that leaves folder/metrics.csv, and return the last value of the metric in it.

    Args:
        command: words of it.
        folder: of the run.
        log: where what it prints goes.
        metric: a column of metrics.csv.
        goes_on: asked at every new value, with its number from 1 on, whether the run is to go on; None: it always is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            pruned = _watch(process, folder / "metrics.csv", metric, goes_on)
        except BaseException:  # a signal ends the trial, too
            _end(process)
            raise
    if pruned:
        return Outcome(pruned=True)
    if process.returncode != 0:
        return Outcome(problem=f"exit code {process.returncode}: {_last_words(log)}")
    values = read_metric(folder / "metrics.csv", metric)
    if not values:
        return Outcome(problem=f"it logged no '{metric}': look for the names in {folder / 'metrics.csv'}")
    if not math.isfinite(values[-1]):
        return Outcome(problem=f"the last '{metric}' is {values[-1]}")
    return Outcome(value=values[-1])


def _watch(process: subprocess.Popen, file: Path, metric: str, goes_on: Callable[[int, float], bool] | None) -> bool:
    """Wait for the end; returns whether it was brought about."""
    if goes_on is None:
        process.wait()
        return False
    seen, ended = 0, False
    while not ended:
        try:
            process.wait(LOOK)
            ended = True
        except subprocess.TimeoutExpired:
            pass
        for value in read_metric(file, metric)[seen:]:  # after the end, too: later trials are compared with all of them
            seen += 1
            if not goes_on(seen, value) and not ended:
                _end(process)
                return True
    return False


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()


def read_metric(file: Path, name: str) -> list[float]:
    """Return the values of a column, in their order; none where there is no file or no such column."""
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            return [float(row[name]) for row in csv.DictReader(lines) if row.get(name)]
    except OSError:
        return []


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("lit_bg: ")]
    return (said or lines or ["it said nothing"])[-1]
