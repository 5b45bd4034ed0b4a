"""No service of W&B outlives the module that asked for it: it would poll beside all later tests."""

import sys

import pytest


@pytest.fixture(autouse=True, scope="module")
def _no_service_left():
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
