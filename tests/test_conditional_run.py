"""A run under conditions, from YAML to samples: trained over a range, judged at several values, sampled at any."""

import contextlib
import copy
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_experiment import SMALL

import lit_bg
from lit_bg import estimators, fit, sample
from lit_bg.energies import DoubleWell

ENERGY = {"class_path": "Tempered", "init_args": {"energy": {"class_path": "DoubleWell"}, "lowest": 0.5, "highest": 4.0}}
JUDGE = {"class_path": "Conditions", "init_args": {"conditions": [[2.0], [3.0]], "samples": 900}}


def configuration(**data):
    config = copy.deepcopy(SMALL)
    config["model"]["energy"] = ENERGY
    terms = [{"class_path": "ForwardKL"}, {"class_path": "ReverseKL"}, {"class_path": "ReweightedKL"}]
    config["model"]["loss"] = {"class_path": "WeightedSum", "init_args": {"losses": terms, "weights": [1.0, 1.0, 0.1]}}
    config["trainer"]["callbacks"] = [copy.deepcopy(JUDGE)]
    config["data"] |= {"source": {"class_path": "ExactSamples"}, **data}
    return config


def call(*args):
    """Exit code, and what was said."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            fit.main(list(args))
    except SystemExit as stop:
        return stop.code, err.getvalue()
    finally:
        os.environ.pop("LIT_BG_VERSION", None)
    return 0, out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from lit_bg.callbacks import Figures

    here = tmp_path_factory.mktemp("conditional")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(Figures, "finish", lambda *_: None)
        Path("wells.yaml").write_text(yaml.safe_dump(configuration()))
        code, printed = call("-c", "wells.yaml")
        assert code == 0, printed
        Path("printed").write_text(printed)
        yield here


RUN = "runs/wells/version_0"


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_the_test_judges_every_condition_of_the_list():
    summary = json.loads(Path(RUN, "summary.json").read_text())
    assert [row["context"] for row in summary["conditions"]] == [{"kT": 2.0}, {"kT": 3.0}]
    for row in summary["conditions"]:
        assert row["n"] == 900
        assert 0 < row["ess"] <= 1
        assert row["log_Z_exact"] == pytest.approx(DoubleWell(kT=row["context"]["kT"]).log_Z)
        assert row["log_Z"] == pytest.approx(row["log_Z_exact"], abs=5 * row["log_Z_err"] + 0.5)
    printed = Path("printed").read_text()
    assert "at kT = 2" in printed
    assert "(exact 6.50951)" in printed
    assert summary["log_Z_exact"] == pytest.approx(DoubleWell().log_Z)  # and all else is said at the usual kT
    header = Path(RUN, "metrics.csv").read_text().splitlines()[0]
    assert "test/log_Z at kT = 2" in header


def test_sampling_under_conditions(capsys):
    sample.main([RUN, "-n", "200", "--out", "hot.npz", "--context", "kT=3", "--force"])
    printed = capsys.readouterr().out
    expected = lit_bg.load(RUN).sample(200, context=torch.tensor([3.0], dtype=torch.float64))
    with np.load("hot.npz") as file:
        assert file["context"].tolist() == [3.0]
        assert np.array_equal(file["log_w"], expected.log_w.numpy())
        torch.testing.assert_close(torch.from_numpy(file["u"]), DoubleWell(kT=3.0)(torch.from_numpy(file["x"])))
    assert f"200 samples at kT = 3 in hot.npz: ESS {estimators.ess(expected.log_w):.3f}" in printed
    sample.main([RUN, "-n", "20", "--out", "usual.npz", "--force"])
    assert "20 samples at kT = 1 in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "said"),
    [("kT=9", "the run knows kT from 0.5 to 4, and got kT = 9"), ("T=1", "no condition 'T'"), ("kT=", "names no value")],
)
def test_conditions_that_it_has_not_are_refused(word, said, capsys):
    with pytest.raises(SystemExit):
        sample.main([RUN, "-n", "5", "--out", "never.npz", "--context", word])
    assert said in capsys.readouterr().err
    assert not Path("never.npz").exists()


def test_conditions_out_of_range_stop_a_run_before_it_trains():
    config = configuration()
    config["trainer"]["callbacks"][0]["init_args"]["conditions"] = [[5.0]]
    Path("far.yaml").write_text(yaml.safe_dump(config))
    code, said = call("-c", "far.yaml")
    assert code == 2
    assert "Tempered knows kT from 0.5 to 4, and got kT = 5" in said
    assert not Path("runs/far").exists()


def test_the_source_is_in_the_checkpoint_and_the_run_goes_on():
    content = torch.load(f"{RUN}/checkpoints/last.ckpt", weights_only=True)
    assert content["sources"] == {"class": "ExactSamples", "state": {}}
    Path("longer.yaml").write_text(yaml.safe_dump(configuration()))
    for args in (
        ["-c", "longer.yaml", "--trainer.max_epochs=1"],
        ["--resume", "runs/longer/version_0", "--trainer.max_epochs=2"],
    ):
        code, said = call(*args)
        assert code == 0, said
    a, b = (torch.load(f"runs/{r}/version_0/checkpoints/last.ckpt", weights_only=True) for r in ("wells", "longer"))
    for name, value in a["state_dict"].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, b["state_dict"][name]), name
