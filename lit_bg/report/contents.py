"""What lies in a run folder, read for its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_bg.config.file import read_config
from lit_bg.report.summary import Summary
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.metrics_file import read_metrics

STRUCTURES = ("lowest_energy", "highest_weight")


@dataclass(frozen=True)
class Contents:
    """Everything that a page is made of.

    Attributes:
        folder: as it was named.
        summary: None where the run has not been tested yet.
        config: of config.yaml; empty without one.
        metrics: what was logged, by step and name; empty where nothing was.
        figures: PNG files by name, in the order in which they are read.
        structures: PDB files by name; empty for what is no molecule.
    """

    folder: Path
    summary: Summary | None
    config: dict[str, Any]
    metrics: dict[int, dict[str, float]]
    figures: dict[str, bytes]
    structures: dict[str, Path]

    @property
    def name(self) -> str:
        """Return the name of the run, experiment and version, wherever the folder is seen from.

        >>> Contents(Path("runs/double_well/version_3"), None, {}, {}, {}, {}).name
        'double_well/version_3'
        """
        path = self.folder.absolute()
        return f"{path.parent.name}/{path.name}"


def find_contents(run: str | Path) -> Contents:
    """Read a run folder, or the newest one of an experiment.

    Raises:
        OSError: there is no such folder, or something in it cannot be read.
        ValueError: a file in it is damaged, or a summary of a later version; in one sentence.
    """
    return read_contents(RunFolder.find(Path(run)))


def read_contents(folder: RunFolder) -> Contents:
    """Read a run folder in which anything may be missing yet.

    Raises:
        OSError: something cannot be read.
        ValueError: a file is damaged, or a summary of a later version; in one sentence.
    """
    summary, metrics = folder.path / "summary.json", folder.path / "metrics.csv"
    drawn = {p.stem: p.read_bytes() for p in sorted((folder.path / "figures").glob("*.png")) if not p.name.startswith(".")}
    first = [name for name in ("configurations", "energies", "weights") if name in drawn]
    found = {name: folder.path / "structures" / f"{name}.pdb" for name in STRUCTURES}
    return Contents(
        folder.path,
        Summary.read(summary) if summary.is_file() else None,
        read_config(folder.config) if folder.config.is_file() else {},
        read_metrics(metrics) if metrics.is_file() else {},
        {name: drawn[name] for name in [*first, *(n for n in drawn if n not in first)]},
        {name: path for name, path in found.items() if path.is_file()},
    )
