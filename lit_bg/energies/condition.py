"""Conditions that a system depends on besides its configuration: temperature, density, a field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ROUNDING = 1e-6  # relative: what single precision may add to an end of the range


@dataclass(frozen=True)
class Condition:
    r"""Names a number that a system is given, with the range in which generators learn it.

    Networks see it as $s = 2 \frac{f(v) - f(v_0)}{f(v_1) - f(v_0)} - 1$ in [-1, 1], with $f = \ln$ where `log`, else f(v) = v.
    Drawn values are uniform in s.

    Args:
        name: such as "kT".
        lowest, highest: $v_0$ and $v_1$, in `unit`.
        unit: of its values.
        log: whether its logarithm is what varies evenly.

    Raises:
        ValueError: a range that is empty or not finite, or a logarithm of numbers that are not positive.

    >>> kT = Condition("kT", 0.5, 2.0, log=True)
    >>> kT.scale(torch.tensor([0.5, 1.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

    name: str
    lowest: float
    highest: float
    unit: str = ""
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lowest) and math.isfinite(self.highest) and self.lowest < self.highest):
            raise ValueError(f"the condition {self.name} needs lowest < highest, got {self.lowest} and {self.highest}.")
        if self.log and not self.lowest > 0:
            raise ValueError(f"the condition {self.name} varies by its logarithm and needs lowest > 0, got {self.lowest}.")

    def scale(self, value: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """Map values of the range to [-1, 1]."""
        ends = (math.log(self.lowest), math.log(self.highest)) if self.log else (self.lowest, self.highest)
        return 2 * ((value.log() if self.log else value) - ends[0]) / (ends[1] - ends[0]) - 1

    def value(self, scaled: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """Map [-1, 1] to values of the range."""
        share = 0.5 * (scaled + 1)
        if self.log:
            return (self.lowest * (share * math.log(self.highest / self.lowest)).exp()).clamp(self.lowest, self.highest)
        return (self.lowest + share * (self.highest - self.lowest)).clamp(self.lowest, self.highest)

    def contains(self, value: Float[Tensor, "*rows"]) -> Bool[Tensor, "*rows"]:
        """Say which values lie in the range, bool."""
        low, high = (ROUNDING * (abs(end) if self.log else self.highest - self.lowest) for end in (self.lowest, self.highest))
        return (value >= self.lowest - low) & (value <= self.highest + high)

    def draw(self, n: int, rng: torch.Generator) -> Float[Tensor, "n"]:
        """Draw n values, (n,), one in every interval of 1/n of the range, in no order."""
        share = torch.rand(n, generator=rng, device=rng.device)
        order = torch.randperm(n, generator=rng, device=rng.device)
        return self.value(2 * (order + share) / n - 1)

    def __str__(self) -> str:
        return f"{self.name} from {self.lowest:.6g} to {self.highest:.6g}{f' {self.unit}' * bool(self.unit)}"


def draw_context(conditions: Sequence[Condition], n: int, rng: torch.Generator) -> Float[Tensor, "n C"]:
    """Draw n sets of conditions, (n, C)."""
    return torch.stack([condition.draw(n, rng) for condition in conditions], -1)


def check_context(conditions: Sequence[Condition], context: Float[Tensor, "... C"] | None, whose: str) -> None:
    """Refuse what are not the conditions of a system or generator, (C,) or (B, C).

    Raises:
        ValueError: another number of them, or a value out of range.
    """
    given = 0 if context is None else context.shape[-1] if context.ndim in (1, 2) else -1
    if given != len(conditions):
        got = "none" if context is None else f"a tensor of shape {tuple(context.shape)}"
        if not conditions:
            raise ValueError(f"{whose} has no conditions and got {got}: leave context out.")
        raise ValueError(
            f"{whose} needs conditions ({', '.join(map(str, conditions))}) and got {got}: pass context=tensor of shape "
            f"({len(conditions)},) or (samples, {len(conditions)})."
        )
    for k, condition in enumerate(conditions):
        assert context is not None
        value = context[..., k]
        if not bool(condition.contains(value).all()):
            wrong = value[~condition.contains(value)].flatten()[0].item()
            raise ValueError(f"{whose} knows {condition}, and got {condition.name} = {wrong:.6g}: stay in the range.")


def describe_context(conditions: Sequence[Condition], values: Sequence[float] | Float[Tensor, "C"]) -> str:
    """Name the values of conditions (C,).

    >>> describe_context([Condition("kT", 0.5, 2.0), Condition("field", 0.0, 9.0, "V/nm")], [1.5, 3.0])
    'kT = 1.5, field = 3 V/nm'
    """
    pairs = zip(conditions, values, strict=True)
    return ", ".join(f"{c.name} = {float(value):.6g}{f' {c.unit}' * bool(c.unit)}" for c, value in pairs)


def read_context(
    conditions: Sequence[Condition], usual: Float[Tensor, "C"] | None, words: Sequence[str]
) -> Float[Tensor, "C"] | None:
    """Read conditions from words "name=value", (C,) float64; one that is not named keeps its usual value.

    Raises:
        ValueError: a word that is none, a name that no condition has, or a value out of range.

    >>> read_context([Condition("kT", 0.5, 2.0), Condition("field", 0.0, 9.0)], torch.tensor([1.0, 0.0]), ["field=3"])
    tensor([1., 3.], dtype=torch.float64)
    """
    if not words:
        return usual
    names = [condition.name for condition in conditions]
    context = None if usual is None else usual.to(torch.float64).clone()
    for word in words:
        name, _, text = word.partition("=")
        if name not in names or context is None:
            raise ValueError(f"there is no condition '{name}' in '{word}': the run has {', '.join(names) or 'none'}.")
        try:
            context[names.index(name)] = float(text)
        except ValueError:
            raise ValueError(f"'{word}' names no value: write {name}=<number>.") from None
    check_context(conditions, context, "the run")
    return context
