"""Progress of simulators, samplers and training: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lit_bg.activity import format_time, is_screen
from lit_bg.simulators.base import ReportProgress

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 30.0  # seconds between two lines
FIRST = 5.0  # seconds until the first
WIDTH = 8  # characters of the bar itself: what it says is more


@contextmanager
def show_progress(name: str, console: Console | None = None, transient: bool = False) -> Iterator[ReportProgress]:
    """Show how far something is, the time that is left and a short state; yield what has to be told of progress.

    On a terminal it is a bar with one line of text, cut to the width of the terminal. In a file or a pipe, where a bar would be
    seen at its end only, and in a notebook, which would show all its states, it is a line after five seconds and then every
    half a minute.

    Args:
        name: of what goes on.
        console: to show it on; by default standard output.
        transient: whether the bar disappears at the end.
    """
    from rich.console import Console

    console = Console() if console is None else console
    if is_screen(console):
        with _bar(name, console, transient) as report:
            yield report
    else:
        yield _Lines(name, console)


@contextmanager
def _bar(name: str, console: Console, transient: bool) -> Iterator[ReportProgress]:
    from rich import progress
    from rich.text import Text

    class Line(progress.ProgressColumn):
        """One line, whatever the width: a bar that wraps is drawn anew below itself."""

        def render(self, task: progress.Task) -> Text:
            return Text(task.fields["line"], no_wrap=True, overflow="ellipsis")

    columns = progress.BarColumn(WIDTH), Line()
    with progress.Progress(*columns, console=console, transient=transient, refresh_per_second=4) as bar:
        task, pace = bar.add_task(name, total=None, line=name), _Pace()

        def report(done: int, total: int, state: str) -> None:
            line = f"{name}: {pace.describe(time.monotonic(), done, total, state)}"
            bar.update(task, completed=done, total=total or None, line=line)

        yield report


class _Lines:
    """Prints a line when it is time for one."""

    def __init__(self, name: str, console: Console) -> None:
        self.name, self.console = name, console
        self.next = time.monotonic() + FIRST
        self.pace = _Pace()

    def __call__(self, done: int, total: int, state: str) -> None:
        now = time.monotonic()
        text = self.pace.describe(now, done, total, state)
        if now < self.next:
            return
        self.next = now + EVERY
        self.console.print(f"{self.name}: {text}", markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()


class _Pace:
    """Reckons the time that is left from the pace since the first report."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None  # time and what was done

    def describe(self, now: float, done: int, total: int, state: str) -> str:
        """Return the share that is done, the time that is left where it is known, and the state."""
        if self.first is None or done < self.first[1]:
            self.first = now, done
        began, before = self.first
        share = f"{100 * done / total:.0f} %" if total else f"{done}"
        left = ""
        if total and done > before:
            left = f", {format_time((total - done) * (now - began) / (done - before))} left"
        return f"{share}{left}{f', {state}' if state else ''}"
