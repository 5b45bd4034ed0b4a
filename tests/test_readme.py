"""The README's examples run, and its commands are the ones CI runs."""

import re
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def classes():
    """Everything the 'Adding to it' examples define."""
    namespace: dict = {}
    for code in blocks("python"):
        if "class " in code:
            exec(code, namespace)
    return namespace


def test_the_examples_train_together(classes):
    from lit_bg.losses.base import Batch
    from lit_bg.rng import stream
    from lit_bg.samples import draw

    energy = classes["Pendulum"]()
    generator = classes["Normal"]().build(energy)
    loss = classes["LogVariance"]()
    optimizer = torch.optim.Adam(generator.parameters(), 0.05)
    before = loss(generator, energy, Batch(None, 1000), stream(0, "test")).item()
    for step in range(60):
        optimizer.zero_grad()
        loss(generator, energy, Batch(None, 200), stream(0, "train", step=step)).backward()
        optimizer.step()
    after = loss(generator, energy, Batch(None, 1000), stream(0, "test")).item()
    assert after < before
    assert draw(generator, energy, 10, stream(0, "x")).log_w.isfinite().all()


def test_the_molecule_yaml_is_accepted(tmp_path, monkeypatch):
    from lit_bg.cli import CLI

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
