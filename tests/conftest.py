"""Settings of every test: no account, no display, one thread, fixed seeds, Ctrl-C as in a terminal.

The only conftest: `--doctest-modules` collects these files too, and two of one name are an error.
"""

import os
import signal
import sys

import pytest

os.environ.setdefault("WANDB_MODE", "disabled")
os.environ["MPLBACKEND"] = "Agg"
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell, and tests interrupt


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def _no_service_left():
    """No service of W&B outlives the module that asked for it: it would poll beside all later tests."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


@pytest.fixture
def empty_figures(monkeypatch):
    """Figures are built, and their files are one pixel: drawing is most of what a short run costs."""
    from blank_picture import BLANK

    monkeypatch.setattr("lit_bg.figures.style.png", lambda figure: BLANK)
