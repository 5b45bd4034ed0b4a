"""A bar on the terminal that simulators and samplers report to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lit_bg.simulators.base import ReportProgress

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def show_progress(name: str, console: Console | None = None) -> Iterator[ReportProgress]:
    """Show a bar with the time that is left and a short state, and yield what has to be told of progress."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[state]}"),
    )
    with progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(name, state="")

        def report(done: int, total: int, state: str) -> None:
            bar.update(task, completed=done, total=total, state=state)

        yield report
