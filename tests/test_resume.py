"""A run goes on as if it had never stopped, in its own folder, whatever has ended it."""

import contextlib
import csv
import errno
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_experiment as experiment
import torch
import yaml

from lit_bg import files, fit
from lit_bg.module import BoltzmannGenerator

SCHEDULE = {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {"T_max": 18}}
SMALL = {
    **experiment.SMALL,
    "trainer": {**experiment.SMALL["trainer"], "max_epochs": 3, "log_every_n_steps": 1},
    "model": {**experiment.SMALL["model"], "lr_scheduler": SCHEDULE},
    "data": {"batch_size": 64, "steps_per_epoch": 6, "val_samples": 300, "test_samples": 500, "eval_batch_size": 200},
}


def call(*args):
    """Exit code and what was said on stderr."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            fit.main(list(args))
    except SystemExit as stop:
        return stop.code, said.getvalue()
    finally:
        os.environ.pop("LIT_BG_VERSION", None)
    return 0, said.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with an experiment, and a run of it that nothing went wrong with."""
    from lit_bg.callbacks import Figures

    here = tmp_path_factory.mktemp("resume")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in every test: sums of another number of threads are rounded differently
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("LIT_BG_VERSION", raising=False)
        patch.setattr(Figures, "finish", lambda *_: None)
        Path("small.yaml").write_text(yaml.safe_dump(SMALL))
        assert call("-c", "small.yaml")[0] == 0
        yield here
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    from lit_bg.callbacks import Figures

    monkeypatch.chdir(folder)
    monkeypatch.setattr(Figures, "finish", lambda *_: None)


WHOLE = "runs/small/version_0"


def rows(run):
    with open(f"{run}/metrics.csv", newline="") as f:
        return list(csv.DictReader(f))


def differences(run, whole=WHOLE):
    """What differs between two finished runs, besides the time they took."""
    found = []
    for name in ("last", "best"):
        a, b = (torch.load(f"{r}/checkpoints/{name}.ckpt", weights_only=True) for r in (whole, run))
        if any(not torch.equal(v, b["state_dict"][k]) for k, v in a["state_dict"].items() if isinstance(v, torch.Tensor)):
            found.append(f"weights of {name}")
        if (a["global_step"], a["epoch"]) != (b["global_step"], b["epoch"]):
            found.append(f"step of {name}")
    if rows(whole) != rows(run):
        found.append("metrics")
    with np.load(f"{whole}/samples.npz") as a, np.load(f"{run}/samples.npz") as b:
        found += [k for k in a.files if not np.array_equal(a[k], b[k])]
    a, b = (json.loads(Path(f"{r}/summary.json").read_text()) for r in (whole, run))
    clocks = ("seconds", "cost", "cost_per_effective_sample")
    return found + [k for k in a if k not in clocks and a[k] != b.get(k)]


@contextlib.contextmanager
def signal_at(method, call_number, number):
    """Send this process a signal when a method of the module is called for the n-th time, from 0."""
    calls, original = [], getattr(BoltzmannGenerator, method)

    def counted(self, *args):
        calls.append(None)
        if len(calls) == call_number + 1:
            os.kill(os.getpid(), number)
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoltzmannGenerator, method, counted)
        yield


MOMENTS = [("training_step", k) for k in (0, 1, 4, 5, 6, 7, 11, 12, 17)]
MOMENTS += [("validation_step", k) for k in (0, 1, 2, 5)] + [("test_step", k) for k in (0, 2)]
IN_CI = {("training_step", 0), ("training_step", 5), ("training_step", 7), ("validation_step", 2), ("test_step", 1)}


@pytest.mark.parametrize(
    ("method", "k"),
    [pytest.param(*m, marks=[] if m in IN_CI else [pytest.mark.slow]) for m in sorted({*MOMENTS, *IN_CI})],
)
def test_an_interrupted_run_goes_on_bit_for_bit(method, k):
    """Within an epoch, at its last step, in a validation, in the test: metrics, weights, samples and costs are the same."""
    number = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)[k % 3]
    name = f"{method}_{k}"
    with signal_at(method, k, number):
        code, said = call("-c", "small.yaml", f"--name={name}")
    assert code == (130 if number == signal.SIGINT else 143)
    done = "the training is done and its test is not; " if method == "test_step" else ""
    assert said.strip() == f"Interrupted; {done}to go on: python -m lit_bg.fit --resume runs/{name}/version_0"
    assert not Path(f"runs/{name}/version_0/summary.json").exists()
    code, said = call(*shlex.split(said.split("lit_bg.fit ")[1]))
    assert (code, said) == (0, "")
    assert differences(f"runs/{name}/version_0") == []


ANOTHER_RHYTHM = {
    "accumulated gradients": (["--trainer.accumulate_grad_batches=2"], "training_step", 2),
    "validation within an epoch": (["--trainer.val_check_interval=4"], "validation_step", 0),  # slow, the others are alike
    "validation every second epoch": (["--trainer.check_val_every_n_epoch=2", "--trainer.max_epochs=4"], "training_step", 5),
}


@pytest.mark.parametrize(
    "rhythm",
    [pytest.param(name, marks=pytest.mark.slow) if "within" in name else name for name in ANOTHER_RHYTHM],
)
def test_an_interrupted_run_of_another_rhythm_goes_on_bit_for_bit(rhythm):
    args, method, k = ANOTHER_RHYTHM[rhythm]
    whole, cut = (f"{method}_{k}_{part}" for part in ("whole", "cut"))
    assert call("-c", "small.yaml", f"--name={whole}", *args)[0] == 0
    with signal_at(method, k, signal.SIGTERM):
        assert call("-c", "small.yaml", f"--name={cut}", *args)[0] == 143
    assert call("--resume", f"runs/{cut}")[0] == 0
    assert differences(f"runs/{cut}/version_0", f"runs/{whole}/version_0") == []


def test_the_state_that_was_judged_is_named():
    """The best one, which need not be the last."""
    summary = json.loads(Path(f"{WHOLE}/summary.json").read_text())
    best = torch.load(f"{WHOLE}/checkpoints/best.ckpt", weights_only=True)["global_step"]
    assert (summary["judged_step"], summary["steps"]) == (best, 18)


def test_a_run_that_is_resumed_touches_no_other():
    """The printed command is that of the run, name and overrides included, and a finished run keeps its files."""
    before = {p: p.read_bytes() for p in Path(WHOLE).rglob("*") if p.is_file()}
    with signal_at("training_step", 7, signal.SIGINT):
        call("-c", "small.yaml", "--name=other", "--model.optimizer.init_args.lr=0.002")
    code, said = call("-c", "small.yaml", "--name=other", "--ckpt_path=last")
    assert code == 0
    assert "by its own config.yaml; small.yaml is not read" in said
    assert {p: p.read_bytes() for p in Path(WHOLE).rglob("*") if p.is_file()} == before
    assert (
        yaml.safe_load(Path("runs/other/version_0/config.yaml").read_text())["model"]["optimizer"]["init_args"]["lr"] == 0.002
    )
    assert Path("runs/other/version_0/summary.json").is_file()


def test_a_yaml_may_name_the_checkpoint():
    Path("again.yaml").write_text(yaml.safe_dump({**SMALL, "name": "nobody", "ckpt_path": "last"}))
    code, said = call("-c", "again.yaml")
    assert (code, "nothing to resume" in said) == (2, True)


@pytest.fixture(scope="module")
def short(folder):
    """A run of one epoch."""
    assert call("-c", "small.yaml", "--name=short", "--trainer.max_epochs=1", "--data.test_samples=100")[0] == 0
    return "runs/short/version_0"


REFUSED = {
    "learning rate": (["--model.optimizer.init_args.lr=0.1"], "model.optimizer.init_args.lr is 0.1 and was 0.005"),
    "energy": (["--model.energy.init_args.kT=2.0"], "model.energy.init_args.kT is 2.0 and was 1.0"),
    "loss": (["--model.loss=ForwardKL"], "model.loss.class_path is"),
    "generator": (["--model.generator.init_args.blocks=3"], "model.generator.init_args.blocks is 3 and was 2"),
    "seed": (["--seed_everything=5"], "seed_everything is 5 and was 0"),
    "batch size": (["--data.batch_size=32"], "data.batch_size is 32 and was 64"),
    "fewer epochs": (["--trainer.max_epochs=0"], "epochs are done: give at least"),
    "a name": (["--name=x"], "leave out --name"),
    "a configuration": (["-c", "small.yaml"], "leave out --config"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_run_is_refused_by_name(what, short):
    args, expected = REFUSED[what]
    code, said = call("--resume", short, *args)
    assert code == 2
    assert expected in said
    assert said.startswith("lit_bg: ")


def test_what_may_change_may_change(short):
    """More epochs: the run of three in two parts is the run in one."""
    code, _ = call("--resume", short, "--trainer.max_epochs=3", "--data.test_samples=500")
    assert code == 0
    assert differences(short) == []
    assert yaml.safe_load(Path(f"{short}/config.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_other_hardware_is_said_not_to_be_exact(monkeypatch):
    from lit_bg.runs.resume import compare_configurations

    said = io.StringIO()
    then = {"trainer": {"devices": 1}, "data": {"eval_batch_size": 5}}
    with contextlib.redirect_stderr(said):
        compare_configurations(then, {"trainer": {"devices": 2}, "data": {"eval_batch_size": 5}}, "runs/x")
    assert "another trainer.devices: not bit-identical" in said.getvalue()


@pytest.mark.parametrize("args", [["--resume", "runs/nowhere"], ["-c", "small.yaml", "--name=nobody", "--ckpt_path=last"]])
def test_a_run_that_is_not_there(args):
    code, said = call(*args)
    assert code == 2
    assert "runs/nowhere" in said or "nothing to resume" in said


@pytest.mark.parametrize("name", ["../out", "a/b", "..", "/tmp/x"])
def test_a_name_stays_in_its_folder(name):
    code, said = call("-c", "small.yaml", f"--name={name}")
    assert code == 2
    assert "the name of an experiment is that of a folder" in said


@pytest.mark.parametrize("runs", ["/tmp/elsewhere", "../elsewhere"])
def test_a_yaml_keeps_its_runs_below_the_working_directory(runs):
    Path("leaves.yaml").write_text(yaml.safe_dump({**SMALL, "runs": runs}))
    code, said = call("-c", "leaves.yaml")
    assert code == 2
    assert "below the working directory" in said


@pytest.mark.parametrize("line", ["word,word,word", "5.5,1.0", ",".join("9" * 200)])
def test_damaged_metrics_are_told_in_a_sentence(line, folder, tmp_path):
    run = tmp_path / "version_0"
    shutil.copytree(folder / WHOLE, run)
    with (run / "metrics.csv").open("a") as f:
        f.write(line + "\n")
    code, said = call("--resume", str(run))
    assert code == 2
    assert said.startswith("lit_bg: ")
    assert "metrics.csv' is damaged in line" in said


@pytest.mark.parametrize("where", ["command line", "YAML"])
def test_a_configuration_cannot_read_the_environment(where, monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    config = {**SMALL, "trainer": {**SMALL["trainer"], "max_epochs": "${oc.env:TOKEN}"}} if where == "YAML" else SMALL
    Path("reads.yaml").write_text(yaml.safe_dump(config))
    code, said = call("-c", "reads.yaml", *(["--name=${oc.env:TOKEN}"] if where != "YAML" else []))
    assert code == 2
    assert "oc.env" in said
    assert "secret" not in said


def test_a_run_that_never_began_begins(folder, monkeypatch):
    """Ended between its folder and its first step: it has a configuration and no checkpoint."""
    monkeypatch.setattr(BoltzmannGenerator, "setup", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert call("-c", "small.yaml", "--name=early")[0] == 143
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert call("--resume", "runs/early")[0] == 0
    assert differences("runs/early/version_0") == []


HOLDER = "import sys; from lit_bg.files import lock; lock(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_a_run_that_is_running_is_not_resumed(short):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, short], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        code, said = call("--resume", short)
        assert code == 2
        assert f"another process is writing to '{short}'" in said
    finally:
        holder.kill()  # which releases the lock
        holder.wait()
    files.lock(short)
    files.release(short)


def test_what_a_killed_process_has_left_is_removed(short):
    left = Path(short) / "checkpoints" / ".last.12345.ckpt"
    left.write_text("half")
    assert call("--resume", short, "--trainer.max_epochs=3", "--data.test_samples=500")[0] == 0
    assert not left.exists()


def test_a_full_disk_leaves_the_last_good_checkpoint(monkeypatch):
    """The third checkpoint does not fit."""
    saved, fsync = [], os.fsync

    def full(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.isdir("/proc") else ""
        if name.endswith(".ckpt"):
            saved.append(name)
            if len(saved) >= 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    code, said = call("-c", "small.yaml", "--name=full")
    assert code == 2
    assert "No space left on device" in said
    assert "to go on: python -m lit_bg.fit --resume runs/full/version_0" in said
    assert said.strip().count("\n") == 0
    last = torch.load("runs/full/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] > 0
    assert [p.name for p in Path("runs/full").rglob(".*")] == []
    monkeypatch.setattr(os, "fsync", fsync)
    assert call("--resume", "runs/full")[0] == 0
    assert differences("runs/full/version_0") == []


def test_a_checkpoint_is_written_beside_its_target(tmp_path, monkeypatch):
    """Whatever TMPDIR is; the old one stays whole until the new one is."""
    from lit_bg.callbacks.checkpoints import AtomicCheckpointIO

    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    target, seen = tmp_path / "last.ckpt", []
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)
    replace = os.replace

    def look(old, new):
        seen.append((Path(old).parent, torch.load(target, weights_only=True)["step"]))
        replace(old, new)

    monkeypatch.setattr(os, "replace", look)
    AtomicCheckpointIO().save_checkpoint({"step": 2}, target)
    assert seen == [(tmp_path, 1)]
    assert torch.load(target, weights_only=True)["step"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
