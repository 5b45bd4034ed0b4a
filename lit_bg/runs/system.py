"""The system of a run folder or of an experiment, with the reference data that its configuration names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lit_bg.config.file import read_config
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.knowledge import Value
from lit_bg.energies.base import Energy
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.load import with_inputs
from lit_bg.shipped import locate


@dataclass(frozen=True)
class DataSection:
    """Holds what a configuration says of data.

    Attributes:
        path: of the reference data; they may be elsewhere.
        held_out, force: as in the configuration.
        log_Z: an independent log Z.
        folder: of the run; None of an experiment.
    """

    path: Path | None
    held_out: float
    force: bool
    log_Z: Value | None
    folder: RunFolder | None

    @classmethod
    def of(cls, content: dict[str, Any], folder: RunFolder | None) -> Self:
        """Read the section of a configuration, of a run or of an experiment."""
        data = content.get("data")
        data = data if isinstance(data, dict) else {}
        path, z = data.get("path"), data.get("log_Z")
        return cls(
            path=Path(path) if isinstance(path, str) else None,
            held_out=float(data.get("held_out", 0.1)),
            force=bool(data.get("force", False)),
            log_Z=Value(float(z["value"]), float(z["error"]), str(z["source"])) if isinstance(z, dict) else None,
            folder=folder,
        )

    @classmethod
    def of_run(cls, folder: RunFolder) -> Self:
        """Read the section of a run.

        Raises:
            ValueError: its configuration is damaged.
        """
        return cls.of(read_config(folder.config), folder)

    def find(self) -> Path | None:
        """Return the file of the reference data, here or where the run was started; None where it is neither."""
        if self.path is None:
            return None
        places = [self.path]
        if self.folder is not None:
            above = self.folder.path.absolute().parents
            places.append(above[min(2, len(above) - 1)] / self.path)  # by habit: the folder that holds runs/
        return next((place for place in places if place.is_file()), None)

    def load(self, energy: Energy, path: str | Path | None = None) -> Dataset | None:
        """Read reference data from a file that is given, or those of the configuration; None where they are not there.

        Raises:
            FileNotFoundError: the file that is given is not there.
            ValueError: data that cannot be read, or of another system.
        """
        file = self.find() if path is None else Path(path)
        return None if file is None else Dataset.load(file, energy, force=self.force)


@dataclass
class TargetSystem:
    """Holds an energy, and what its configuration says of data.

    Attributes:
        energy: the system.
        folder: of the run; None of an experiment.
        data: what the configuration says of data.
    """

    energy: Energy
    folder: RunFolder | None
    data: DataSection

    @property
    def has_generator(self) -> bool:
        """Return whether there is a trained generator to ask."""
        return self.folder is not None and self.folder.best.is_file()


def load_system(name: str) -> TargetSystem:
    """Read the energy of a run folder (or of the newest run of an experiment), or of an experiment's YAML.

    The configuration names classes, which are imported: load only what you trust.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file is damaged, or describes no energy.
    """
    from lit_bg.config.cli import build

    path = Path(locate(name))
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"'{name}' is neither a run folder nor the YAML of an experiment.")
    folder = None if path.is_file() else RunFolder.find(path)
    file = path if folder is None else folder.config
    content = read_config(file)
    model = content.get("model")
    if not isinstance(model, dict) or not model.get("energy"):
        raise ValueError(f"'{file}' has no model.energy: give the folder of a run, or the YAML of an experiment.")
    section = DataSection.of(content, folder)
    if folder is not None:
        content = with_inputs(content, folder)
    return TargetSystem(build(Energy, content["model"]["energy"]), folder, section)
