"""The README's examples run, each pasted alone into a file, and its commands are the ones CI runs."""

import re
import runpy

import pytest
import yaml
from snippets import ROOT, find_snippets, paste, run

README = (ROOT / "README.md").read_text()
SMALL = ["--data.batch_size=64", "--data.val_samples=500", "--data.test_samples=1000", "--trainer.accelerator=cpu"]


def blocks(language: str) -> list[str]:
    return [snippet.text for snippet in find_snippets(README) if snippet.language == language]


CLASSES = [block for block in blocks("python") if "class " in block]
OTHERS = [block for block in blocks("python") if "class " not in block]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which somebody trained the double well, though not for long."""
    folder = tmp_path_factory.mktemp("somebody")
    double_well = ["-m", "lit_bg.fit", "-c", str(ROOT / "experiments/double_well.yaml")]
    run(*double_well, "--trainer.max_epochs=1", "--data.steps_per_epoch=2", *SMALL, cwd=folder)
    return folder


@pytest.mark.parametrize("block", CLASSES, ids=lambda block: block.splitlines()[0])
def test_a_class_alone_in_a_file(block, tmp_path, capsys):
    file = paste(block, tmp_path)
    assert re.fullmatch(r"[a-z_]+\.py", file.name)
    runpy.run_path(str(file), run_name="__main__")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: block.splitlines()[0])
def test_another_example_alone_in_a_file(block, trained, monkeypatch):
    monkeypatch.chdir(trained)
    runpy.run_path(str(paste(block, trained, "example.py")), run_name="__main__")


def test_the_class_trains_by_the_yaml(tmp_path):
    """By its import path; and what was trained can be loaded where the file is."""
    for block in CLASSES:
        paste(block, tmp_path)
    file = paste(next(block for block in blocks("yaml") if "own.yaml" in block), tmp_path)
    assert f"lit-bg fit -c {file.name}" in README
    out = run("-m", "lit_bg.fit", "-c", file.name, "--data.steps_per_epoch=30", *SMALL, cwd=tmp_path)
    assert "Run folder: runs/own/version_0" in out
    metrics = (tmp_path / "runs/own/version_0/metrics.csv").read_text().splitlines()
    rows = [dict(zip(metrics[0].split(","), row.split(","), strict=True)) for row in metrics[1:]]
    ess = [float(row["val/ess"]) for row in rows if row["val/ess"]]
    assert len(ess) == 3
    assert ess[-1] > ess[0]  # the loss teaches the generator
    said = run("-m", "lit_bg.sample", "runs/own/version_0", "-n", "100", "--out", "s.npz", cwd=tmp_path)
    assert "100 samples in s.npz" in said


def test_the_molecule_yaml_is_accepted(tmp_path, monkeypatch):
    from lit_bg.config.cli import CLI

    monkeypatch.chdir(ROOT)
    molecule = next(b for b in blocks("yaml") if "Molecule" in b)
    assert len(molecule.strip().splitlines()) <= 10
    file = tmp_path / "my.yaml"
    file.write_text(molecule)
    assert yaml.safe_load(molecule)["model"]["energy"]["class_path"] == "Molecule"
    assert CLI(["-c", str(file)]).config.model.energy.class_path.endswith(".Molecule")


def test_the_two_commands_are_complete():
    commands = [c.strip() for c in blocks("bash")]
    assert commands[0] == "pip install -c constraints.txt -e . && python -m lit_bg.fit -c experiments/double_well.yaml"
    assert commands[1] == 'pip install -c constraints.txt -e ".[test]" && pytest'


@pytest.mark.parametrize("command", ["fit", "sample"])
def test_every_option_it_names_is_an_option(command):
    lines = [line for line in re.split(r"\n- |\n\n", README) if f"`lit-bg {command} " in line]
    named = {option for line in lines for option in re.findall(r"--(\w+)", line)}
    assert len(named) >= 2
    help_text = run("-m", f"lit_bg.{command}", cwd=ROOT)
    assert [option for option in named if f"--{option}" not in help_text and option != "trainer"] == []
