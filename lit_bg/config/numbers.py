"""Numbers of a parsed configuration that no class could mean, by their key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from lit_bg.data.memory import memory

SEEDS = 2**32  # what numpy takes
YEAR = 365 * 24 * 3600.0
FASTEST = 1e-4  # [s], of a training step
PROCESS = 2**20  # bytes, and that is nothing
LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "log_every_n_steps": 0, "gradient_clip_val": 0}
HALF = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")


def find_problems(config: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the numbers: not finite, a seed that is none, or a count that no machine holds or lives to see.

    A whole number in the sections that describe classes and data counts something, and what is counted takes four bytes at the
    least; one that does not fit into the memory of the machine cannot be meant.
    """
    seed = config.get("seed_everything")
    if isinstance(seed, int) and not 0 <= seed < SEEDS:
        yield f"seed_everything must be between 0 and {SEEDS - 1}, got {seed}."
    steps = config["data"]["steps_per_epoch"]
    if isinstance(steps, int) and steps * FASTEST > YEAR:
        yield (
            f"data.steps_per_epoch = {steps} are more than a year before the first validation, at {FASTEST:g} s a step: "
            "give fewer, and raise trainer.max_epochs."
        )
    yield from _of_trainer(config["trainer"])
    most = memory() // 4
    stack: list[tuple[str, Any]] = [(key, config[key]) for key in config]
    while stack:
        key, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{key} must be a finite number, got {value}."
        elif (
            isinstance(value, int)
            and abs(value) > most
            and not key.endswith(".eval_batch_size")
            and key.startswith(("model.", "data.", "simulate."))
            and key != "model.seed"
        ):
            yield f"{key} = {value} does not fit into the {memory() / 2**30:.0f} GiB of this machine: make it smaller."
        elif hasattr(value, "items"):
            stack += [(f"{key}.{name}", item) for name, item in value.items()]
        elif isinstance(value, (list, tuple)):
            stack += [(f"{key}[{i}]", item) for i, item in enumerate(value)]


def _of_trainer(trainer: dict[str, Any]) -> Iterator[str]:
    """Yield what Lightning finds out in the middle of a step, or not at all."""
    for name, least in LEAST.items():
        value = trainer.get(name)
        if isinstance(value, (int, float)) and value < least:
            yield f"trainer.{name} must be at least {least}, got {value}."
    for name in ("devices", "num_nodes"):
        value = trainer.get(name)
        if isinstance(value, int) and value > memory() // PROCESS:
            yield f"trainer.{name} = {value} processes do not fit into the {memory() / 2**30:.0f} GiB of this machine."
    if str(trainer.get("precision")) in HALF:
        yield (
            f"trainer.precision = {trainer['precision']} keeps energies in half precision, which resolves no kT: "
            "use 32-true or 64-true."
        )
