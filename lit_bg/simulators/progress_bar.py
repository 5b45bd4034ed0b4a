"""Progress of simulators and samplers: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lit_bg.simulators.base import ReportProgress

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 30.0  # seconds between two lines
FIRST = 5.0  # seconds until the first


@contextmanager
def show_progress(name: str, console: Console | None = None) -> Iterator[ReportProgress]:
    """Show how far something is, the time that is left and a short state; yield what has to be told of progress.

    On a terminal it is a bar. In a file or a pipe, where a bar would be seen at its end only, it is a line after five seconds
    and then every half a minute.
    """
    from rich.console import Console

    console = Console() if console is None else console
    if console.is_terminal:
        with _bar(name, console) as report:
            yield report
    else:
        yield _Lines(name, console)


@contextmanager
def _bar(name: str, console: Console) -> Iterator[ReportProgress]:
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


class _Lines:
    """Prints a line when it is time for one; the time that is left is reckoned from the pace since the first report."""

    def __init__(self, name: str, console: Console) -> None:
        self.name, self.console = name, console
        self.next = time.monotonic() + FIRST
        self.first: tuple[float, int] | None = None  # time and what was done

    def __call__(self, done: int, total: int, state: str) -> None:
        now = time.monotonic()
        if self.first is None or done < self.first[1]:
            self.first = now, done
        if now < self.next:
            return
        self.next = now + EVERY
        began, before = self.first
        left = ""
        if done > before:
            seconds = (total - done) * (now - began) / (done - before)
            left = f", {format_time(seconds)} left"
        share = f"{100 * done / total:.0f} %" if total else f"{done}"
        text = f"{self.name}: {share}{left}{f', {state}' if state else ''}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()


def format_time(seconds: float) -> str:
    """Return a time in words, in the largest two units.

    >>> format_time(8), format_time(125), format_time(7300)
    ('8 s', '2 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
