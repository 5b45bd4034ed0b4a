"""A training whose disk fills ends with one sentence, and goes on when there is room."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from test_resume import SMALL

ISOLATED = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
SCRIPT = """
mount -t tmpfs -o size={size} tmpfs disk || exit 9
"{python}" -m lit_bg.fit -c small.yaml --runs=disk/runs > full.txt 2>&1
echo $? > full.code
cp -r disk/runs left
mount -o remount,size=50m disk || exit 9
"{python}" -m lit_bg.fit --resume disk/runs/small > resumed.txt 2>&1
echo $? > resumed.code
cp -r disk/runs ended
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["40k", "160k", "360k"])
def test_a_disk_that_fills(size, tmp_path):
    """At the first checkpoint, at a later one, after the training."""
    if shutil.which("unshare") is None or subprocess.run([*ISOLATED, "true"], capture_output=True).returncode != 0:
        pytest.skip("mounts a small file system, which this system does not allow")
    (tmp_path / "disk").mkdir()
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    environment.pop("LIT_BG_VERSION", None)
    done = subprocess.run([*ISOLATED, SCRIPT.format(size=size, python=sys.executable)], cwd=tmp_path, env=environment)
    assert done.returncode == 0
    said = (tmp_path / "full.txt").read_text()
    assert (tmp_path / "full.code").read_text().strip() == "2", said
    assert "No space left on device" in said
    assert said.strip().endswith("to go on: python -m lit_bg.fit --resume disk/runs/small/version_0")
    assert "Traceback" not in said
    for file in (tmp_path / "left").rglob("*.ckpt"):
        torch.load(file, weights_only=True)
    assert not list((tmp_path / "left").rglob(".*"))
    assert (tmp_path / "resumed.code").read_text().strip() == "0", (tmp_path / "resumed.txt").read_text()
    assert (tmp_path / "ended/small/version_0/summary.json").is_file()
