"""What a program says on stderr of what it is doing, so that nobody waits before a silent screen."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FIRST = 2.0  # [s] until something that lasts is named,
EVERY = 30.0  # [s] and named again


def announce(what: str) -> None:
    """Say what is being loaded, where that takes time: before torch has been imported."""
    if "torch" not in sys.modules:
        say(f"loading {what} ...")


class Activity:
    """Says what is going on where it lasts: after two seconds, and then every half a minute.

    Args:
        what: it is, such as "compiling the forces".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._over: threading.Event | None = None

    def start(self) -> None:
        """Begin; if it has begun, go on."""
        if self._over is None:
            self._over = threading.Event()
            threading.Thread(target=self._tell, args=(self._over,), daemon=True, name="lit_bg-activity").start()

    def stop(self) -> None:
        """End, whether it has begun or not."""
        if self._over is not None:
            self._over.set()
            self._over = None

    def _tell(self, over: threading.Event) -> None:
        began = time.monotonic()
        if over.wait(FIRST):
            return
        say(f"{self.what} ...")
        while not over.wait(EVERY):
            say(f"still {self.what}, {format_time(time.monotonic() - began)} so far ...")


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what is going on inside, where it lasts (see `Activity`)."""
    activity = Activity(what)
    activity.start()
    try:
        yield
    finally:
        activity.stop()


def is_screen(console: Console) -> bool:
    """Say whether lines on a console can be drawn anew: it is a terminal, and not the output of a cell of a notebook.

    Jupyter asks programs for the colours of a terminal (FORCE_COLOR) and shows every state of a bar below the last.
    """
    return console.is_terminal and "JPY_PARENT_PID" not in os.environ


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


def say(text: str) -> None:
    """Print a line to stderr, once for all processes of a run."""
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one of the processes of a run speaks for all
        print(f"lit_bg: {text}", file=sys.stderr, flush=True)
