"""What signatures say of tensors is so."""

import os
import subprocess
import sys

from snippets import ROOT


def test_signatures_name_shapes_and_dtypes_as_they_are():
    """In a process of its own, since the hook must stand before the first import."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests" / "checked_shapes.py")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
