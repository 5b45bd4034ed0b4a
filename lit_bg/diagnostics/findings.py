"""Findings in samples of any kind, before they are judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from lit_bg.diagnostics.averages import Average
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.estimators import Tail


class Estimate(NamedTuple):
    """Holds log Z, its standard error (infinite where none can be given), and the tail of the weights that it averages."""

    value: float
    error: float
    tail: Tail


@dataclass(frozen=True, kw_only=True)
class Findings(ABC):
    """Answers what a verdict asks of samples, whatever they are: proposals, chains or populations.

    Attributes:
        n_nonfinite, n_outside: of the samples that count, those without a finite energy or density, and those outside the
            region that the target covers (mirror images of a molecule).
        averages: by observable.
        without: by observable and mode, the average over everything but the mode: what losing it would give.
        modes: by name; None where the system knows none.
        complaints: what else speaks against the samples, in sentences: of the file they are from, or of the sampler itself.
        doubts: what else keeps every number from being trusted and speaks against none, in sentences.
    """

    what: ClassVar[str]  # the samples are called in sentences

    n_nonfinite: int = 0
    n_outside: int = 0
    averages: dict[str, Average] = field(default_factory=dict)
    without: dict[str, dict[str, float]] = field(default_factory=dict)
    modes: dict[str, ModeShare] | None = None
    complaints: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    @abstractmethod
    def n(self) -> float:
        """Return the number of samples that count."""

    @property
    @abstractmethod
    def effective(self) -> float:
        """Return the number of effective samples."""

    @property
    def log_Z(self) -> Estimate | None:
        """Return the log partition function that they give; None where they give none."""
        return None

    @property
    def proper(self) -> bool:
        """Return whether the weights are known to fit what the samples are drawn from."""
        return False

    @property
    def normalised(self) -> str | None:
        """Return what shows that log Z has no constant too many, in words; None where nothing does."""
        return None

    @property
    def agreement(self) -> str | None:
        """Return what the samples themselves have that would have shown a lost mode, in words; None where there is nothing."""
        return None

    @property
    def silence(self) -> str | None:
        """Return why the agreement of the samples among themselves shows nothing, in a sentence; None: no question of it."""
        return None

    @property
    def reaches_data(self) -> bool:
        """Return whether frames of the reference were asked for their weight, which shows whether proposals reach them."""
        return False

    @property
    def lost(self) -> list[str]:
        """Return the names of lost modes."""
        return [name for name, share in (self.modes or {}).items() if share.lost]
