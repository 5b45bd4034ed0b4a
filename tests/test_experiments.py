"""Every experiment is accepted by the command line, and says what it shows and what it reached."""

from pathlib import Path

import pytest

from lit_bg.config.cli import CLI, build
from lit_bg.energies import Energy
from lit_bg.generators import Generator

ROOT = Path(__file__).parent.parent
YAMLS = sorted((ROOT / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
class TestExperiment:
    def test_fits_together(self, path, monkeypatch):
        """Energy, generator, loss and simulator can be built and accept each other."""
        monkeypatch.chdir(ROOT)
        from lit_bg.losses import Loss
        from lit_bg.simulators import Simulator

        config = CLI(["-c", str(path)]).config
        energy = build(Energy, config.model.energy)
        generator = build(Generator, config.model.generator).build(energy)
        build(Loss, config.model.loss).build(generator, energy)
        if config.simulate is not None:
            build(Simulator, config.simulate).check(energy.given())
            assert config.data.path == f"data/{path.stem}.npz"

    def test_its_header_says_how_it_went(self, path):
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        text = " ".join(header)
        assert f"-c experiments/{path.name}" in text
        assert "Reached" in text
        assert "ESS" in text

    def test_its_result_is_in_the_table(self, path):
        assert f"]({path.name})" in (ROOT / "experiments/README.md").read_text()
