"""load(RUN): a trained Boltzmann generator, from its run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_bg.config.file import read_config
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.rng import stream
from lit_bg.runs.folder import RunFolder
from lit_bg.samples import Samples, draw, usual_context


@dataclass
class Run:
    """Holds a trained generator with its energy, ready to sample.

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

    @property
    def device(self) -> torch.device:
        """Return where the generator is."""
        return next((p.device for p in self.generator.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, batch_size: int = 10_000, context: Tensor | None = None) -> Samples:
        """Draw `n` proposals with log q and u; the same seed gives the same samples.

        Conditions (C,) are by default those that the run was judged under.
        """
        return Samples.cat(list(self.stream(n, seed, batch_size, context)))

    @torch.no_grad()
    def stream(self, n: int, seed: int = 0, batch_size: int = 10_000, context: Tensor | None = None) -> Iterator[Samples]:
        """Yield proposals as `sample` does, in batches, for more samples than fit into memory."""
        if n < 1:
            raise ValueError(f"the number of samples must be at least 1, got {n}.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        for i, start in enumerate(range(0, n, batch_size)):
            rng = stream(seed, "sample", step=i, device=self.device)
            yield draw(self.generator, self.energy, min(batch_size, n - start), rng, context)

    @torch.no_grad()
    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log q(x), (B,) [nats], under conditions (C,) or (B, C), by default those that the run was judged under."""
        return self.generator.log_prob(x, usual_context(self.generator, self.energy) if context is None else context)


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
    from lit_bg.config.cli import build

    folder = RunFolder.find(Path(run))
    path = folder.checkpoint(checkpoint)
    content = read_checkpoint(path)
    model = _read_model(folder.config)
    energy = build(Energy, with_inputs(model["energy"], folder))
    generator = build(Generator, model["generator"]).build(energy)
    prefix = "averaged." if any(k.startswith("averaged.") for k in content["state_dict"]) else "generator."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    bad = next(
        (k for k, v in state.items() if isinstance(v, Tensor) and v.is_floating_point() and not torch.isfinite(v).all()), None
    )
    if bad is not None:
        raise ValueError(
            f"'{path}' holds weights that are not finite ({bad}): training had diverged, so take another checkpoint."
        )
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise ValueError(f"'{path}' does not hold the generator that '{folder.config}' describes: {first}.") from error
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
    if not isinstance(content, dict) or not (
        isinstance(content.get("global_step"), int) and _are_weights(content.get("state_dict"))
    ):
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint ({problem}): it was cut off or damaged, so take another one."
        ) from cause
    return content


def _are_weights(state: Any) -> bool:
    """Say whether something is the state of a module: tensors, or what a module keeps beside them, by name."""
    return isinstance(state, dict) and all(
        isinstance(k, str) and (isinstance(v, Tensor) or k.endswith("_extra_state")) for k, v in state.items()
    )


def _read_model(path: Path) -> dict[str, Any]:
    """Read the section of energy and generator.

    Raises:
        ValueError: the file is damaged or not that of a run.
    """
    model = read_config(path).get("model")
    model = model if isinstance(model, dict) else {}
    missing = [f"model.{part}" for part in ("energy", "generator") if not model.get(part)]
    if missing:
        raise ValueError(f"'{path}' has no {' and no '.join(missing)}: it is not the one of a run, or was cut off.")
    return model


def with_inputs(config: Any, folder: RunFolder) -> Any:
    """Return the configuration with files that are not where it says replaced by the copies in the run folder."""
    if isinstance(config, dict):
        return {k: with_inputs(v, folder) for k, v in config.items()}
    if isinstance(config, list):
        return [with_inputs(v, folder) for v in config]
    if isinstance(config, str) and not os.path.exists(config) and (folder.inputs / Path(config).name).is_file():
        return str(folder.inputs / Path(config).name)
    return config


def with_modes(config: dict[str, Any], energy: Energy) -> dict[str, Any]:
    """Return the configuration of an energy with the modes that it has found in data, so that it need not find them again."""
    arguments = dict(config.get("init_args") or {})
    inner = getattr(energy, "energy", None)
    if energy.found_modes is not None:
        arguments["modes"] = dict(energy.found_modes)
    elif isinstance(inner, Energy) and isinstance(arguments.get("energy"), dict):  # of a system in a frame, such as Tempered
        arguments["energy"] = with_modes(arguments["energy"], inner)
    else:
        return config
    return config | {"init_args": arguments}
