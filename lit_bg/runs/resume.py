"""How a run is resumed: its own configuration, its own folder, and what may be different."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_bg.config.moved import name_as_now
from lit_bg.runs.folder import RunFolder, find_checkpoint

# What a run is told and does not consist of. Everything else is the run, and another one would be another run.
CHANGEABLE = (
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.enable_progress_bar",
    "data.val_samples",
    "data.test_samples",
    "data.eval_batch_size",
)
INEXACT = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "data.eval_batch_size")
OF_A_CALL = ("name", "runs", "version", "ckpt_path", "config")


@dataclass(frozen=True)
class Resumption:
    """Holds what a command asks to go on with.

    Attributes:
        folder: of the run that goes on; None where a checkpoint lies in no run folder, so that a new run begins from it.
        checkpoint: to go on from; None for a run that ended before its first step.
    """

    folder: RunFolder | None
    checkpoint: Path | None


def read_arguments(args: list[str]) -> tuple[list[str], Resumption | None]:
    """Return the arguments of the command line without those that name a run to go on with, and that run.

    `--resume RUN` needs nothing else; `--ckpt_path last` is the newest run of the experiment that `-c` and `--name` name.
    Either way the configuration is the run's own config.yaml, with what the command line changes.

    Raises:
        ValueError: `--resume` beside an option that names a run or a configuration, or a YAML whose runs leave the directory.
        FileNotFoundError: there is no such run.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--resume", "--ckpt_path", "--name", "--version", "--runs"):
        parser.add_argument(option)
    parser.add_argument("-c", "--config", action="append")
    try:
        given, rest = parser.parse_known_args(args)
    except (argparse.ArgumentError, SystemExit):
        return args, None  # an option without its value: the real parser says so
    if given.resume is not None:
        other = next((o for o in ("config", "ckpt_path", "name", "version", "runs") if getattr(given, o) is not None), None)
        if other is not None:
            raise ValueError(f"--resume reads the configuration and the place of the run itself: leave out --{other}.")
        folder = RunFolder.find(Path(given.resume))
        resumption = Resumption(folder, folder.last if folder.last.is_file() else None)
        return ["-c", str(folder.config), *rest], resumption
    content = _content(given.config)
    runs = str(content.get("runs") or "runs")
    if Path(runs).is_absolute() or ".." in Path(runs).parts:
        raise ValueError(
            f"a YAML keeps its runs below the working directory, and '{runs}' is not: use --runs on the command line."
        )
    wanted = content.get("ckpt_path") if given.ckpt_path is None else given.ckpt_path
    if wanted in (None, "null", "None"):
        return args, None
    name = given.name or content.get("name") or (Path(given.config[0]).stem if given.config else "experiment")
    version = int(given.version) if str(given.version).isdigit() else None
    checkpoint = find_checkpoint(str(wanted), given.runs or runs, str(name), version)
    found = RunFolder.of_checkpoint(checkpoint)
    if found is None or not found.config.is_file():
        return args, Resumption(None, checkpoint)
    if given.config:
        print(f"Going on with {found.path} by its own config.yaml; {given.config[0]} is not read.", file=sys.stderr)
    return ["-c", str(found.config), *rest], Resumption(found, checkpoint)


def _content(configs: list[str] | None) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(Path(configs[0]).read_text()) if configs else None
    return content if isinstance(content, dict) else {}


def compare_configurations(then: dict[str, Any], now: dict[str, Any], run: str) -> None:
    """Refuse to go on with another run than the one that began, and say where the way on is not exact.

    Args:
        then: configuration that the checkpoint was trained with.
        now: the one that is asked for.
        run: its folder, for the message.

    Raises:
        ValueError: what may not change, by name.
    """
    changed = [c for c in _differences(name_as_now(then), now) if c[0].split(".")[0] not in OF_A_CALL]
    for key, old, new in changed:
        if key not in CHANGEABLE:
            raise ValueError(
                f"{key} is {_short(new)} and was {_short(old)} when '{run}' was trained: that would be another run, so "
                f"start a new one (what may change: {', '.join(CHANGEABLE)})."
            )
    inexact = [key for key, _, _ in changed if key in INEXACT]
    if inexact:
        print(f"Going on with another {', '.join(inexact)}: not bit-identical to a run of one piece.", file=sys.stderr)


def check_length(configuration: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Refuse a number of epochs below those that are done.

    Raises:
        ValueError: there are more.
    """
    most = configuration["trainer"].get("max_epochs")
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["completed"]
    steps = configuration["data"]["steps_per_epoch"]
    if most is not None and 0 <= most < batches / steps:
        raise ValueError(
            f"trainer.max_epochs is {most}, and {batches / steps:.4g} epochs are done: give at least {-(-batches // steps)}."
        )


def _differences(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return the keys whose values differ; lists are compared as a whole."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(n for n in now if n not in then)]:
            yield from _differences(then.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif then != now:
        yield key, then, now


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
