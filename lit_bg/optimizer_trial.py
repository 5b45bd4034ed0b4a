"""A first look at optimizer and schedule, on one small parameter and not on those of the generator."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

FIRST = 100  # steps of a schedule that are looked at where the length of training is not known, and
MOST = 10_000  # where it is
FARTHEST = 1 / torch.finfo(torch.float32).eps  # a parameter of one that moves so far leaves no trace in single precision
COUNTS = ("T_max", "T_0", "step_size", "total_steps")  # steps, of which there must be one


def try_optimizer(
    make: OptimizerCallable,
    schedule: LRSchedulerCallable | None,
    parameters: Iterable[nn.Parameter],
    steps: int = FIRST,
) -> None:
    """Refuse an optimizer or a schedule that cannot be meant, before training.

    Args:
        make: optimizer of given parameters.
        schedule: of its learning rate, or None.
        parameters: of the generator; they are shown to the optimizer and not changed.
        steps: that training will take.

    Raises:
        ValueError: settings that the class refuses, a learning rate that is not positive or so large that one step forgets
            the parameters, or a schedule that breaks, ends too early or leaves these bounds.
    """
    try:
        make(list(parameters))
        optimizer = make([nn.Parameter(torch.ones(2, 2))])
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"model.optimizer: {_sentence(error)}.") from error
    name = type(optimizer).__name__
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"model.optimizer makes a {name}, which is no optimizer: name a class such as torch.optim.Adam.")
    for group in optimizer.param_groups:
        lr = float(group.get("lr", 1.0))
        if not (lr > 0 and math.isfinite(lr)):
            raise ValueError(f"model.optimizer: the learning rate of {name} must be positive and finite, got lr={lr:g}.")
    _try_step(optimizer)
    if schedule is not None:
        _try_schedule(schedule, make([nn.Parameter(torch.ones(2, 2))]), steps)


def _try_step(optimizer: torch.optim.Optimizer) -> None:
    """Try one step, down a slope of one."""
    (group,) = optimizer.param_groups
    if group.get("capturable"):
        return  # for parameters on a GPU
    (p,) = group["params"]

    def closure() -> float:
        optimizer.zero_grad()
        p.grad = torch.ones_like(p)
        return float(p.detach().sum())

    name, settings = type(optimizer).__name__, f"lr={float(group.get('lr', 1.0)):g}"
    try:
        optimizer.step(closure)
    except (RuntimeError, ArithmeticError) as error:
        raise ValueError(f"model.optimizer: {name} cannot take a step ({_sentence(error)}): use another one.") from error
    if not p.detach().abs().max().item() < FARTHEST:
        raise ValueError(
            f"model.optimizer: with {settings} the first step of {name} takes a parameter of 1 to {p[0, 0].item():.2g}, where "
            "single precision forgets what it was: lower the learning rate (and weight_decay, where there is one)."
        )


def _try_schedule(schedule: LRSchedulerCallable, optimizer: torch.optim.Optimizer, steps: int) -> None:
    try:
        scheduler: Any = schedule(optimizer)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"model.lr_scheduler: {_sentence(error)}.") from error
    name = type(scheduler).__name__
    if not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
        raise ValueError(f"model.lr_scheduler makes a {name}, which is no schedule: name a class of torch.optim.lr_scheduler.")
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(f"model.lr_scheduler: {name} waits for a metric and is stepped every training step: use another one.")
    for count in COUNTS:
        value = getattr(scheduler, count, 1)
        if not (isinstance(value, (int, float)) and value >= 1):
            raise ValueError(
                f"model.lr_scheduler: {count} of {name} counts training steps and must be at least 1, got {value}."
            )
    total = getattr(scheduler, "total_steps", None)
    if total is not None and total < steps and steps != FIRST:
        raise ValueError(
            f"model.lr_scheduler: {name} ends after total_steps={total} and training takes {steps}: give it as many."
        )
    rates = []
    for step in range(min(steps, MOST, MOST if total is None else int(total))):
        rates += [float(group["lr"]) for group in optimizer.param_groups]
        if not 0 <= rates[-1] < FARTHEST:
            raise ValueError(
                f"model.lr_scheduler: {name} sets the learning rate of step {step} to {rates[-1]:.3g}: keep it finite, not "
                "negative, and of the order at which training is stable."
            )
        try:
            optimizer.step(lambda: 0.0)
            scheduler.step()
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"model.lr_scheduler: {name} breaks at step {step} ({_sentence(error)}).") from error
    if not max(rates, default=1.0) > 0:
        raise ValueError(f"model.lr_scheduler: {name} keeps the learning rate at zero, so nothing is learned.")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
