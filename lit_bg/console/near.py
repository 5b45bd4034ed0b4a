"""Names that a misspelt word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NEAR = 0.6  # of difflib: how alike a name must be to be suggested,
AS_NEAR = 0.1  # and how much less than the nearest


def find_near(word: str, names: Iterable[str], least: float = NEAR) -> list[str]:
    """Return the names that a word was most likely meant to be, the nearest first; upper and lower case are alike.

    >>> find_near("kt", ["k", "kT", "dim"]), find_near("max_epoch", ["max_epochs", "min_epochs"])
    (['kT'], ['max_epochs'])
    """
    from difflib import SequenceMatcher

    alike = {name: SequenceMatcher(None, word.lower(), name.lower()).ratio() for name in names}
    most = max(alike.values(), default=0.0)
    near = [name for name in alike if alike[name] >= max(least, most - AS_NEAR)]
    return sorted(near, key=lambda name: -alike[name])[:3]


def either(names: Sequence[str]) -> str:
    """Return names as a choice.

    >>> either(["a"]), either(["a", "b", "c"])
    ("'a'", "'a', 'b' or 'c'")
    """
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} or {last}" if first else last
