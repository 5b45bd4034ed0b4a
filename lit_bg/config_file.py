"""The YAML file of an experiment, looked at before anything heavy is imported."""

from __future__ import annotations

import difflib
import os
import sys

SECTIONS = ("seed_everything", "trainer", "model", "data", "simulate", "name", "version", "runs", "ckpt_path")


def refuse_early(args: list[str]) -> None:
    """Say what is wrong with the configuration file itself before the heavy imports."""
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        path = flag.removeprefix("--config=") if flag.startswith("--config=") else value if flag in ("-c", "--config") else None
        if path is not None and (problem := _problem_of(path)):
            print(f"lit_bg: {problem}", file=sys.stderr)
            raise SystemExit(2)


def _problem_of(path: str) -> str | None:
    if not os.path.isfile(path):
        return f"no configuration file at '{path}': give one that exists, such as experiments/double_well.yaml."
    import yaml

    try:
        with open(path) as f:
            content = yaml.safe_load(f)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"'{path}' is not YAML: {' '.join(str(error).split())}."
    if not isinstance(content, dict):
        return f"'{path}' holds no sections: an experiment has {', '.join(SECTIONS[:4])}."
    for key in content:
        if key not in SECTIONS:
            close = difflib.get_close_matches(str(key), SECTIONS, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(SECTIONS)}."
            return f"unknown section '{key}' in '{path}', {hint}"
    return None
