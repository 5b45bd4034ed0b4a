"""Kills and signals at random moments leave nothing half-written, and every run goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "random_ends.py"


def ended(*options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent.parent)])}
    return subprocess.run([sys.executable, str(SCRIPT), *options], env=environment, capture_output=True, text=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its trials")
def test_a_few_random_ends():
    done = ended("--kills=1", "--signals=1", "--two=0", "--seed=1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its trials")
def test_random_ends():
    done = ended("--kills=60", "--signals=40", "--two=8")
    assert done.returncode == 0, done.stdout + done.stderr
