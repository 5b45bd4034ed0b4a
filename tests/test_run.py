"""A run folder whose checkpoint is damaged is told in one sentence."""

import io

import pytest
import torch

import lit_bg
from lit_bg import sample
from lit_bg.run import read_checkpoint
from lit_bg.run_folder import RunFolder


def whole():
    file = io.BytesIO()
    torch.save({"state_dict": {"generator.w": torch.zeros(100)}, "global_step": 3}, file)
    return file.getvalue()


DAMAGED = {
    "empty": lambda: b"",
    "half": lambda: whole()[: len(whole()) // 2],
    "without its end": lambda: whole()[:-60],
    "text": lambda: b"hello world",
    "another pickle": lambda: b"\x80\x02}q\x00.",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_checkpoint_is_told_in_one_sentence(kind, tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    folder.config.write_text("model: {}")
    (folder.checkpoints / "last.ckpt").write_bytes(DAMAGED[kind]())
    with pytest.raises(ValueError, match=r"last.ckpt' cannot be read as a checkpoint \(\w+\): it was cut off") as error:
        lit_bg.load(tmp_path, "last")
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit):
        sample.main([str(tmp_path), "--checkpoint", "last", "--out", str(tmp_path / "s.npz")])
    assert capsys.readouterr().err.startswith("lit_bg: '")


def test_a_checkpoint_without_weights_is_none(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"cannot be read as a checkpoint .it holds no weights"):
        read_checkpoint(tmp_path / "x.ckpt")
