"""Documents: typed values as JSON files that say the version of their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Self

from lit_bg.files import atomic
from lit_bg.report.json_form import from_plain, put_not_finite, take_not_finite, to_plain


class Document:
    """Stores a dataclass as a JSON file.

    In JSON `schema` says the version, and what is not finite is null and stands in `not_finite`, by JSON pointer.
    """

    what: ClassVar[str]  # the file is called in sentences
    schema: ClassVar[int]  # counted up when a key changes its name or meaning; files without one came before

    def to_json(self) -> str:
        """Return the value as JSON."""
        plain, lost = take_not_finite(to_plain(self))
        return json.dumps({"schema": self.schema, **plain, "not_finite": lost}, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the value that `to_json` wrote; in files without a schema, values that are not finite are NaN.

        Raises:
            ValueError: JSON of something else, or of a later schema.
        """
        plain = json.loads(text)
        if not isinstance(plain, dict):
            raise ValueError("it is no JSON object")
        schema = plain.pop("schema", 0)
        if not isinstance(schema, int) or schema > cls.schema:
            raise ValueError(
                f"it has schema {schema} and this version of lit_bg reads schemas up to {cls.schema}: update lit_bg"
            )
        put_not_finite(plain, plain.pop("not_finite", {}))
        found: Self = from_plain(cls, plain)
        return found

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        with atomic(path) as temporary:
            temporary.write_text(self.to_json())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the value that a file holds, which `write` has written.

        Raises:
            OSError: there is no such file.
            ValueError: it cannot be read, or was written by a later version; in one sentence.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:  # JSON that is none, or text that is none, too
            raise ValueError(f"'{path}' cannot be read as {cls.what}: {str(error).rstrip('.')}.") from error
