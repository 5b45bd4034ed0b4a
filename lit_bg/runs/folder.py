"""The folder a run leaves behind: runs/<experiment>/version_N/."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_bg.files import atomic
from lit_bg.shipped import locate


@dataclass(frozen=True)
class RunFolder:
    """Knows the names inside a run folder, and finds a new or an old one.

    >>> RunFolder(Path("runs/double_well/version_3")).version
    3
    """

    path: Path

    @property
    def version(self) -> int:
        return int(self.path.name.removeprefix("version_"))

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    def checkpoint(self, name: str) -> Path:
        """Return the file of a checkpoint, "best" or "last".

        Raises:
            FileNotFoundError: the run has none of this name.
        """
        file = self.checkpoints / f"{name}.ckpt"
        if not file.is_file():
            have = ", ".join(sorted(p.stem for p in self.checkpoints.glob("*.ckpt"))) or "none"
            raise FileNotFoundError(f"no checkpoint '{name}' in '{self.checkpoints}' (there: {have}).")
        return file

    @property
    def inputs(self) -> Path:
        """Return the folder with copies of the files the energy was built from, so that the run can be read anywhere."""
        return self.path / "inputs"

    @classmethod
    def all_of(cls, runs: str, experiment: str) -> list[RunFolder]:
        """Return every run of an experiment, oldest first."""
        found = [cls(p) for p in Path(runs, experiment).glob("version_*") if p.name[8:].isdigit()]
        return sorted(found, key=lambda f: f.version)

    @classmethod
    def find(cls, run: Path) -> RunFolder:
        """Return the run folder of this name, or the newest of an experiment.

        Raises:
            FileNotFoundError: neither is there, or it has no config.yaml.
        """
        folder = cls(run)
        if not folder.config.is_file():
            inside = cls.all_of(str(run.parent), run.name)
            if not inside or not inside[-1].config.is_file():
                raise FileNotFoundError(f"'{run}' is no run folder (it has no config.yaml): give runs/<experiment>/version_N.")
            folder = inside[-1]
        return folder

    @classmethod
    def new(cls, runs: str, experiment: str, version: int | None) -> RunFolder:
        """Return the next free folder, or the one asked for.

        Raises:
            ValueError: the folder asked for exists, or the experiment's name is none of a folder.
        """
        if not experiment or experiment in (".", "..") or set(experiment) & set("/\\\0"):
            raise ValueError(
                f"the name of an experiment is that of a folder within '{runs}', got {experiment!r}: leave out / and .."
            )
        root = Path(runs, experiment)
        if os.environ.get("LOCAL_RANK", "0") != "0" and "LIT_BG_VERSION" in os.environ:
            return cls(root / f"version_{os.environ['LIT_BG_VERSION']}")  # rank 0 chose, before it started the others
        chosen = max((f.version for f in cls.all_of(runs, experiment)), default=-1) + 1 if version is None else version
        folder = root / f"version_{chosen}"
        try:
            folder.mkdir(parents=True)  # now, so that of two runs started together each gets its own
        except FileExistsError:
            if version is None:
                return cls.new(runs, experiment, None)
            raise ValueError(
                f"the run folder '{folder}' exists: go on with it by --resume {folder}, or leave out --version for a new one."
            ) from None
        os.environ["LIT_BG_VERSION"] = str(chosen)
        return cls(folder)

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> RunFolder | None:
        """Return the run a checkpoint belongs to, where it lies in one."""
        folder = cls(checkpoint.parent.parent)
        return folder if checkpoint.parent.name == "checkpoints" and folder.path.name.startswith("version_") else None

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.yaml: everything needed to build the run again."""
        import yaml

        with atomic(self.config) as temporary:
            temporary.write_text(yaml.safe_dump(config, sort_keys=False))

    def keep_inputs(self, config: Any) -> None:
        """Copy every file that a configuration names."""
        for file in _files_in(config):
            self.inputs.mkdir(exist_ok=True)
            with atomic(self.inputs / Path(file).name) as temporary:
                shutil.copyfile(file, temporary)


def _files_in(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        for value in config.values():
            yield from _files_in(value)
    elif isinstance(config, list):
        for value in config:
            yield from _files_in(value)
    elif isinstance(config, str) and os.path.isfile(file := locate(config)):
        yield file


def find_checkpoint(ckpt_path: str, runs: str, experiment: str, version: int | None) -> Path:
    """Return the file behind --ckpt_path; 'last' is that of the newest run of the experiment that has one.

    Raises:
        FileNotFoundError: there is none.
    """
    if ckpt_path != "last":
        if not Path(ckpt_path).is_file():
            raise FileNotFoundError(
                f"no checkpoint at '{ckpt_path}': give a file, or 'last' for the newest run of '{experiment}'."
            )
        return Path(ckpt_path)
    folders = [f for f in RunFolder.all_of(runs, experiment) if f.last.is_file() and version in (None, f.version)]
    if not folders:
        raise FileNotFoundError(
            f"nothing to resume: no '{runs}/{experiment}/version_{'*' if version is None else version}/checkpoints/last.ckpt'; "
            "start without --ckpt_path."
        )
    return folders[-1].last
