"""Files that are either whole or absent."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

TEMPORARY = re.compile(r"^\..+\.\d+(\.\w+)?$")  # what `atomic` names a file that is not whole yet


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; it is renamed to `path` on success, removed on failure.

    The temporary name keeps the suffix, since many writers choose the format by it. What a killed process has left of an
    earlier attempt is removed.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*{glob.escape(path.suffix)}"):
        if TEMPORARY.match(left.name) and not _is_running(left.name.removesuffix(path.suffix).rpartition(".")[2]):
            left.unlink(missing_ok=True)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            # A disk may say only now that it is full, and after a power cut the name must not come first.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Return a value as JSON can hold it: NaN and infinity, which JSON does not know, become None.

    >>> finite({"a": [1, math.inf, 0.5, None, "x"]})
    {'a': [1, None, 0.5, None, 'x']}
    """
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # somebody else's, or no process identifier
        return True
    return True


def remove_temporaries(folder: str | Path) -> None:
    """Remove what a killed process has left of files that never became whole; only where nobody else writes (see `lock`)."""
    for file in Path(folder).rglob(".*"):
        if TEMPORARY.match(file.name) and file.is_file():
            file.unlink(missing_ok=True)


class Locked(ValueError):
    """Says that another process holds a lock."""


_held: dict[str, BinaryIO] = {}  # kept open as long as the process lives: a kill releases the lock


def lock(folder: str | Path) -> None:
    """Claim a folder for this process, until it ends or `release` is called; claiming it again does no harm.

    The lock is the operating system's (flock), on a file that stays. Where a file system has none, nothing is claimed.

    Raises:
        Locked: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # not on this system
        return
    name = os.path.realpath(folder)
    if name in _held:
        return
    file = open(Path(name) / "lock", "ab")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Locked(f"another process is writing to '{folder}': wait for its end, or stop it first.") from None
    except OSError:
        pass  # a file system without locks
    _held[name] = file


def release(folder: str | Path) -> None:
    """Give up the claim to a folder that `lock` has made."""
    file = _held.pop(os.path.realpath(folder), None)
    if file is not None:
        file.close()
