"""Without a terminal progress comes line by line, not too often, with the time that is left."""

import io

from rich.console import Console

from lit_bg.simulators import progress_bar
from lit_bg.simulators.progress_bar import show_progress


def test_lines_without_a_terminal(monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 20.0, 37.0])
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(clock))
    file = io.StringIO()
    with show_progress("SMC", Console(file=file, width=40)) as report:
        for done in (0, 50, 80, 180):
            report(done, 1000, "level [1] of 3, accepted 0.55, a state that is longer than the line")
    lines = file.getvalue().splitlines()
    assert lines == [
        "SMC: 5 %, 1 min 35 s left, level [1] of 3, accepted 0.55, a state that is longer than the line",
        "SMC: 18 %, 2 min 44 s left, level [1] of 3, accepted 0.55, a state that is longer than the line",
    ]


def test_a_bar_on_a_terminal():
    file = io.StringIO()
    with show_progress("SMC", Console(file=file, force_terminal=True, width=80)) as report:
        report(5, 10, "half")
    assert "half" in file.getvalue()
    assert "━" in file.getvalue()
