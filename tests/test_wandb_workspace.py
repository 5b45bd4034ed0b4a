"""The workspace shows whatever a run logs, in the section of its name; what is sent is what is written down."""

import json
import re

import pytest

from lit_bg import wandb_workspace as command
from lit_bg.callbacks.diagnose import _numbers

NAMES = [
    "epoch", "train/loss", "train/ReverseKL", "train/skipped_steps", "val/ess", "val/log_Z", "val/log_Z_err", "val/pareto_k",
    "val/energy_calls", "val/x1", "val/x1_err", "val/x1_raw", "val/effective/left", "val/effective/right", "val/my_own",
    "val/w1_distances", "val/w1_distances_raw", "test/ess", "test/x1", "test/x1_err", "test/x1_raw", "test/log_Z_err",
    "test/effective/left", "test/effective/right", "test/log_Z at 0.5", "trainer/global_step", "mine/value",
]  # fmt: skip


def shown(panel):
    return command._shown_in(panel, NAMES)


def test_every_metric_is_in_the_section_of_its_name():
    sections = command.arrange(NAMES)
    where = {metric: section for section, panels in sections.items() for panel in panels for metric in shown(panel)}
    assert [m for m in NAMES if "/" in m and not m.startswith("trainer/") and m not in where] == []
    assert all(metric.startswith(f"{section}/") for metric, section in where.items())
    assert list(sections) == ["train", "val", "test", "sample", "mine"]
    panels = [panel for group in sections.values() for panel in group]
    assert len({(p.title, p.metrics, p.pattern, p.x) for p in panels}) == len(panels)


def test_an_average_is_beside_its_raw_value():
    val = {panel.title: panel for panel in command.arrange(NAMES)["val"]}
    assert val["x1"].metrics == ("val/x1", "val/x1_raw")
    assert shown(val["standard errors"]) == ["val/log_Z_err", "val/x1_err"]
    assert shown(val["effective samples in every mode"]) == ["val/effective/left", "val/effective/right"]
    test = {panel.title: panel for panel in command.arrange(NAMES)["test"]}
    assert test["effective samples in every mode"].metrics == ("test/effective/left", "test/effective/right")
    assert {panel.kind for panel in test.values()} == {"table", "bars"}


def test_what_every_run_shows_is_what_runs_log():
    """By the names in the code that logs: a metric that is renamed there is found missing here."""
    import inspect

    logged = set(re.findall(r'"(\w+)":', inspect.getsource(_numbers))) | {"missing_modes", "nll"}
    named = {m.partition("/")[2] for panel in command._judged("val") for m in panel.metrics}
    assert named == logged - {"log_Z_err"}  # that one by its pattern


@pytest.fixture
def library():
    return pytest.importorskip("wandb_workspaces.workspaces")


def panels_of(content):
    sections = content["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: [panel["config"] for panel in section["panels"]] for section in sections}


def test_without_a_login_it_says_so_and_writes_a_file(library, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(SystemExit) as end:
        command.main(["team/lit_bg"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("lit_bg: no login at W&B (WANDB_MODE=offline): `wandb login` first, or ")
    (tmp_path / "run/figures").mkdir(parents=True)
    (tmp_path / "run/figures/profile_x1.png").touch()
    (tmp_path / "run/metrics.csv").write_text(",".join(["step", *NAMES]) + "\n")
    command.main(["team/lit_bg", "--run", "run", "--out", "w.json"])
    content = json.loads((tmp_path / "w.json").read_text())
    assert (content["entity"], content["project"]) == ("team", "lit_bg")
    configs = panels_of(content)
    assert list(configs) == ["train", "val", "test", "sample", "mine"]
    drawn = {metric for panels in configs.values() for panel in panels for metric in panel.get("metrics", [])}
    assert {"train/loss", "val/x1", "val/x1_raw", "val/my_own", "mine/value", "test/log_Z at 0.5"} <= drawn
    assert "^val/effective/.*" in [panel.get("metricRegex") for panel in configs["val"]]
    assert {panel["xAxis"] for panel in configs["val"] if "xAxis" in panel} == {"trainer/global_step", "val/energy_calls"}
    media = [panel.get("mediaKeys") for panel in configs["sample"]]
    assert ["sample/energies"] in media
    assert media[-1] == ["sample/profile_x1"]
    assert '"test/claims"' in json.dumps(configs["test"])
    columns = content["spec"]["section"]["runSets"][0]["runFeed"]["columnPinned"]
    assert "summary:verdict" in columns
    with pytest.raises(SystemExit):
        command.main(["team/lit_bg", "--out", "w.json"])
    assert "exists" in capsys.readouterr().err


def test_with_a_login_it_is_sent(library, monkeypatch, capsys):
    import wandb
    from wandb_workspaces.workspaces import internal

    sent = []
    answer = {"upsertView": {"view": {"name": "nw-abc-v", "id": "1"}}}
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", lambda prompt: True)
    monkeypatch.setattr(wandb, "Api", lambda: type("Api", (), {"default_entity": "somebody"})())
    monkeypatch.setattr(internal, "upsert_view2", lambda view: sent.append(view) or answer)
    monkeypatch.setattr(library.Workspace, "url", property(lambda self: f"https://{self.entity}/{self._internal_name}"))
    command.main(["lit_bg"])
    assert "The workspace is at https://somebody/nw-abc-v" in capsys.readouterr().out
    (view,) = sent
    assert (view.entity, view.project, view.display_name) == ("somebody", "lit_bg", "Boltzmann generators")

    def refuse(view):
        raise RuntimeError("permission denied")

    monkeypatch.setattr(internal, "upsert_view2", refuse)
    with pytest.raises(ValueError, match=r"somebody/lit_bg \(RuntimeError: permission denied\)"):
        command.write_workspace("lit_bg")


@pytest.mark.parametrize(
    ("project", "options", "sentence"),
    [
        ("a/b/c", {}, "give ENTITY/PROJECT"),
        ("a/", {}, "give ENTITY/PROJECT"),
        ("a/b", {"run": "nowhere"}, "'nowhere' has no metrics.csv"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence(project, options, sentence):
    with pytest.raises((ValueError, OSError), match=re.escape(sentence)):
        command.write_workspace(project, **options)
