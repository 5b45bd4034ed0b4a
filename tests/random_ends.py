"""Kills and signals at random moments: is anything half-written, and does every run go on as if nothing had happened?

    python tests/random_ends.py --kills 60 --signals 40 --two 8

Trains, simulates and samples in forked children of a process that has imported everything (and, for two processes, in
processes of their own), ends each at a random moment, looks at every file, goes on, and compares with what an undisturbed run
has left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import yaml
from test_resume import SMALL, rows

from lit_bg import fit, sample, signals, simulate
from lit_bg.files import TEMPORARY

MAIN = {"fit": fit.main, "simulate": simulate.main, "sample": sample.main}
EXIT = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}
LADDER = {"walkers": 10, "frames": 1500, "burn_in": 17, "ladder": {"temperatures": [1.0, 1.5, 2.2]}}
LADDER |= {"kernel": {"class_path": "Langevin", "init_args": {"time_step": 0.03, "steps": 10}}}
SIMULATED = {**SMALL, "simulate": {"class_path": "ReplicaExchange", "init_args": LADDER}}
SIMULATED["model"] = {**SMALL["model"], "energy": {"class_path": "DW4"}}


def begin(tool: str, args: list[str], said: str) -> int:
    """Fork a child that runs a program; returns its process identifier."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        os.environ.pop("LIT_BG_VERSION", None)
        try:
            MAIN[tool](args)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
    finally:
        os._exit(code)


def end(child: int, number: int | None, after: float, limit: float = 120.0) -> tuple[int | str, float]:
    """Wait, with a signal after a while; returns the exit code (or HANG) and the seconds since the signal."""
    began, sent = time.monotonic(), None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        if done:
            return os.waitstatus_to_exitcode(status), now - (sent or now)
        if number is not None and sent is None and now - began > after:
            os.kill(child, number)
            sent = now
        if now - (sent or began) > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "HANG", now - (sent or began)
        time.sleep(0.005)


def run(tool: str, args: list[str]) -> tuple[int | str, float]:
    began = time.monotonic()
    code, _ = end(begin(tool, args, "said.txt"), None, 0.0)
    return code, time.monotonic() - began


def broken(folder: Path) -> list[str]:
    """Files under a folder that cannot be read, temporaries aside."""
    found = []
    for file in folder.rglob("*"):
        if not file.is_file() or TEMPORARY.match(file.name):
            continue
        try:
            if file.suffix in (".ckpt", ".pt"):
                torch.load(file, weights_only=True)
            elif file.suffix == ".npz":
                with np.load(file) as z:
                    [z[k] for k in z.files]
            elif file.suffix == ".json":
                json.loads(file.read_text())
            elif file.suffix == ".yaml":
                yaml.safe_load(file.read_text())
            elif file.suffix == ".csv":
                assert file.read_text().endswith("\n")
        except Exception as error:
            found.append(f"{file}: {type(error).__name__}")
    return found


def same_run(a: Path, b: Path) -> list[str]:
    """What differs between two finished runs, besides the time they took."""
    found = [] if rows(a) == rows(b) else ["metrics"]
    for name in ("last", "best"):
        x, y = (torch.load(r / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"] for r in (a, b))
        found += [name] if any(not torch.equal(v, y[k]) for k, v in x.items() if isinstance(v, torch.Tensor)) else []
    x, y = (json.loads((r / "summary.json").read_text()) for r in (a, b))
    clocks = ("seconds", "cost", "cost_per_effective_sample")
    return found + [k for k in x if k not in clocks and x[k] != y.get(k)] + same_arrays(a / "samples.npz", b / "samples.npz")


def same_arrays(a: Path, b: Path) -> list[str]:
    with np.load(a) as x, np.load(b) as y:
        return [k for k in x.files if k != "card" and not np.array_equal(x[k], y[k])]


class Trials:
    """One directory, its undisturbed results, and what came of every trial."""

    def __init__(self, folder: Path, runs: Path, seed: int) -> None:
        self.runs, self.random, self.outcomes = runs, random.Random(seed), Counter()
        self.faults: list[str] = []
        self.slowest = 0.0
        os.chdir(folder)
        Path("small.yaml").write_text(yaml.safe_dump(SMALL))
        Path("dw4.yaml").write_text(yaml.safe_dump(SIMULATED))
        self.references = {
            "fit": ["-c", "small.yaml", f"--runs={runs}", "--name=ref"],
            "simulate": ["-c", "dw4.yaml", f"--data.path={runs}/ref.npz"],
            "sample": [f"{runs}/ref/version_0", "-n", "50000", "--out", f"{runs}/ref_s.npz"],
        }
        self.took: dict[str, float] = {}

    def undisturbed(self, tool: str) -> float:
        """Return the seconds that a program takes when it is left alone, which it is once, for what it leaves."""
        if tool not in self.took:
            if tool == "sample":
                self.undisturbed("fit")
            code, self.took[tool] = run(tool, self.references[tool])
            assert code == 0, Path("said.txt").read_text()
        return self.took[tool]

    def trial(self, number: int, tool: str, name: str) -> None:
        """End a program at a random moment, go on, and compare."""
        commands = {
            "fit": ["-c", "small.yaml", f"--runs={self.runs}", f"--name={name}"],
            "simulate": ["-c", "dw4.yaml", f"--data.path={self.runs}/{name}.npz"],
            "sample": [f"{self.runs}/ref/version_0", "-n", "50000", "--out", f"{self.runs}/{name}.npz"],
        }
        after = self.random.uniform(0, 1.1 * self.undisturbed(tool))
        code, seconds = end(begin(tool, commands[tool], "said.txt"), number, after)
        said = Path("said.txt").read_text()
        self.slowest = max(self.slowest, seconds if number != signal.SIGKILL else 0.0)
        if code not in (0, EXIT[number]) or "Traceback" in said:
            self.faults.append(f"{name} {tool}: exit code {code} after {signal.Signals(number).name}: {said[-200:]}")
        self.faults += broken(self.runs)
        again = commands[tool] + (["--force"] if tool == "sample" else [])
        begun = self.runs / name / "version_0" / "config.yaml"
        if tool == "fit" and begun.is_file():
            again = ["--resume", str(begun.parent)]
        finished = tool == "simulate" and (self.runs / f"{name}.npz").is_file()
        code, _ = (0, 0.0) if finished else run(tool, again)
        if code != 0:
            self.faults.append(f"{name} {tool}: went on with exit code {code}: {Path('said.txt').read_text()[-300:]}")
            return
        if tool == "fit":
            newest = sorted((self.runs / name).glob("version_*"))[-1]
            different = same_run(self.runs / "ref/version_0", newest)
        else:
            different = same_arrays(self.runs / ("ref.npz" if tool == "simulate" else "ref_s.npz"), self.runs / f"{name}.npz")
        self.faults += [f"{name} {tool}: {different} differ"] if different else []
        self.outcomes[tool, signal.Signals(number).name, "gone on" if begun.is_file() or tool != "fit" else "begun again"] += 1

    def two_processes(self, number: int, name: str) -> None:
        """The same for a training on two processes, which are no forks: only whether it ends, and what it leaves."""
        args = ["-c", "small.yaml", f"--runs={self.runs}", f"--name={name}", "--trainer.devices=2", "--trainer.strategy=ddp"]
        command = [sys.executable, "-m", "lit_bg.fit", *args]
        with open("said.txt", "wb") as out:
            program = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        time.sleep(self.random.uniform(4, 18))
        program.send_signal(number)
        try:
            code: int | str = program.wait(30)
        except subprocess.TimeoutExpired:
            code = "HANG"
            os.killpg(program.pid, signal.SIGKILL)
        time.sleep(2)
        left = subprocess.run(["pgrep", "-s", str(program.pid), "-f", "lit_bg"], capture_output=True, text=True).stdout.split()
        said = Path("said.txt").read_text()
        if code not in (0, EXIT[number], -number) or left or "Traceback" in said:
            self.faults.append(f"{name}, two processes: exit code {code}, left {left}: {said[-300:]}")
        self.faults += broken(self.runs)
        self.outcomes["fit on two", signal.Signals(number).name, "ended"] += 1


def main() -> list[str]:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=60)
    options.add_argument("--signals", type=int, default=40)
    options.add_argument("--two", type=int, default=8, help="trainings on two processes besides")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--runs", default="/dev/shm" if os.path.isdir("/dev/shm") else None, help="on another file system")
    arguments = options.parse_args()
    os.environ |= {"WANDB_MODE": "disabled", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    torch.set_num_threads(1)
    import_everything()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=arguments.runs) as runs:
        trials = Trials(Path(folder), Path(runs), arguments.seed)
        numbers = [signal.SIGKILL] * arguments.kills + [list(EXIT)[1 + i % 3] for i in range(arguments.signals)]
        trials.random.shuffle(numbers)
        for i, number in enumerate(numbers):
            tool = trials.random.choices(("fit", "simulate", "sample"), (6, 3, 1))[0]
            trials.trial(number, tool, f"t{i}")
        for i in range(arguments.two):
            trials.two_processes(list(EXIT)[i % 4], f"two{i}")
        os.chdir("/")
    for what, times in sorted(trials.outcomes.items()):
        print(*what, times)
    print(f"the slowest end took {trials.slowest:.1f} s after its signal; {len(trials.faults)} faults")
    print(*trials.faults, sep="\n")
    return trials.faults


def import_everything() -> None:
    """What every child needs, once."""
    import importlib

    names = (
        "config.cli",
        "commands.training",
        "runs.load",
        "runs.loggers",
        "runs.resume",
        "callbacks",
        "callbacks.checkpoints",
        "data.simulation",
        "report.table",
    )
    for name in names:
        importlib.import_module(f"lit_bg.{name}")
    for name in ("matplotlib.pyplot", "scipy.stats", "scipy.optimize", "rich.progress", "lightning.pytorch.loggers"):
        importlib.import_module(name)
    assert signals.caught() is None


if __name__ == "__main__":
    sys.exit(bool(main()))
