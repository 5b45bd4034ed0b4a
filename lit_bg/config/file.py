"""Checks of an experiment's YAML before anything heavy is imported."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_bg.config.command_line import complain
from lit_bg.config.old_spelling import find_old_spelling
from lit_bg.shipped import suggest

SECTIONS = ("seed_everything", "trainer", "model", "data", "simulate", "name", "version", "runs", "ckpt_path")
OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")
DEEPEST = 100  # levels; what reads a configuration later calls itself once a level
MOST_VALUES = 1_000_000  # with every alias written out; a schedule with a point per step has as many
LARGEST = 50_000_000  # bytes of a file


def refuse_early(args: list[str]) -> None:
    """Say what is wrong with the configuration itself before the heavy imports: its files, and values on the command line."""
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        path = flag.removeprefix("--config=") if flag.startswith("--config=") else value if flag in ("-c", "--config") else None
        if path is not None:
            problem = _problem_of_file(path)
        else:
            key, _, text = flag.partition("=")
            problem = _problem_of_value(key, text) if key.startswith("--") else None
        if problem:
            complain(problem)


def _problem_of_file(path: str) -> str | None:
    if not os.path.isfile(path):
        return f"no configuration file at '{path}': give one that exists, such as {suggest(path)}."
    try:
        if os.path.getsize(path) > LARGEST:
            return f"'{path}' has {os.path.getsize(path):.3g} bytes, more than any experiment: give its YAML file."
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except OSError as error:
        return f"'{path}' cannot be read ({error.strerror})."
    except UnicodeDecodeError as error:
        return f"'{path}' is not YAML: {error}."
    content, problem = parse_yaml(text, f"'{path}'")
    if problem:
        return problem
    if not isinstance(content, dict):
        return f"'{path}' holds no sections: an experiment has {', '.join(SECTIONS[:4])}."
    for key in content:
        if key not in SECTIONS:
            close = difflib.get_close_matches(str(key), SECTIONS, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(SECTIONS)}."
            return f"unknown section '{key}' in '{path}', {hint}"
        section = content[key]
        named = isinstance(section, str) and os.path.isfile(section)  # jsonargparse reads a section from a file too
        if key in SECTIONS[1:4] and not (isinstance(section, dict) or named):
            return f"{key} in '{path}' must be a section with keys, such as {key}: {{key: value}}, got {section!r}."
    return next(_problems_of_values(content), None) or find_old_spelling(content.get("simulate"))


def _problem_of_value(key: str, text: str) -> str | None:
    """Return what is wrong with a section given on the command line, such as --model.energy={class_path: DoubleWell}."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    content, problem = parse_yaml(text, key)
    name = key.removeprefix("--")
    problem = problem or next(_problems_of_values({name: content}), None)
    return problem or (find_old_spelling(content) if name == "simulate" else None)


def parse_yaml(text: str, where: str) -> tuple[Any, str | None]:
    """Return what YAML holds, or what is wrong with it; the events come first, which neither nesting nor aliases make long."""
    import yaml

    try:
        if problem := _problem_of_events(yaml.parse(text, Loader=yaml.SafeLoader), where):
            return None, problem
        return yaml.safe_load(text), None
    except (yaml.YAMLError, ValueError) as error:  # a number of 5000 digits is a ValueError
        return None, f"{where} is not YAML: {error}."


def _problem_of_events(events: Iterator[Any], where: str) -> str | None:
    """Return what is wrong with YAML as text: too deep, too long, an alias of itself, or a key that stands twice."""
    import yaml

    sizes: dict[str, int] = {}  # of what an alias stands for
    open_: list[tuple[str | None, int, set[str] | None]] = []  # anchor, values so far, keys of a mapping
    is_key: list[bool] = []
    total = 0

    def close(anchor: str | None, size: int) -> None:
        nonlocal total
        if anchor is not None:
            sizes[anchor] = size
        if open_:
            name, so_far, keys = open_[-1]
            open_[-1] = (name, so_far + size, keys)
            is_key[-1] = not is_key[-1]
        else:
            total += size

    for event in events:
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_.append((event.anchor, 1, set() if isinstance(event, yaml.MappingStartEvent) else None))
            is_key.append(True)
            if len(open_) > DEEPEST:
                return f"{where} is nested more than {DEEPEST} levels deep{_line(event)}: write it flatter."
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, size, _ = open_.pop()
            is_key.pop()
            close(anchor, size)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                return f"{where} uses *{event.anchor}{_line(event)}, where no &{event.anchor} has ended."
            close(None, sizes[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            keys = open_[-1][2] if open_ else None
            if keys is not None and is_key[-1]:
                if event.value in keys and event.value != "<<":
                    return f"the key '{event.value}' stands twice in {where}{_line(event)}: remove one."
                keys.add(event.value)
            close(event.anchor, 1)
        if (open_ and open_[-1][1] > MOST_VALUES) or total > MOST_VALUES:
            return f"{where} stands for more than {MOST_VALUES} values when its aliases are written out: use fewer."
    return None


def _line(event: Any) -> str:
    return f" at line {event.start_mark.line + 1}"


def _problems_of_values(content: dict[Any, Any]) -> Iterator[str]:
    """Return what no class could accept, by its key: numbers that are none, and descriptions of classes that are none."""
    stack: list[tuple[str, Any]] = [(str(key), value) for key, value in content.items()]
    seen: set[int] = set()
    while stack:
        key, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{key} must be a finite number, got {value}."
        if not isinstance(value, (dict, list)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list):
            stack += [(f"{key}[{i}]", item) for i, item in enumerate(value)]
            continue
        if "class_path" in value:
            yield from _problems_of_class(key, value)
        stack += [(f"{key}.{name}", item) for name, item in value.items()]


def _problems_of_class(key: str, value: dict[Any, Any]) -> Iterator[str]:
    path, arguments = value["class_path"], value.get("init_args", {})
    if not isinstance(path, str):
        yield f"{key}.class_path must be the name of a class, got {path!r}."
    for name in value:
        if name not in OF_A_CLASS:
            yield (
                f"{key} has the key '{name}' beside class_path: a class has {' and '.join(OF_A_CLASS[:2])}, and its arguments "
                "stand under init_args."
            )
    if not isinstance(arguments, dict):
        got = "nothing: leave it out" if arguments is None else repr(arguments)
        yield f"{key}.init_args must hold arguments by name, got {got}."


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a run.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content, problem = parse_yaml(path.read_text(encoding="utf-8"), f"'{path}'")
    except UnicodeDecodeError as error:
        content, problem = None, f"'{path}' is no text ({error})."
    if problem is not None:
        raise ValueError(" ".join(problem.split()))
    return content if isinstance(content, dict) else {}
