"""The decision whether batches without a finite energy are bad luck or hopeless."""

from __future__ import annotations

CHANCE = 1e-6  # of a drought that is taken for bad luck


class NothingFinite(FloatingPointError):
    """Says that no proposal of a batch has a finite energy and density, so its energies teach nothing."""


class Drought:
    r"""Distinguishes bad luck from an energy that is finite nowhere, or a generator that has left the finite region.

    Of the proposals so far a share $p = (k + 1) / (m + 2)$ had a finite energy, k of m, before the c that had none in a row.
    Where $(1 - p)^c < 10^{-6}$ it is no bad luck any more. So the first batch of twenty or more ends a run, and a system of
    hard walls that lets few proposals pass does not, however small its batches are.

    >>> drought = Drought()
    >>> drought.note(64, finite=3)
    >>> drought.note(64, finite=0)
    >>> drought.hopeless, Drought.after(20).hopeless, Drought.after(1).hopeless
    (False, True, False)
    """

    def __init__(self) -> None:
        self.finite = 0  # k
        self.seen = 0  # m
        self.dry = 0  # c

    @classmethod
    def after(cls, n: int) -> Drought:
        """Return what is known after n first proposals without a finite energy."""
        drought = cls()
        drought.note(n, finite=0)
        return drought

    def note(self, n: int, finite: int) -> None:
        """Take in a batch of n proposals."""
        if finite == 0:
            self.dry += n
        else:
            self.finite, self.seen, self.dry = self.finite + finite, self.seen + n + self.dry, 0

    @property
    def hopeless(self) -> bool:
        """Return whether the present drought is no bad luck."""
        p = (self.finite + 1) / (self.seen + 2)
        return (1 - p) ** self.dry < CHANCE
