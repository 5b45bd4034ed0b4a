"""Claims sorted by what to think of them, for a reader who has not met the words."""

from __future__ import annotations

from typing import NamedTuple

from lit_bg.report.verdict import Claim, Word

MEANING: dict[Word, str] = {
    "do not trust": "Something speaks against these numbers.",
    "unchecked": "Nothing speaks against these numbers, but nothing that is known of the system could have shown an error.",
    "trust": "Nothing speaks against these numbers, and something known could have. Use them with their error bars.",
}
HEADLINE: dict[Word, str] = {
    "do not trust": "Do not trust this run",
    "unchecked": "Nothing could check this run",
    "trust": "Trust this run",
}


class Reason(NamedTuple):
    """A reason, and the claims that share it."""

    claims: tuple[str, ...]
    sentence: str


class Opinion(NamedTuple):
    """What to think of some claims."""

    word: Word
    meaning: str
    reasons: tuple[Reason, ...]


def sort_claims(claims: tuple[Claim, ...]) -> list[Opinion]:
    """Return the claims by their word, the worst first, and within it by their reason.

    >>> [o.word for o in sort_claims((Claim("a", "trust", "Known."), Claim("b", "do not trust", "Lost.")))]
    ['do not trust', 'trust']
    """
    found = []
    for word, meaning in MEANING.items():
        sentences = dict.fromkeys(c.reason for c in claims if c.word == word)
        reasons = [Reason(tuple(c.name for c in claims if (c.word, c.reason) == (word, s)), s) for s in sentences]
        if reasons:
            found.append(Opinion(word, meaning, tuple(reasons)))
    return found
