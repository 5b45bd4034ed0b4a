"""python -m lit_bg.sweep experiments/sweeps/x.yaml --trials 8: search keys of an experiment, without an account."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_bg import signals
from lit_bg.config.command_line import complaining
from lit_bg.files import lock, release
from lit_bg.sweeps.definition import Sweep

if TYPE_CHECKING:
    from lit_bg.sweeps.study import Study

HOPELESS = 3  # trials that fail, and none that does not, after which it is no use to go on

DESCRIPTION = """\
Runs the YAML of a `wandb sweep` with Optuna: draws values of keys, trains with each in a process of its own, and shows what was
best. It is kept in runs/<name>/sweep.db; the same command goes on with it, after an interruption or with more --trials.
Runs are runs/<name>/version_<trial>, what they print is runs/<name>/trial_<number>.log. Options that are not listed here are
given to every run, such as --trainer.max_epochs=2."""


def main(args: list[str] | None = None) -> None:
    """Run the command line: what the user can mend is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(
        "python -m lit_bg.sweep", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="YAML of the sweep, such as experiments/sweeps/double_well.yaml")
    parser.add_argument("--trials", type=int, help="how many in the end; default: run_cap of the YAML, or all of a grid")
    parser.add_argument("--name", help="of the search; default: that in the YAML, or its file name")
    parser.add_argument("--runs", default="runs", help="folder of all runs (default runs)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    args = sys.argv[1:] if args is None else args
    if not args:
        parser.print_help()
        return
    options, rest = parser.parse_known_args(args)
    if unknown := [word for word in rest if not word.startswith("--") or "." not in word or "=" not in word]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}; what runs are given has the form --key.key=value")
    with signals.listening(f"the same command goes on: python -m lit_bg.sweep {shlex.join(args)}"), complaining():
        signals.set_mode("raise")
        run_sweep(options.file, options.trials, options.name, options.runs, options.seed, rest)


def run_sweep(
    file: str,
    trials: int | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
    seed: int = 0,
    options: Sequence[str] = (),
) -> Study:
    """Run a sweep until it has as many trials as it should; trials that fail are counted, and end nothing.

    Args:
        file: its YAML.
        trials: how many there will be in the end; None: as the YAML or its grid says.
        name: of the search; None: as the YAML says.
        runs: folder of all runs.
        seed: of what is drawn.
        options: given to every run before its values.

    Returns:
        The study, with all trials.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: Optuna is not installed.
        ValueError: it is no sweep that Optuna can run, another process works at it, or its first trials have all failed.
    """
    from lit_bg.sweeps.study import Study

    sweep = Sweep.read(file)
    command = [part for word in sweep.command for part in ((*options, word) if "${args" in word else (word,))]
    sweep = replace(sweep, name=name or sweep.name, command=tuple(command))
    if not sweep.name or set(sweep.name) & set("/\\\0") or sweep.name in (".", ".."):
        raise ValueError(f"the name of a sweep is that of a folder within '{runs}', got {sweep.name!r}: give another --name.")
    wanted = trials if trials is not None else sweep.trials or (len(sweep.grid()) if sweep.method == "grid" else None)
    if wanted is None:
        raise ValueError(f"how many trials? Give --trials 8, or run_cap in '{file}'.")
    if wanted < 1:
        raise ValueError(f"--trials must be at least 1, got {wanted}.")
    sweep.command_of({})
    root = Path(runs, sweep.name)
    root.mkdir(parents=True, exist_ok=True)
    lock(root)
    try:
        study = Study(sweep, root / "sweep.db", seed)
        while len(study.trials) < wanted and not study.is_exhausted:
            _run_next(study, root, wanted)
            done = study.trials
            if len(done) == HOPELESS and not any(t.state.name in ("COMPLETE", "PRUNED") for t in done):
                raise ValueError(f"the first {HOPELESS} trials have all failed, so the sweep ends here: look into '{root}'.")
    finally:
        release(root)
    print(table(study, root))
    return study


def _run_next(study: Study, root: Path, wanted: int) -> None:
    """Run one trial, and say so."""
    from lit_bg.sweeps.trial import run_trial

    sweep, trial = study.sweep, study.ask()
    values = study.values_of(trial)
    shown = ", ".join(f"{short} {_number(value)}" for short, value in zip(_short(list(values)), values.values(), strict=True))
    print(f"trial {trial.number} ({len(study.trials) + 1} of {wanted}): {shown}", flush=True)

    def goes_on(step: int, value: float) -> bool:
        trial.report(value, step)
        return not trial.should_prune()

    start = time.monotonic()
    command = [*sweep.command_of(values), f"--runs={root.parent}", f"--name={sweep.name}", f"--version={trial.number}"]
    folder, log = root / f"version_{trial.number}", root / f"trial_{trial.number}.log"
    outcome = run_trial(command, folder, log, sweep.metric, goes_on if sweep.halving else None)
    study.tell(trial, outcome.value, outcome.pruned)
    if outcome.problem is not None:
        said = f"failed, {outcome.problem}"
    else:
        said = "ended early" if outcome.pruned else f"{sweep.metric} {_number(outcome.value)}"
    print(f"  {said} ({time.monotonic() - start:.0f} s)", flush=True)


def table(study: Study, root: Path) -> str:
    """Return what the trials found, best first, and how to run the best one again."""
    sweep, best = study.sweep, study.best()
    words = {"COMPLETE": "done", "PRUNED": "ended early", "FAIL": "failed"}
    rows = [["trial", sweep.metric, *_short(list(sweep.parameters)), "", "run"]]
    for t in study.ranked():
        value = _number(t.value) if t.state.name == "COMPLETE" else "-"
        values = study.values_of(t)
        cells = [_number(values.get(name, "-")) for name in sweep.parameters]
        rows.append([str(t.number), value, *cells, words[t.state.name], str(root / f"version_{t.number}")])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    if best is not None:
        lines += ["", f"Best: trial {best.number}. Again: {shlex.join(sweep.command_of(study.values_of(best)))}"]
    return "\n".join(["", *lines])


def _short(names: list[str]) -> list[str]:
    """Return the last words of keys where they tell them apart, else the keys."""
    last = [name.rpartition(".")[2] for name in names]
    return last if len(set(last)) == len(last) else names


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    signals.run(main)
