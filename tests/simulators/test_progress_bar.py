"""Without a terminal progress comes line by line, not too often, with the time that is left."""

import io

import pytest
from rich.console import Console

from lit_bg.simulators import progress_bar
from lit_bg.simulators.progress_bar import show_progress


@pytest.fixture
def clock(monkeypatch):
    times = iter([0.0, 1.0, 6.0, 20.0, 37.0])
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(times))


def test_lines_without_a_terminal(clock):
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


def test_lines_in_a_notebook(clock, monkeypatch):
    """Jupyter asks for the colours of a terminal, and shows every state of a bar."""
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    file = io.StringIO()
    with show_progress("SMC", Console(file=file, force_terminal=True, width=80)) as report:
        for done in (0, 50, 80, 180):
            report(done, 1000, "half")
    assert len(file.getvalue().splitlines()) == 2
    assert "━" not in file.getvalue()
