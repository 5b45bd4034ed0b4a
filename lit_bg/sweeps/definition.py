"""The YAML of a sweep, as `wandb sweep` reads it."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

from lit_bg.config.file import parse_yaml
from lit_bg.shipped import locate
from lit_bg.sweeps.parameter import Choice, Range, read_parameter

KEYS = (
    "name", "description", "project", "entity", "program", "command", "method", "metric", "parameters", "early_terminate",
    "run_cap", "controller", "apiVersion", "kind",
)  # fmt: skip
METHODS = ("random", "bayes", "grid")
GOALS = ("minimize", "maximize")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
LARGEST_GRID = 10_000


@dataclass(frozen=True)
class Halving:
    """Ends the worse trials early: at values number `first`, `first` * `eta`, ... of the metric the best 1 / `eta` go on.

    That is one bracket of Hyperband, Li et al., JMLR 18, 185 (2018), arXiv:1603.06560, run as trials come in (ASHA).
    """

    first: int
    eta: int


@dataclass(frozen=True)
class Sweep:
    """A search for values of keys that make a metric of the run large or small.

    Attributes:
        name: of the search; its runs are runs/<name>/version_<trial>.
        method: "random", "bayes" or "grid".
        metric, goal: what is logged by every run, and whether to "minimize" or "maximize" its last value.
        parameters: keys on the command line, and what they are drawn from.
        command: what a trial runs, with W&B's macros such as ${args}.
        program: what ${program} stands for.
        trials: how many, where the file says it.
        halving: how trials end early; None: they do not.
    """

    name: str
    method: str
    metric: str
    goal: Literal["minimize", "maximize"]
    parameters: dict[str, Choice | Range]
    command: tuple[str, ...]
    program: str
    trials: int | None
    halving: Halving | None

    @classmethod
    def read(cls, path: str) -> Sweep:
        """Read a file, one that is here or one that ships with lit_bg.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no sweep, or one that Optuna cannot run.
        """
        file = Path(locate(path))
        if not file.is_file():
            raise FileNotFoundError(f"there is no sweep at '{path}': give a file such as experiments/sweeps/double_well.yaml.")
        content, problem = parse_yaml(file.read_text(encoding="utf-8"), f"'{path}'")
        if problem is not None:
            raise ValueError(" ".join(problem.split()))
        return cls.of(content, file.stem, f"'{path}'")

    @classmethod
    def of(cls, content: Any, name: str, where: str = "the sweep") -> Sweep:
        """Return the sweep that the content of a file describes.

        Args:
            content: of the YAML.
            name: where the content has none.
            where: of the file, for messages.

        Raises:
            ValueError: it is no sweep, or one that Optuna cannot run.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("parameters"), Mapping) or not content["parameters"]:
            raise ValueError(f"{where} is no sweep: it needs method, metric and parameters.")
        for key in content:
            if key not in KEYS:
                close = difflib.get_close_matches(str(key), KEYS, 1)
                raise ValueError(f"unknown key '{key}' in {where}{f', did you mean {close[0]!r}?' if close else '.'}")
        method, metric = content.get("method"), content.get("metric")
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
        if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
            raise ValueError(f"metric must hold the name of what runs log, such as {{name: val/ess}}, got {metric!r}.")
        goal, trials = metric.get("goal", "minimize"), content.get("run_cap")
        if goal not in GOALS:
            raise ValueError(f"metric.goal must be minimize or maximize, got {goal!r}.")
        if trials is not None and (not isinstance(trials, int) or trials < 1):
            raise ValueError(f"run_cap must be a positive number of trials, got {trials!r}.")
        command = content.get("command") or DEFAULT_COMMAND
        program = content.get("program", "")
        if not isinstance(command, (list, tuple)) or ("${program}" in command and not program):
            raise ValueError(f"{where} needs a command, a list of words, or the program that its command calls.")
        if not any("${args" in str(word) for word in command):
            raise ValueError(f"command in {where} has no ${{args}}, so that all its trials would be alike.")
        sweep = cls(
            name=str(content.get("name", name)),
            method=str(method),
            metric=metric["name"],
            goal="maximize" if goal == "maximize" else "minimize",
            parameters={str(key): read_parameter(str(key), spec) for key, spec in content["parameters"].items()},
            command=tuple(map(str, command)),
            program=str(program),
            trials=trials,
            halving=_read_early_terminate(content.get("early_terminate")),
        )
        if method == "grid":
            sweep.check_grid()
        return sweep

    def check_grid(self) -> None:
        """Refuse a grid with a parameter that has no list of values, or of too many points.

        Raises:
            ValueError: either of them.
        """
        endless = [name for name, p in self.parameters.items() if isinstance(p, Range) and p.step is None and not p.integer]
        if endless:
            raise ValueError(f"method grid needs values of parameters.{endless[0]}, or q: it is an interval.")
        if (n := prod(len(axis) for axis in self._axes())) > LARGEST_GRID:
            raise ValueError(f"the grid has {n} points, more than {LARGEST_GRID}: take method random.")

    def grid(self) -> list[dict[str, Any]]:
        """Return every combination of the values, the last parameter changing fastest."""
        return [dict(zip(self.parameters, point, strict=True)) for point in product(*self._axes())]

    def _axes(self) -> list[tuple[Any, ...]]:
        return [p.values if isinstance(p, Choice) else _points(p) for p in self.parameters.values()]

    def command_of(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command of one trial: W&B's macros written out, ${interpreter} being this one.

        Raises:
            ValueError: a macro that is not known.
        """
        flags = [f"{name}={value}" for name, value in values.items()]
        meaning = {
            "env": ["/usr/bin/env"],
            "interpreter": [sys.executable],
            "program": [self.program],
            "args": [f"--{flag}" for flag in flags],
            "args_no_hyphens": flags,
            "args_no_equals": [word for name, value in values.items() for word in (f"--{name}", str(value))],
            "args_json": [json.dumps(dict(values))],
        }
        words: list[str] = []
        for word in self.command:
            macro = re.fullmatch(r"\$\{(\w+)\}", word)
            if macro and macro[1] not in meaning:
                raise ValueError(f"the command has {word}, known are {', '.join(f'${{{name}}}' for name in meaning)}.")
            words += meaning[macro[1]] if macro else [word]
        return words

    def identity(self) -> str:
        """Return what two sweeps must share to be one search, as text."""
        relevant = {key: value for key, value in asdict(self).items() if key != "trials"}
        return json.dumps(relevant, sort_keys=True, default=str)


def _points(range_: Range) -> tuple[Any, ...]:
    step = 1 if range_.step is None else range_.step
    count = int((range_.high - range_.low) / step + 1e-9) + 1
    return tuple(range_.low + i * step for i in range(count))


def _read_early_terminate(section: Any) -> Halving | None:
    """Return the first look and the factor, from W&B's min_iter, or from max_iter and s."""
    if section is None:
        return None
    eta = section.get("eta", 3) if isinstance(section, Mapping) else None
    if eta is None or section.get("type") != "hyperband":
        raise ValueError(f"early_terminate must hold type: hyperband with min_iter, or max_iter and s, got {section!r}.")
    numbers = [section.get("min_iter")] if "min_iter" in section else [section.get("max_iter"), section.get("s")]
    if not all(isinstance(n, int) and n >= 1 for n in numbers) or not isinstance(eta, int) or eta < 2:
        raise ValueError(
            "early_terminate needs min_iter, or max_iter and s, whole and positive, and a whole eta of at least 2, got "
            f"{section}."
        )
    return Halving(numbers[0] if len(numbers) == 1 else max(1, numbers[0] // eta ** numbers[1]), eta)
