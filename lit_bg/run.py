"""load(RUN): a trained Boltzmann generator, from its run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.rng import stream
from lit_bg.run_folder import RunFolder
from lit_bg.samples import Samples, draw


@dataclass
class Run:
    """A trained generator with its energy, ready to sample.

    Attributes:
        energy: the system.
        generator: averaged weights of the best checkpoint.
        folder: where it was read from.
        step: training steps of the checkpoint.
    """

    energy: Energy
    generator: Generator
    folder: Path
    step: int

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, batch_size: int = 10_000) -> Samples:
        """`n` proposals with log q and u; the same seed gives the same samples."""
        return Samples.cat(list(self.stream(n, seed, batch_size)))

    @torch.no_grad()
    def stream(self, n: int, seed: int = 0, batch_size: int = 10_000) -> Iterator[Samples]:
        """The same in batches, for more samples than fit into memory."""
        if n < 1:
            raise ValueError(f"the number of samples must be at least 1, got {n}.")
        device = next((p.device for p in self.generator.parameters()), torch.device("cpu"))
        for i, start in enumerate(range(0, n, batch_size)):
            rng = stream(seed, "sample", step=i, device=device)
            yield draw(self.generator, self.energy, min(batch_size, n - start), rng)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), (B,) [nats]."""
        return self.generator.log_prob(x)


def load(run: str | Path, checkpoint: str = "best", device: str = "cpu") -> Run:
    """Read a run folder.

    The configuration names classes, which are imported: load only runs you trust. The checkpoint itself
    is read with `weights_only=True`.

    Args:
        run: runs/<experiment>/version_N, or runs/<experiment> for its newest run.
        checkpoint: "best" or "last".
        device: where to put it.

    Raises:
        FileNotFoundError: the folder, its configuration or its checkpoint is missing.
        ValueError: the checkpoint is cut off or damaged, or of another configuration.
    """
    import yaml

    from lit_bg.cli import build

    folder = _find(Path(run))
    path = folder.best if checkpoint == "best" else folder.checkpoints / f"{checkpoint}.ckpt"
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in folder.checkpoints.glob("*.ckpt"))) or "none"
        raise FileNotFoundError(f"no checkpoint '{checkpoint}' in '{folder.checkpoints}' (there: {have}).")
    content = read_checkpoint(path)
    config = yaml.safe_load(folder.config.read_text())
    energy = build(Energy, _with_inputs(config["model"]["energy"], folder))
    generator = build(Generator, config["model"]["generator"]).build(energy)
    prefix = "averaged." if any(k.startswith("averaged.") for k in content["state_dict"]) else "generator."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"'{path}' does not hold the generator that '{folder.config}' describes: {error}") from error
    generator.requires_grad_(False).eval()
    return Run(energy.to(device), generator.to(device), folder.path, int(content["global_step"]))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what a checkpoint holds, without running any code in it.

    Raises:
        ValueError: it is cut off, damaged, or no checkpoint of a run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        problem, cause = "it holds no weights", None
    except Exception as error:  # what is wrong with bytes may be anything from EOFError to KeyError
        content, problem, cause = None, type(error).__name__, error
    if not isinstance(content, dict) or not {"state_dict", "global_step"} <= content.keys():
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint ({problem}): it was cut off or damaged, so take another one."
        ) from cause
    return content


def _find(run: Path) -> RunFolder:
    folder = RunFolder(run)
    if not folder.config.is_file():
        inside = RunFolder.all_of(str(run.parent), run.name)
        if not inside:
            raise FileNotFoundError(f"'{run}' is no run folder (it has no config.yaml): give runs/<experiment>/version_N.")
        folder = inside[-1]
    return folder


def _with_inputs(config: Any, folder: RunFolder) -> Any:
    """Files that are not where the configuration says are taken from the copies in the run folder."""
    if isinstance(config, dict):
        return {k: _with_inputs(v, folder) for k, v in config.items()}
    if isinstance(config, list):
        return [_with_inputs(v, folder) for v in config]
    if isinstance(config, str) and not os.path.exists(config) and (folder.inputs / Path(config).name).is_file():
        return str(folder.inputs / Path(config).name)
    return config
