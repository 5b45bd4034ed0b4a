"""A short offline run leaves in its own records what the workspace shows."""

import getpass
import io
import json
import socket
import struct
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest
import wandb
from gaussian_proposal import GaussianProposal, Reverse, TwoWells, assemble
from lightning.pytorch import Callback

from lit_bg.callbacks import (
    EMA,
    Diagnose,
    Figures,
    NonFiniteGuard,
    Report,
    Structures,
)
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell
from lit_bg.runs.loggers import wandb_logger


def records(folder: Path):
    """Records of the offline run in a folder: protocol buffers in a LevelDB log (blocks of 32 KiB)."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    content, at, parts = path.read_bytes(), 7, []
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # a header never crosses a block
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        if at + 7 + length > len(content):  # W&B is still writing this one
            return
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield Record.FromString(b"".join(parts))
            parts = []


def complete(folder: Path):
    """All records, when the last is there: W&B writes in a process of its own."""
    for _ in range(600):
        found = list(records(folder))
        if any(record.HasField("exit") for record in found):
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{len(found)} records after 60 s, none of them the last")


def contents(folder: Path):
    """History by key, summary, config and alerts."""
    history, summary, config, alerts = defaultdict(list), {}, {}, []
    for record in complete(folder):
        for item in record.history.item:
            history["/".join(item.nested_key) or item.key].append(json.loads(item.value_json))
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        for update in (record.run.config.update, record.config.update):
            config |= {item.key: json.loads(item.value_json) for item in update}
        if record.HasField("alert"):
            alerts.append(record.alert.title)
    return history, summary, config, alerts


class LoseIt(Callback):
    """Pushes the proposals away in the last epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            pl_module.averaged.loc.data += 6.0
            pl_module.generator.loc.data += 6.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wandb")
    inside = folder / "run" / "version_0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("HOME", str(folder / "home_of_somebody"))
        patch.setattr(socket, "gethostname", lambda: "machine_of_somebody")
        logger = wandb_logger(inside, "double_well", {"model": {"generator": "GaussianProposal"}})
        observers = [Diagnose(0.5), Figures(every=2), Report()]
        data = Data(batch_size=64, steps_per_epoch=5, val_samples=500, test_samples=1000)
        module, data, trainer = assemble(
            folder,
            DoubleWell(),
            GaussianProposal(scale=1.5),
            [EMA(), NonFiniteGuard(), LoseIt(), *observers, Structures()],
            Reverse(),
            data=data,
            loggers=[logger],
            max_epochs=3,
            log_every_n_steps=1,
        )
        trainer.fit(module, data)
        trainer.test(module, data, verbose=False)
        logger.experiment.log({"sample/molecule": wandb.Molecule(io.StringIO("END\n"), file_type="pdb")})
        logger.experiment.finish()
    return contents(inside), trainer, inside


def test_metrics_fall_into_sections(run):
    (history, _, _, _), trainer, _ = run
    assert len(history["train/loss"]) == 15
    assert history["train/skipped_steps"] == [0.0] * 15
    for name in ("ess", "pareto_k", "log_Z", "log_Z_err", "energy_calls", "n_nonfinite", "max_weight", "x1", "x1_err"):
        assert len(history[f"val/{name}"]) == 3
        assert len(history[f"test/{name}"]) == 1
    assert {key.split("/")[0] for key in history if "/" in key} == {"train", "val", "test", "sample", "trainer"}
    assert history["test/ess"][0] == pytest.approx(trainer.callback_metrics["test/ess"].item())
    assert history["trainer/global_step"] == list(range(16))  # one line per step, pictures and tables included


def test_pictures_come_with_every_second_validation_and_the_test(run):
    (history, _, _, _), _, inside = run
    for name in ("configurations", "energies", "weights", "profile_x1"):
        assert history[f"sample/{name}/_type"] == ["image-file"] * 3
        assert (inside / "figures" / f"{name}.png").stat().st_size > 10_000
    (files,) = inside.glob("wandb/offline-run-*/files")
    assert (files / history["sample/energies/path"][0]).is_file()


def test_modes_come_as_a_table(run):
    (history, _, _, _), _, inside = run
    assert history["val/modes/_type"] == ["table-file"] * 3
    (files,) = inside.glob("wandb/offline-run-*/files")
    table = json.loads((files / history["test/modes/path"][0]).read_text())
    assert {"mode", "raw", "reweighted", "err", "effective", "exact", "missing"} <= set(table["columns"])
    assert [row[0] for row in table["data"]] == ["left", "right"]
    claims = json.loads((files / history["test/claims/path"][0]).read_text())
    assert claims["columns"] == ["claim", "word", "reason"]
    assert "log Z" in [row[0] for row in claims["data"]]


def test_summary_holds_the_best_ess_and_the_verdict(run):
    (history, summary, _, _), _, _ = run
    assert summary["best/ess"] == pytest.approx(max(history["val/ess"]))
    assert summary["verdict"] == "do not trust"
    assert "k-hat" in summary["reasons"] or "effective samples" in summary["reasons"]


def test_the_configuration_is_there_and_nothing_of_this_machine(run):
    (_, _, config, _), _, inside = run
    assert config["model"] == {"generator": "GaussianProposal"}
    assert str(inside) not in json.dumps(config)


def test_the_records_name_no_machine_person_or_place(run):
    """Every file that can be given away, byte by byte: the log of records, media, and what W&B logs of itself."""
    _, _, inside = run
    places = {inside.parents[1], Path.cwd(), Path.home(), Path(wandb.__file__).parents[1], Path(tempfile.gettempdir())}
    words = {"somebody", *(str(place) for place in places if place != Path("/"))}
    names = {getpass.getuser(), socket.gethostname().split(".")[0]}
    words |= {name for name in names if len(name) > 4}  # a short one is part of other words
    files = [file for file in (inside / "wandb").rglob("*") if not file.is_dir()]
    assert any(file.suffix == ".wandb" for file in files)
    for file in files:
        assert not file.is_symlink()
        content = file.read_bytes()
        assert [word for word in words if word.encode() in content] == [], file
    staged = [
        file for file in (inside.parents[1] / "home_of_somebody").rglob("*") if "staging" in file.parts and file.is_file()
    ]
    assert staged == []  # an offline run is its folder, and needs no file elsewhere to be synchronised


def test_the_collapse_raised_an_alert(run):
    (_, _, _, alerts), _, _ = run
    assert alerts == ["ESS has collapsed"]


def test_the_workspace_shows_whatever_was_logged(run):
    """Each number, table and picture of this run in a panel of the section of its name."""
    from lit_bg.wandb_workspace import _shown_in, arrange

    (history, _, _, _), _, _ = run
    media = {key.removesuffix("/_type") for key in history if key.endswith("/_type")}
    inside = tuple(f"{key}/" for key in media)
    names = [key for key in history if not key.startswith(("_", *inside))]
    assert {"val/effective/right", "test/x1_raw", "val/log_Z_err", "train/loss"} <= set(names)
    everything = [*names, *sorted(media)]
    found = {(section, name) for section, panels in arrange(everything).items() for p in panels for name in _shown_in(p, names)}
    assert [n for n in everything if "/" in n and (n.split("/")[0], n) not in found and not n.startswith("trainer/")] == []


def test_the_agent_of_a_sweep_names_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "x1y2")
    wandb_logger(tmp_path / "a", "small", {})
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    wandb_logger(tmp_path / "b", "small", {})
    names = [(tmp_path / folder / "wandb/run_id").read_text() for folder in "ab"]
    assert names[0] != "x1y2"
    assert names[1] == "x1y2"


def test_a_run_without_wandb_draws_only_in_the_test(tmp_path):
    figures = Figures(every=1)
    module, data, trainer = assemble(tmp_path, TwoWells(1.0), GaussianProposal(), [figures, Diagnose()])
    trainer.fit(module, data)
    assert not (tmp_path / "run/version_0/figures").exists()
    trainer.test(module, data, verbose=False)
    assert {p.name for p in (tmp_path / "run/version_0/figures").iterdir()} >= {
        "configurations.png",
        "energies.png",
        "weights.png",
    }
