"""From an energy to reference data to a generator trained on them, by the command line."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_bg import fit, sample, simulate
from lit_bg.energies import DoubleWell

ROOT = Path(__file__).parent.parent


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
        "model": {
            "energy": {"class_path": "DoubleWell"},
            "generator": {"class_path": "CouplingFlow", "init_args": {"blocks": 2, "hidden": [16]}},
            "loss": {"class_path": "ForwardKL"},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005}},
        },
        "data": {"path": "data/x.npz", "batch_size": 64, "steps_per_epoch": 30, "val_samples": 500, "test_samples": 1000},
        "simulate": {"class_path": "Exact", "init_args": {"frames": 5000}},
    }
    Path("x.yaml").write_text(yaml.safe_dump(config))
    return "x.yaml"


def test_data_then_training(experiment, capsys, empty_figures):
    simulate.main(["-c", experiment])
    assert "5000 frames in data/x.npz" in capsys.readouterr().out
    with np.load("data/x.npz") as data:
        card = json.loads(str(data["card"]))
        assert data["x"].shape == (5000, 2)
    assert card["energy"]["class"] == "DoubleWell"
    fit.main(["-c", experiment])
    summary = json.loads(Path("runs/x/version_0/summary.json").read_text())
    assert 0 < summary["ess_forward"] <= 1
    assert summary["observables"]["x1"]["reference"] == pytest.approx(-1.625, abs=0.1)


def test_data_are_not_overwritten(experiment, capsys):
    simulate.main(["-c", experiment])
    before = Path("data/x.npz").read_bytes()
    with pytest.raises(SystemExit) as stop:
        simulate.main(["-c", experiment])
    assert stop.value.code == 2
    assert "exists" in capsys.readouterr().err
    assert Path("data/x.npz").read_bytes() == before


def test_an_interrupted_simulation_goes_on(experiment, capsys, monkeypatch):
    """Ctrl-C leaves with 130 and a sentence, and the same command makes the data of an uninterrupted run."""
    chain = {"kernel": {"class_path": "Metropolis"}, "walkers": 3, "frames": 50, "stride": 5, "burn_in": 10}
    config = yaml.safe_load(Path(experiment).read_text())
    Path(experiment).write_text(yaml.safe_dump(config | {"simulate": {"class_path": "Simulation", "init_args": chain}}))
    simulate.main(["-c", experiment, "--data.path=whole.npz"])
    potential, calls = DoubleWell.potential, []

    def interrupting(self, x):
        calls.append(1)
        if len(calls) == 120:
            signal.raise_signal(signal.SIGINT)
        return potential(self, x)

    monkeypatch.setattr(DoubleWell, "potential", interrupting)
    with pytest.raises(SystemExit) as stop:
        simulate.main(["-c", experiment])
    assert stop.value.code == 130
    assert "the same command goes on from the last state in data/x.npz.partial" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        simulate.main(["-c", experiment, "--seed_everything=1"])
    assert stop.value.code == 2
    assert "unfinished simulation with seed = 0, not 1" in capsys.readouterr().err
    simulate.main(["-c", experiment])
    assert not Path("data/x.npz.partial").exists()
    with np.load("data/x.npz") as data, np.load("whole.npz") as whole:
        assert np.array_equal(data["x"], whole["x"])
        assert np.array_equal(data["u"], whole["u"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [("--simulate=null", "simulate"), ("--data.path=null", "data.path"), ("--simulate=OpenMMLangevin", "Molecule")],
)
def test_what_cannot_be_simulated(experiment, change, expected, capsys):
    with pytest.raises(SystemExit) as stop:
        simulate.main(["-c", experiment, change])
    assert stop.value.code == 2
    assert expected in capsys.readouterr().err
    assert not Path("data").exists()


def test_a_molecule_from_pdb_to_structures(experiment, capsys):
    """Few steps: what is tested is that every part fits, from dynamics to a trajectory file."""
    config = yaml.safe_load((ROOT / "experiments/alanine_dipeptide.yaml").read_text())
    config["model"]["energy"]["init_args"]["topology"] = str(ROOT / "experiments/alanine_dipeptide.pdb")
    config["model"]["generator"]["init_args"] |= {"blocks": 1, "hidden": [16], "compile": False}
    few = {"walkers": 8, "frames": 10, "burn_in": 5, "torsion_moves": 2}
    few["ladder"] = {"rungs": 2, "max_temperature": 400.0, "pilot": 5}
    few["kernel"] = {"class_path": "Langevin", "init_args": {"time_step": 0.0025, "steps": 8, "hydrogen_mass": 3.0}}
    config["simulate"]["init_args"] |= few
    config["trainer"] = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
    config["data"] |= {"batch_size": 64, "steps_per_epoch": 5, "val_samples": 20, "test_samples": 100}
    Path("m.yaml").write_text(yaml.safe_dump(config))
    simulate.main(["-c", "m.yaml"])
    fit.main(["-c", "m.yaml"])
    summary = json.loads(Path("runs/m/version_0/summary.json").read_text())
    assert summary["observables"]["P(L)"]["raw"] == 1.0  # no mirror images
    assert Path("runs/m/version_0/figures/profile_phi.png").is_file()
    assert str(ROOT) not in Path("runs/m/version_0/config.yaml").read_text()
    assert Path("runs/m/version_0/inputs/alanine_dipeptide.pdb").is_file()
    sample.main(["runs/m/version_0", "-n", "5", "--out", "s.pdb"])
    assert Path("s.pdb").read_text().count("MODEL") == 5
    with np.load("s.pdb.weights.npz") as weights:
        assert weights["log_w"].shape == (5,)
    with pytest.raises(SystemExit) as stop:
        sample.main(["runs/m/version_0", "--out", "s.gro"])
    assert stop.value.code == 2
