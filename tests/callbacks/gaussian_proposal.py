"""The simplest trainable generator and loss: observers are tested without flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from lit_bg.data.module import Data
from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Loss
from lit_bg.module import BoltzmannGenerator


class GaussianProposal(Generator):
    """Independent normal coordinates."""

    def __init__(self, loc: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.at, self.width = loc, scale

    def build(self, energy: Energy) -> GaussianProposal:
        self.event_shape = energy.event_shape
        self.loc = nn.Parameter(torch.full(energy.event_shape, self.at))
        self.log_scale = nn.Parameter(torch.full(energy.event_shape, math.log(self.width)))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        return self

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.calls += 1
        x = self.loc + self.log_scale.exp() * torch.randn(n, *self.event_shape, generator=rng)
        return x, self.log_prob(x)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        z = (x - self.loc) / self.log_scale.exp()
        return (-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - self.log_scale).flatten(1).sum(-1)


class TwoWells(Energy):
    """Two equal unit Gaussians at x1 = -+`distance`, unless told without any knowledge of modes and exact values."""

    def __init__(self, distance: float = 10.0, weight: float = 0.5, known: bool = True, kT: float = 1.0) -> None:
        super().__init__(kT)
        self.event_shape = (2,)
        self.distance, self.weight, self.known = distance, weight, known

    def potential(self, x: Tensor) -> Tensor:
        left, right = ((x[..., 0] + s * self.distance) ** 2 / 2 for s in (1, -1))
        logs = torch.stack([math.log(1 - self.weight) - left, math.log(self.weight) - right])
        return x[..., 1] ** 2 / 2 + math.log(2 * math.pi) - torch.logsumexp(logs, 0)

    @property
    def modes(self) -> Modes | None:
        exact = torch.tensor([1 - self.weight, self.weight], dtype=torch.float64)
        return Modes(("left", "right"), lambda x: (x[..., 0] > 0).long(), exact) if self.known else None

    @property
    def log_Z(self) -> float | None:
        return 0.0 if self.known else None

    @property
    def observables(self) -> dict[str, Observable]:
        exact = (2 * self.weight - 1) * self.distance
        x1 = Observable(lambda x: x[..., 0], "nm", (-self.distance - 5, self.distance + 5), exact=exact if self.known else None)
        return {"x1": x1}


class Reverse(Loss):
    """E[log q + u], and on demand a loss that is no number."""

    def __init__(self, broken: Sequence[int] = ()) -> None:
        super().__init__()
        self.broken, self.step = set(broken), 0

    def at_step(self, step: int) -> None:
        self.step = step

    def forward(self, batch: Any) -> Tensor:
        loss = (batch.proposals.log_q + self.energy(batch.proposals.x)).mean()
        return loss * torch.nan if self.step in self.broken else loss


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def assemble(
    folder: Path,
    energy: Energy,
    generator: Generator,
    callbacks: list[Any],
    loss: Loss | None = None,
    data: Data | None = None,
    loggers: Sequence[Any] = (),
    **trainer: Any,
) -> tuple[BoltzmannGenerator, Data, Trainer]:
    """A module, its data and a trainer on one CPU, which writes to `folder`."""
    module = BoltzmannGenerator(energy, generator, loss or Reverse(), adam)
    data = data or Data(batch_size=64, steps_per_epoch=5, val_samples=500, test_samples=4000, eval_batch_size=1500)
    defaults = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "num_sanity_val_steps": 0}
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {**defaults, **silent, "use_distributed_sampler": False, "inference_mode": False, **trainer}
    logger = [CSVLogger(str(folder), name="run", version=0), *loggers]
    return module, data, Trainer(callbacks=callbacks, logger=logger, **options)
