"""Signals to real processes: the right exit code within seconds, one sentence, nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_resume import SMALL

from lit_bg import signals

LONG = {**SMALL, "data": {**SMALL["data"], "steps_per_epoch": 100_000}}
JUDGED = {**SMALL, "data": {**SMALL["data"], "val_samples": 10_000_000, "eval_batch_size": 2000}}
TWO = {"devices": 2, "strategy": "ddp"}


class Program:
    """A process of the command line in a group of its own, with what it says in a file."""

    def __init__(self, folder, module, *args, **environment):
        self.said = folder / "said.txt"
        environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", **environment}
        environment.pop("LIT_BG_VERSION", None)
        with self.said.open("wb") as out:
            command = [sys.executable, "-m", f"lit_bg.{module}", *args]
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_for(self, condition, seconds=120.0):
        until = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.02)

    def family(self):
        """Processes of its session, by process identifier: their command."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    if int(session) == self.process.pid and state != "Z":
                        found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                except (OSError, ValueError):
                    continue
        return found

    def other_ranks(self):
        return [p for p, command in self.family().items() if "lit_bg" in command and p != self.process.pid]

    def ends(self, seconds=10.0):
        """Exit code; nobody of its session is left."""
        code = self.process.wait(seconds)
        until = time.monotonic() + 3.0
        while self.family() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.family() == {}
        return code


@pytest.fixture
def start(tmp_path):
    """Start a program in an empty folder that holds an experiment; it does not outlive the test."""
    started = []

    def begin(config, module="fit", *args, **environment):
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
        started.append(Program(tmp_path, module, "-c", "small.yaml", *args, **environment))
        return started[-1]

    yield begin
    for program in started:
        for p in program.family():
            os.kill(p, signal.SIGKILL)
        program.process.wait()


def has_begun(folder):
    return (folder / "runs/small/version_0/checkpoints/last.ckpt").is_file


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}
WAY_ON = "Interrupted; to go on: python -m lit_bg.fit --resume runs/small/version_0"
linux = pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc who is left")


@linux
@pytest.mark.parametrize(
    ("config", "number"),
    [
        pytest.param(LONG, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(LONG, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(JUDGED, signal.SIGTERM),
        pytest.param(JUDGED, signal.SIGUSR1, marks=pytest.mark.slow),
    ],
    ids=["training, TERM", "training, INT", "validation, TERM", "validation, USR1"],
)
def test_a_signal_ends_a_training(config, number, start, tmp_path):
    program = start(config)
    program.wait_for(has_begun(tmp_path))
    time.sleep(0.3)
    program.process.send_signal(number)
    assert program.ends() == CODES[number]
    assert program.said.read_text().strip().endswith(WAY_ON)
    assert "Traceback" not in program.said.read_text()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("module", ["fit", "simulate"])
def test_a_signal_ends_what_has_not_begun(module, seconds, start):
    """While libraries are imported and parts are built."""
    program = start(LONG, module)
    time.sleep(seconds)
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() in (143, -15)  # -15: before the first line of ours
    assert "Traceback" not in program.said.read_text()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("who", ["first", "second", "all"])
@pytest.mark.parametrize("config", [LONG, JUDGED], ids=["training", "validation"])
def test_a_signal_ends_both_processes(config, who, start, tmp_path):
    program = start({**config, "trainer": {**config["trainer"], **TWO}})
    program.wait_for(has_begun(tmp_path))
    time.sleep(0.5)
    ranks = {"first": [program.process.pid], "second": program.other_ranks()}
    for p in ranks["first"] + ranks["second"] if who == "all" else ranks[who]:
        os.kill(p, signal.SIGTERM)
    assert program.ends() == 143
    assert program.said.read_text().strip().endswith(WAY_ON)
    assert "Traceback" not in program.said.read_text()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("config", [LONG, JUDGED], ids=["training", "validation"])
def test_a_process_that_dies_ends_the_other(config, start, tmp_path):
    program = start({**config, "trainer": {**config["trainer"], **TWO}})
    program.wait_for(has_begun(tmp_path))
    time.sleep(0.5)
    os.kill(program.other_ranks()[0], signal.SIGKILL)
    assert program.ends() == 1
    assert "process 1 of this run has ended by signal SIGKILL" in program.said.read_text()
    assert "Traceback" not in program.said.read_text()


@linux
@pytest.mark.slow
def test_the_death_of_the_first_process_ends_the_other(start, tmp_path):
    program = start({**LONG, "trainer": {**LONG["trainer"], **TWO}})
    program.wait_for(has_begun(tmp_path))
    program.process.kill()
    assert program.ends() == -9


def main_of(text):
    """A program that listens, and says that it stands."""
    lines = ["import signal, sys, time", "from lit_bg import signals", "with signals.listening('start again.'):"]
    return "\n".join([*lines, *(f"    {line}" for line in text.splitlines())])


SWALLOWS = """\
signals.set_mode('raise')
print('stands', flush=True)
while True:
    try:
        time.sleep(0.01)
    except BaseException:
        pass
"""
DEFERS = """\
signals.set_mode('defer')
print('stands', flush=True)
while not signals.caught():
    time.sleep(0.01)
print('ends its step', flush=True)
signals.set_mode('raise')
"""
LOSES = """\
class Old:
    def __del__(self):
        print('stands', flush=True)
        time.sleep(60)


signals.set_mode('raise')
old = Old()
del old
time.sleep(60)
"""
CONVERTS = """\
signals.set_mode('raise')
print('stands', flush=True)
try:
    time.sleep(60)
except BaseException as error:
    raise ImportError('initialization failed') from error
"""
EXITS = "print('stands', flush=True)\ntime.sleep(60)"
DEAF = "print('stands', flush=True)\nimport ctypes; ctypes.CDLL(None).sleep(60)"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (SWALLOWS, signals.GRACE["raise"] + 2),
        (LOSES, 2),
        (CONVERTS, 2),
        (DEFERS, 2),
        (EXITS, 2),
        (DEAF, signals.GRACE["exit"] + 2),
    ],
    ids=[
        "an exception that is swallowed",
        "an exception that nobody hears of",
        "an exception that becomes another",
        "a step that is ended",
        "nothing to end",
        "a call that does not return",
    ],
)
def test_every_program_ends(text, seconds):
    """A mode decides how; a thread sees to it that it happens."""
    program = subprocess.Popen([sys.executable, "-c", main_of(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout.readline().strip() == "stands"
    program.send_signal(signal.SIGTERM)
    said, error = program.communicate(timeout=seconds)
    assert program.returncode == 143
    assert error.strip() == "Interrupted; start again."
    assert ("ends its step" in said) == (text is DEFERS)


def test_a_second_signal_does_not_wait():
    program = subprocess.Popen(
        [sys.executable, "-c", main_of(DEFERS.replace("signals.caught()", "False"))], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout.readline().strip() == "stands"
    program.send_signal(signal.SIGINT)
    time.sleep(0.2)
    program.send_signal(signal.SIGINT)
    assert program.wait(2) == 130


def test_handlers_are_given_back():
    before = [signal.getsignal(s) for s in signals.OBEYED]
    with signals.listening("again."):
        assert [signal.getsignal(s) for s in signals.OBEYED] != before
    assert [signal.getsignal(s) for s in signals.OBEYED] == before
    assert signals.caught() is None


def test_a_queue_requeues_nothing_by_itself(monkeypatch):
    """Lightning's own requeueing leaves checkpoints that any later run would load."""
    from lightning.fabric.plugins.environments import SLURMEnvironment

    from lit_bg.commands.training import with_plugins

    monkeypatch.setattr(SLURMEnvironment, "detect", staticmethod(lambda: True))
    environment = next(p for p in with_plugins([]) if isinstance(p, SLURMEnvironment))
    assert environment.auto_requeue is False


def test_lightning_does_not_take_signals_back():
    """The names that `take_over` replaces are those that Lightning calls."""
    import lightning.pytorch as pl
    from lightning.pytorch.strategies.launchers import subprocess_script
    from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

    assert callable(subprocess_script._launch_process_observer)
    assert callable(_SignalConnector.register_signal_handlers)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess_script, "_launch_process_observer", subprocess_script._launch_process_observer)
        signals.take_over(trainer)
        before = signal.getsignal(signal.SIGTERM)
        trainer._signal_connector.register_signal_handlers()
        assert signal.getsignal(signal.SIGTERM) is before
