"""The command line as a user meets it: run folder, resume, errors."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_experiment import SMALL

import lit_bg
from lit_bg import fit, sample


def written(name="small", **changes):
    """Writes a YAML into the working directory: its name."""
    config = json.loads(json.dumps(SMALL))
    for key, value in changes.items():
        *path, leaf = key.split("__")
        at = config
        for p in path:
            at = at.setdefault(p, {})
        at[leaf] = value
    Path(f"{name}.yaml").write_text(yaml.safe_dump(config))
    return f"{name}.yaml"


@pytest.fixture
def experiment(tmp_path, monkeypatch, empty_figures):
    """An empty working directory, and what writes a YAML there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIT_BG_VERSION", raising=False)
    return written


@pytest.fixture(scope="class")
def finished(tmp_path_factory):
    """Directory and output of a run that nothing went wrong with."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.chdir(folder)
        patch.delenv("LIT_BG_VERSION", raising=False)
        name = Path(written()).resolve()
        fit.main(["-c", str(name), f"--runs={Path('runs').resolve()}", "--trainer.log_every_n_steps=1"])
    return folder, output.getvalue()


def metrics(run: str) -> list[dict[str, str]]:
    with open(f"{run}/metrics.csv", newline="") as f:
        return list(csv.DictReader(f))


def weights(run: str) -> dict:
    return torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


def same(a: dict, b: dict) -> bool:
    tensors = [k for k, v in a.items() if isinstance(v, torch.Tensor)]
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in tensors)


class TestRunFolder:
    @pytest.fixture(autouse=True)
    def _inside(self, finished, monkeypatch):
        monkeypatch.chdir(finished[0])

    def test_holds_everything(self, finished):
        run = Path("runs/small/version_0")
        summary = json.loads((run / "summary.json").read_text())
        expected = {"n_samples", "ess", "ess_forward", "pareto_k", "log_Z", "log_Z_err"}
        expected |= {"energy_calls", "seconds", "observables", "modes"}
        assert expected <= set(summary)
        assert summary["n_samples"] == 1000
        assert summary["ess_forward"] is None  # no reference data
        assert set(summary["observables"]["x1"]) >= {"raw", "reweighted", "err", "reference", "unit"}
        assert set(summary["modes"]["left"]) >= {"raw", "reweighted", "err", "reference"}
        # 20 steps of 64, two validations of 500, one test of 1000.
        assert summary["energy_calls"] == 20 * 64 + 2 * 500 + 1000
        with np.load(run / "samples.npz") as s:
            assert s["x"].shape == (1000, 2)
            assert s["log_q"].shape == s["u"].shape == (1000,)
            from lit_bg.estimators import ess

            assert ess(torch.from_numpy(-s["u"] - s["log_q"])) == pytest.approx(summary["ess"], rel=1e-4)
        assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
        assert list((run / "figures").glob("*.png"))
        assert "runs/small/version_0" in finished[1]

    def test_metrics_have_one_line_per_step(self):
        rows = metrics("runs/small/version_0")
        steps = [int(r["step"]) for r in rows]
        assert steps == sorted(set(steps))
        assert {s for s, r in zip(steps, rows, strict=True) if r["train/loss"]} == set(range(20))

    def test_names_no_path_of_the_machine(self):
        here = str(Path.cwd())
        config = Path("runs/small/version_0/config.yaml").read_text()
        assert here not in config
        assert here not in str(torch.load("runs/small/version_0/checkpoints/last.ckpt", weights_only=True)["model"])
        assert yaml.safe_load(config)["name"] == "small"

    def test_its_config_is_an_experiment(self, empty_figures):
        fit.main(["-c", "runs/small/version_0/config.yaml", "--runs=again"])
        assert same(weights("runs/small/version_0"), weights("again/small/version_0"))

    def test_load_and_sample(self, capsys):
        run = lit_bg.load("runs/small")
        s = run.sample(300, seed=3)
        torch.testing.assert_close(s.log_q, run.log_prob(s.x), atol=1e-3, rtol=0)
        torch.testing.assert_close(s.u, run.energy(s.x))
        sample.main(["runs/small/version_0", "-n", "300", "--seed", "3", "--out", "out/s.npz"])
        with np.load("out/s.npz") as saved:
            np.testing.assert_array_equal(saved["x"], s.x.numpy())
        assert "300 samples in out/s.npz" in capsys.readouterr().out


BAD = {
    "misspelt key": (["--model.generator.init_args.blocs=3"], "blocs"),
    "misspelt section": (["--modle.seed=3"], "modle"),
    "wrong type": (["--data.batch_size=many"], "batch_size"),
    "unknown class": (["--model.energy=DubleWell"], "DubleWell"),
    "size": (["--data.batch_size=0"], "data.batch_size must be at least 1, got 0"),
    "temperature": (["--model.energy.init_args.kT=-1"], "kT must be positive, got -1"),
    "no data": (["--model.loss=ForwardKL"], "data.path"),
    "missing data file": (["--model.loss=ForwardKL", "--data.path=nowhere.npz"], "nowhere.npz"),
    "missing checkpoint": (["--ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
    "unknown strategy": (["--trainer.strategy=nope"], "nope"),
    "nothing to resume": (["--ckpt_path=last"], "nothing to resume"),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD)
    def test_is_one_sentence_and_exit_code_2(self, name, experiment, capsys):
        args, expected = BAD[name]
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", experiment(), *args])
        error = capsys.readouterr().err.strip()
        assert stop.value.code == 2
        assert expected in error
        assert error.startswith("lit_bg: ")
        assert "\n" not in error
        assert "Traceback" not in error
        assert not Path("runs").exists()

    def test_suggests_the_right_key(self, experiment, capsys):
        with pytest.raises(SystemExit):
            fit.main(["-c", experiment(data__batchsize=3)])
        assert "did you mean 'batch_size'" in capsys.readouterr().err

    def test_missing_configuration(self, capsys):
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", "nowhere.yaml"])
        assert stop.value.code == 2
        assert "nowhere.yaml" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "expected"), [("modle: {}", "did you mean 'model'"), ("a: [", "is not YAML"), ("- 1", "holds no sections")]
    )
    def test_a_file_that_is_no_experiment(self, content, expected, tmp_path, capsys):
        file = tmp_path / "x.yaml"
        file.write_text(content)
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", str(file)])
        assert stop.value.code == 2
        assert expected in capsys.readouterr().err

    def test_a_run_folder_that_exists(self, experiment, capsys):
        name = experiment(trainer__max_epochs=1)
        fit.main(["-c", name, "--version=4"])
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", name, "--version=4"])
        assert stop.value.code == 2
        assert "exists" in capsys.readouterr().err

    def test_a_checkpoint_of_another_configuration(self, experiment, capsys):
        name = experiment(trainer__max_epochs=1)
        fit.main(["-c", name])
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", name, "--ckpt_path=last", "--model.generator.init_args.hidden=[8]"])
        assert stop.value.code == 2
        assert "model.generator.init_args.hidden is [8] and was [16]" in capsys.readouterr().err

    def test_a_file_that_is_no_checkpoint(self, experiment, capsys):
        Path("x.ckpt").write_text("no")
        with pytest.raises(SystemExit) as stop:
            fit.main(["-c", experiment(), "--ckpt_path=x.ckpt"])
        assert stop.value.code == 2
        assert "x.ckpt" in capsys.readouterr().err


def test_help_needs_no_heavy_import():
    """Training libraries take seconds to import; help and a missing file must not wait for them."""
    code = "import sys; from lit_bg import fit; fit.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--ckpt_path last" in done.stdout


def test_two_processes(experiment, tmp_path):
    """Per-rank noise differs, metrics are those of the gathered samples, one line per step."""
    name = experiment(trainer__devices=2, trainer__strategy="ddp", trainer__log_every_n_steps=1)
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lit_bg.fit", "-c", name], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    run = Path("runs/small/version_0")
    assert [p.name for p in Path("runs/small").iterdir()] == ["version_0"]
    summary = json.loads((run / "summary.json").read_text())
    with np.load(run / "samples.npz") as s:
        x, log_w = s["x"], torch.from_numpy(-s["u"] - s["log_q"])
    assert len(x) == summary["n_samples"] == 1000
    assert len(np.unique(x, axis=0)) == 1000  # the ranks drew different noise
    from lit_bg.estimators import ess, log_z

    assert ess(log_w) == pytest.approx(summary["ess"], rel=1e-4)
    assert log_z(log_w)[0] == pytest.approx(summary["log_Z"], abs=1e-4)
    assert summary["energy_calls"] == 20 * 64 + 2 * 500 + 1000
    steps = [int(r["step"]) for r in metrics(str(run))]
    assert steps == sorted(set(steps))
