"""python -m lit_bg.sweep: trials are tried, bad ones end nothing, and an interrupted search goes on as if it had not been."""

import sys

import pytest
import yaml
from small_experiment import SMALL
from snippets import ROOT, run

pytest.importorskip("optuna")

from lit_bg import sweep as command
from lit_bg.sweeps import trial as trials
from lit_bg.sweeps.trial import Outcome, read_metric

# Logs (x - 1)^2 / n for n = 1, 2, ..., slowly where it is told to.
PROGRAM = """
import sys, time
from pathlib import Path
given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
x = float(given["x"])
if x > 2:
    print("a line before", flush=True)
    sys.exit(f"lit_bg: x must be at most 2, got {x}.")
folder = Path(given["runs"], given["name"], "version_" + given["version"])
folder.mkdir(parents=True)
rows = ["step,loss"]
for n in range(1, int(given.get("a.steps", 2)) + 1):
    rows.append(f"{n},{(x - 1) ** 2 / n}")
    (folder / "new").write_text("\\n".join(rows) + "\\n")
    (folder / "new").replace(folder / "metrics.csv")
    time.sleep(float(given.get("a.pause", 0)))
(folder / "end").touch()
"""
SWEEP = {
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "command": ["${interpreter}", "quadratic.py", "${args}"],
    "parameters": {"x": {"min": 0.0, "max": 2.0}, "k.depth": {"values": [1, [2, 2], "deep"]}},
}


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Run a sweep of the program above, changed, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quadratic.py").write_text(PROGRAM)

    def run_it(changes=None, **options):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP | (changes or {}), sort_keys=False))
        return command.run_sweep("s.yaml", **{"name": "s", **options})

    return run_it


def tried(study):
    return [study.values_of(t) for t in study.trials]


def test_the_best_of_several_is_found_and_shown(search, capsys):
    study = search(trials=6)
    losses = [(values["x"] - 1) ** 2 / 2 for values in tried(study)]
    assert [t.value for t in study.trials] == pytest.approx(losses)
    assert study.best().value == pytest.approx(min(losses))
    assert len({values["x"] for values in tried(study)}) == 6
    assert all(any(v["k.depth"] == known for known in (1, [2, 2], "deep")) for v in tried(study))
    out = capsys.readouterr().out
    shown = [line.split() for line in out.split("\ntrial  loss")[1].splitlines()[1:7]]
    assert [float(row[1]) for row in shown] == pytest.approx(sorted(losses), rel=1e-3)
    assert f"Best: trial {study.best().number}. Again: {sys.executable} quadratic.py --x=" in out


def test_trials_that_fail_end_nothing_and_say_why(search, capsys):
    points = {"x": {"values": [0.5, 3.0, 1.5]}, "k": {"values": [1, 2]}}
    study = search({"method": "grid", "parameters": points})
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert tried(study) == [{"x": x, "k": k} for x in (0.5, 3.0, 1.5) for k in (1, 2)]
    out = capsys.readouterr().out
    assert out.count("failed, exit code 1: lit_bg: x must be at most 2, got 3.0.") == 2
    assert "a line before" not in out
    assert search({"method": "grid", "parameters": points}, trials=99).trials == study.trials  # a grid ends


def test_a_search_in_which_nothing_works_ends(search):
    with pytest.raises(ValueError, match="first 3 trials have all failed"):
        search({"parameters": {"x": {"min": 3.0, "max": 4.0}}}, trials=10)


def test_a_metric_that_nobody_logs_is_said(search, capsys):
    search({"metric": {"name": "lost"}}, trials=1)
    assert "it logged no 'lost'" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["bayes", "grid"])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(search, monkeypatch, method):
    """By a signal, in the middle of trials 2 and 3; the kernel's own kill leaves the same behind."""
    changes = {"method": method, "metric": {"name": "loss"}}
    if method == "grid":
        changes["parameters"] = {"x": {"values": [0.1, 0.2, 0.3, 0.4, 0.5]}}
    asked = iter([False, False, True, True, False, False, False])

    def pretend(words, folder, log, metric, goes_on):
        if next(asked):
            raise KeyboardInterrupt
        return Outcome(value=float(words[2].removeprefix("--x=")))

    monkeypatch.setattr("lit_bg.sweeps.trial.run_trial", pretend)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(changes, trials=5)
    interrupted = search(changes, trials=5)
    if method == "grid":  # what was interrupted comes last
        assert sorted(t.value for t in interrupted.trials) == changes["parameters"]["x"]["values"]
    else:
        asked = iter([False] * 5)
        assert tried(interrupted) == tried(search(changes, trials=5, name="whole"))
    assert len(interrupted.trials) == 5
    assert len({t.number for t in interrupted.trials}) == 5


def test_another_search_of_the_same_name_is_refused(search):
    search(trials=1)
    assert len(search(trials=2).trials) == 2
    with pytest.raises(ValueError, match="give another --name"):
        search({"parameters": {"x": {"min": 0.0, "max": 1.0}}}, trials=3)
    with pytest.raises(ValueError, match="give another --name"):
        search(trials=3, options=["--a.steps=3"])


def test_the_worse_ones_are_ended_early(search, monkeypatch, capsys, tmp_path):
    """Hyperband looks at values 1, 2, 4, ... ; the slow runs here would take ten seconds each."""
    monkeypatch.setattr(trials, "LOOK", 0.02)
    parameters = {"x": {"values": [1.1, 1.9, 1.8]}, "a.steps": {"values": [2]}}
    changes = {"method": "grid", "parameters": parameters, "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2}}
    study = search(changes, trials=1, name="t")
    slow = ["${interpreter}", "quadratic.py", "${args}", "--a.steps=100", "--a.pause=0.1"]
    study.sweep.__dict__["command"] = tuple(slow)  # the first run was quick, the others are not
    command._run_next(study, tmp_path / "runs/t", 3)
    command._run_next(study, tmp_path / "runs/t", 3)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert [(tmp_path / f"runs/t/version_{n}/end").exists() for n in range(3)] == [True, False, False]
    assert study.best().number == 0
    assert capsys.readouterr().out.count("ended early") == 2


def test_a_damaged_or_missing_file_of_metrics_holds_nothing(tmp_path):
    assert read_metric(tmp_path / "metrics.csv", "a") == []
    (tmp_path / "metrics.csv").write_text("step,a,b\n0,1.5,\n1,,2\n2,2.5,\n")
    assert read_metric(tmp_path / "metrics.csv", "a") == [1.5, 2.5]
    assert read_metric(tmp_path / "metrics.csv", "c") == []


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["no.yaml", "--trials", "2"], "lit_bg: there is no sweep at 'no.yaml'"),
        (["experiments/sweeps/double_well.yaml"], "lit_bg: how many trials?"),
        (["experiments/sweeps/double_well.yaml", "--trials", "0"], "lit_bg: --trials must be at least 1, got 0"),
        (["experiments/sweeps/double_well.yaml", "--trials", "1", "--name", "../x"], "lit_bg: the name of a sweep"),
        (["experiments/sweeps/double_well.yaml", "--trails=3"], "unrecognized arguments: --trails=3"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence(args, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command.main(args)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_real_training_is_a_trial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    words = ["${env}", "${interpreter}", "-m", "lit_bg.fit", "-c", "small.yaml", "${args}"]
    parameters = {"model.generator.init_args.hidden": {"values": [[8]]}, "data.batch_size": {"value": 32}}
    content = SWEEP | {"command": words, "metric": {"name": "test/ess", "goal": "maximize"}, "parameters": parameters}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    command.main(["s.yaml", "--trials=1", "--trainer.max_epochs=1"])
    config = yaml.safe_load((tmp_path / "runs/s/version_0/config.yaml").read_text())
    assert config["model"]["generator"]["init_args"]["hidden"] == [8]
    assert config["data"]["batch_size"] == 32
    assert config["trainer"]["max_epochs"] == 1
    assert "Best: trial 0. Again: /usr/bin/env" in capsys.readouterr().out


@pytest.mark.slow
def test_the_shipped_sweep_runs_and_goes_on(tmp_path):
    short = ["--trainer.max_epochs=2", "--data.steps_per_epoch=20", "--data.val_samples=500", "--data.test_samples=2000"]
    words = ["-m", "lit_bg.sweep", "experiments/sweeps/double_well.yaml", *short]
    assert "trial 1 (2 of 2)" in run(*words, "--trials", "2", cwd=tmp_path)
    said = run(*words, "--trials", "3", cwd=tmp_path)
    assert "trial 2 (3 of 3)" in said
    assert "trial 1 (" not in said
    rows = [line.split() for line in said.split("\ntrial  ")[1].splitlines()[1:4]]
    assert {row[0] for row in rows} == {"0", "1", "2"}
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)
