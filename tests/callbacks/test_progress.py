"""The bar of a training: as wide as the terminal, over the whole of it, and a line now and then where there is none."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from lit_bg.callbacks import Progress, progress
from lit_bg.simulators import progress_bar


def trainer_of(done, epochs=3, batches=50, steps=-1):
    logged = {"train/loss": -11.0213, "val/ess": 0.99535, "val/pareto_k": -0.1634}
    return SimpleNamespace(
        max_epochs=epochs, max_steps=steps, accumulate_grad_batches=2, num_training_batches=batches, world_size=1,
        callback_metrics={name: torch.tensor(value) for name, value in logged.items()}, global_step=done, sanity_checking=False,
        state=SimpleNamespace(fn="fit"), fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=done - 1)),
        num_test_batches=[4],
    )  # fmt: skip


MODULE = SimpleNamespace(energy=SimpleNamespace(n_values=1_320_000))


@pytest.fixture
def shown(monkeypatch):
    """What is shown, on a terminal or without one."""
    file = io.StringIO()

    def on(terminal, width=80):
        def console():
            return Console(file=file, force_terminal=terminal, width=width, legacy_windows=False)

        monkeypatch.setattr("rich.console.Console", lambda: console())
        return file

    monkeypatch.setattr(progress, "OFTEN", 0.0)
    return on


def follow(bar):
    bar.on_train_start(trainer_of(0), MODULE)
    for done in (1, 75, 150):
        bar.on_train_batch_end(trainer_of(done), MODULE)
        bar.on_validation_start(trainer_of(done), MODULE)
    bar.on_train_end(trainer_of(150), MODULE)
    bar.on_test_start(trainer_of(150), MODULE)
    bar.on_test_batch_end(trainer_of(150), MODULE, None, None, 1)
    bar.on_test_epoch_end(trainer_of(150), MODULE)
    bar.on_test_end(trainer_of(150), MODULE)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(shown, width):
    file = shown(True, width)
    follow(Progress())
    from rich.text import Text

    text = Text.from_ansi(file.getvalue().replace("\r", "\n")).plain
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    assert max(map(len, lines)) <= width
    assert [line for line in lines if "fit" not in line and "test" not in line] == []  # no second line
    assert any("fit: 100 %" in line for line in lines)
    if width >= 80:
        assert any("loss -11.02, ESS 0.9954, k-hat" in line for line in lines)


def test_lines_without_a_terminal(shown, monkeypatch):
    file = shown(False)
    monkeypatch.setattr(progress_bar, "FIRST", 0.0)
    monkeypatch.setattr(progress_bar, "EVERY", 0.0)
    follow(Progress())
    lines = file.getvalue().splitlines()
    assert lines[0] == "fit: 1 %, loss -11.02, ESS 0.9954, k-hat -0.1634, energy calls 1.32e6"
    assert lines[2].startswith("fit: 50 %, 0 s left, loss")
    assert lines[3].startswith("fit: 50 %, 0 s left, validation, loss")
    assert lines[-2:] == ["test: 50 %, proposals", "test: 100 %, 0 s left, judging them"]


def test_nothing_on_other_processes(shown):
    file = shown(True)
    bar = Progress()
    bar.disable()
    follow(bar)
    assert file.getvalue() == ""


def test_an_error_ends_the_bar(shown):
    shown(True)
    bar = Progress()
    bar.on_train_start(trainer_of(0), MODULE)
    bar.on_exception(trainer_of(0), MODULE, ValueError())
    bar.on_train_start(trainer_of(0), MODULE)  # rich allows one bar at a time
    bar.teardown(trainer_of(0), MODULE, "fit")


@pytest.mark.parametrize(
    ("settings", "length"),
    [({}, 150), ({"steps": 20}, 40), ({"epochs": None, "steps": 20}, 40), ({"epochs": -1}, 0), ({"steps": 500}, 150)],
)
def test_length_of_a_training(settings, length):
    assert progress.length(trainer_of(0, **settings)) == length
