"""Schedules of numbers that change during training."""

from __future__ import annotations

import math

Points = float | list[tuple[float, float]]
"""What a schedule is written as: a number, or a list of [step, value]."""


class Schedule:
    """Interpolates linearly between points in the step; it is constant before the first point and after the last.

    Args:
        points: a number, or points [step, value] with increasing steps.
        name: of the quantity, for errors.

    Raises:
        ValueError: no points, steps that do not increase, or values that are not finite.

    >>> weight = Schedule([(100, 1.0), (200, 0.0)])
    >>> weight(0), weight(150), weight(1000)
    (1.0, 0.5, 0.0)
    """

    def __init__(self, points: Points, name: str = "schedule") -> None:
        listed = [(0.0, points)] if isinstance(points, (int, float)) else points
        self.steps = [float(step) for step, _ in listed]
        self.values = [float(value) for _, value in listed]
        if not listed or any(a >= b for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"{name} needs points [step, value] with increasing steps, got {points}.")
        if not all(map(math.isfinite, self.steps + self.values)):
            raise ValueError(f"{name} needs finite numbers, got {points}.")

    def __call__(self, step: int) -> float:
        if step <= self.steps[0]:
            return self.values[0]
        for i in range(1, len(self.steps)):
            if step <= self.steps[i]:
                f = (step - self.steps[i - 1]) / (self.steps[i] - self.steps[i - 1])
                return (1 - f) * self.values[i - 1] + f * self.values[i]
        return self.values[-1]
