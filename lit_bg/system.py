"""The system of a run folder or of an experiment, and what its configuration holds it against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_bg.diagnostics.knowledge import Value
from lit_bg.energies.base import Energy
from lit_bg.run_folder import RunFolder


@dataclass
class System:
    """An energy, and what its configuration says of data.

    Attributes:
        energy: the system.
        folder: of the run; None of an experiment.
        data: path of the reference data that the configuration names; they may be elsewhere.
        held_out, force: of the configuration.
        log_Z: an independent log Z of the configuration.
    """

    energy: Energy
    folder: RunFolder | None
    data: Path | None
    held_out: float
    force: bool
    log_Z: Value | None

    @property
    def has_generator(self) -> bool:
        """Return whether there is a trained generator to ask."""
        return self.folder is not None and self.folder.best.is_file()


def load_system(name: str) -> System:
    """Read the energy of a run folder (or of the newest run of an experiment), or of an experiment's YAML.

    The configuration names classes, which are imported: load only what you trust.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file is damaged, or describes no energy.
    """
    from lit_bg.cli import build
    from lit_bg.run import with_inputs

    path = Path(name)
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"'{name}' is neither a run folder nor the YAML of an experiment.")
    folder = None if path.is_file() else RunFolder.find(path)
    content = _read(path if folder is None else folder.config)
    if folder is not None:
        content = with_inputs(content, folder)
    data = content.get("data")
    data = data if isinstance(data, dict) else {}
    file, z = data.get("path"), data.get("log_Z")
    return System(
        energy=build(Energy, content["model"]["energy"]),
        folder=folder,
        data=Path(file) if isinstance(file, str) else None,
        held_out=float(data.get("held_out", 0.1)),
        force=bool(data.get("force", False)),
        log_Z=Value(float(z["value"]), float(z["error"]), str(z["source"])) if isinstance(z, dict) else None,
    )


def _read(path: Path) -> dict[str, Any]:
    """Read a configuration with an energy.

    Raises:
        ValueError: it is none.
    """
    from lit_bg.config_file import parse_yaml

    try:
        content, problem = parse_yaml(path.read_text(encoding="utf-8"), f"'{path}'")
    except UnicodeDecodeError as error:
        content, problem = None, f"'{path}' is no text ({error})."
    if problem is not None:
        raise ValueError(" ".join(problem.split()))
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not model.get("energy"):
        raise ValueError(f"'{path}' has no model.energy: give the folder of a run, or the YAML of an experiment.")
    return content
