"""Settings of every test: no account, no display, one thread, fixed seeds."""

import os

import pytest

os.environ.setdefault("WANDB_MODE", "disabled")
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
