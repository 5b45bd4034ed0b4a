"""A run folder whose checkpoint is damaged is told in one sentence."""

import io

import pytest
import torch

import lit_bg
from lit_bg import sample
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.load import read_checkpoint


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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder as load() needs it, made without training, and what makes a copy of it with a fault."""
    from lit_bg.energies import DoubleWell
    from lit_bg.generators import CouplingFlow

    folder = RunFolder(tmp_path_factory.mktemp("run") / "version_0")
    folder.checkpoints.mkdir(parents=True)
    generator = {"class_path": "CouplingFlow", "init_args": {"blocks": 1, "hidden": [8]}}
    folder.write_config({"model": {"energy": {"class_path": "DoubleWell"}, "generator": generator}})
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
    state = {f"generator.{k}": v for k, v in flow.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 3}, folder.best)
    config, content = folder.config.read_text(), torch.load(folder.best, weights_only=True)
    return folder, config, content


CONFIGURATIONS = {
    "empty": (lambda c: "", "has no model.energy and no model.generator"),
    "no section": (lambda c: "- 1", "has no model.energy and no model.generator"),
    "cut off": (lambda c: c[: c.index("CouplingFlow") - 12], "has no model.generator|is not YAML"),
    "a scalar": (lambda c: "model: 3", "has no model.energy and no model.generator"),
    "nested": (lambda c: "model: " + "[" * 5000, "nested more than 100 levels deep"),
    "no class": (lambda c: c.replace("DoubleWell", "DubleWell"), "no class 'DubleWell'"),
    "no module": (lambda c: c.replace("DoubleWell", "no_such_package.A"), "there is no module 'no_such_package'"),
    "no number": (lambda c: c.replace("DoubleWell", "DoubleWell\n    init_args: {kT: -1}"), "kT must be positive"),
    "no key": (lambda c: c.replace("blocks", "bloks"), "unknown key 'bloks'"),
    "another flow": (lambda c: c.replace("blocks: 1", "blocks: 2"), "does not hold the generator"),
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_damaged_configuration_is_told_in_one_sentence(kind, finished, tmp_path, capsys):
    folder, config, _ = finished
    damage, expected = CONFIGURATIONS[kind]
    folder.config.write_text(damage(config))
    try:
        with pytest.raises(ValueError, match=expected) as error:
            lit_bg.load(folder.path)
        assert "\n" not in str(error.value)
        with pytest.raises(SystemExit) as stop:
            sample.main([str(folder.path), "-n", "3", "--out", str(tmp_path / "s.npz")])
    finally:
        folder.config.write_text(config)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("lit_bg: ")


CONTENTS = {
    "no state": (lambda c: {**c, "state_dict": None}, "cannot be read as a checkpoint"),
    "a list": (lambda c: {**c, "state_dict": [1]}, "cannot be read as a checkpoint"),
    "no tensors": (lambda c: {**c, "state_dict": dict.fromkeys(c["state_dict"], 3)}, "cannot be read as a checkpoint"),
    "no step": (lambda c: {**c, "global_step": "x"}, "cannot be read as a checkpoint"),
    "another model": (lambda c: {**c, "state_dict": {}}, "does not hold the generator"),
    "not finite": (
        lambda c: {**c, "state_dict": {k: v * torch.nan if v.is_floating_point() else v for k, v in c["state_dict"].items()}},
        "holds weights that are not finite",
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_checkpoint_of_something_else_is_told_in_one_sentence(kind, finished):
    folder, _, content = finished
    damage, expected = CONTENTS[kind]
    torch.save(damage(content), folder.best)
    try:
        with pytest.raises(ValueError, match=expected):
            lit_bg.load(folder.path)
    finally:
        torch.save(content, folder.best)


def test_a_whole_run_is_read(finished):
    assert lit_bg.load(finished[0].path).sample(5).x.shape == (5, 2)
