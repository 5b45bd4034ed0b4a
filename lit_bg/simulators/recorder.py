"""The recorder of a running simulation, which keeps frames and state so that it can end at any time and go on."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_bg import signals
from lit_bg.files import atomic, lock, release
from lit_bg.identity import compare


class Interrupted(KeyboardInterrupt):
    """Says that a simulation was interrupted and how it can go on."""


class Recorder:
    """Saves frames as they come and the state now and then; in a folder, or in memory alone.

    In the folder are one memory-mapped `<name>.npy` per recorded array, walkers first, (W, T, ...), with its space on the disk
    reserved; `state.pt`, the last state, with the number of frames that it follows and a checksum of everything; and
    `identity.json`, what is simulated. The state is written after the frames it follows, whole or not at all, so whatever
    ends the program, the same simulation goes on from the last state and overwrites what came later.

    Args:
        folder: made when something is recorded; None keeps everything in memory.
        identity: what is simulated, for JSON: only the same simulation goes on.
        restart: an unfinished simulation of another identity, or a damaged one, is thrown away instead of refused.
        every: seconds between two states.
        again: how the user starts again, for messages.

    Raises:
        ValueError: the folder holds an unfinished simulation of something else, or one that is not as it was saved, or one
            that another process is running.
    """

    def __init__(
        self,
        folder: Path | None = None,
        identity: dict[str, Any] | None = None,
        restart: bool = False,
        every: float = 60.0,
        again: str = "data.force=true",
    ) -> None:
        self.folder, self.every, self.again = folder, every, again
        self.identity = json.loads(json.dumps(identity or {}))
        self.arrays: dict[str, np.ndarray] = {}
        self.state: dict[str, Tensor] | None = None
        self.written = 0  # frames
        self._noted = False  # a signal, where no program listens
        self._sums: dict[str, int] = {}  # of every array, over the frames written
        self._saved_at = time.monotonic()
        if folder is None or not folder.exists():
            return
        lock(folder)  # two processes that record into one folder would undo each other
        problem = self._difference_from(folder)
        if problem is None and (folder / "state.pt").is_file():
            try:
                self._read(folder)
            except Damaged as damage:
                problem = f"that cannot go on, because {damage}"
        if problem is None:
            return
        if not restart:
            way_on = "" if "cannot go on" in problem else "finish it with its own configuration, "
            raise ValueError(
                f"{folder} holds an unfinished simulation {problem}: {way_on}delete the folder, or start again with {again}."
            )
        self.start_again()

    def write(self, t: int, frames: int, values: dict[str, Tensor]) -> None:
        """Keep (W, ...) values as frame `t` of `frames`, in single precision.

        Raises:
            OSError: no space is left for all the frames; nothing was kept.
        """
        rows = {k: np.ascontiguousarray(v.detach().to("cpu", torch.float32).numpy()) for k, v in values.items()}
        self._reserve({k: (len(row), frames, *row.shape[1:]) for k, row in rows.items() if k not in self.arrays})
        for name, row in rows.items():
            self.arrays[name][:, t] = row
            self._sums[name] = zlib.crc32(row.data, self._sums.get(name, 0))
        self.written = t + 1

    def frames(self, name: str) -> Tensor:
        """Return what was written, (T, W, ...); in a folder it is a view of the file."""
        return torch.from_numpy(self.arrays[name]).transpose(0, 1)

    @property
    def due(self) -> bool:
        """Return whether it is time to save the state."""
        return self.folder is not None and time.monotonic() - self._saved_at > self.every

    def save(self, state: dict[str, Tensor]) -> None:
        """Make everything written so far, and the state that follows it, safe.

        Raises:
            OSError: no space is left; the state before it stands.
        """
        if self.folder is None:
            return
        self._make_folder()
        for array in self.arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        arrays = {name: {"shape": list(self.arrays[name].shape), "sum": self._sums[name]} for name in self._sums}
        content = {"state": state, "frames": self.written, "arrays": arrays, "sum": _sum_of(state, self.written, arrays)}
        buffer = io.BytesIO()  # on a full disk torch.save itself would say something unintelligible
        torch.save(content, buffer)
        with atomic(self.folder / "state.pt") as temporary:
            temporary.write_bytes(buffer.getbuffer())
        self._saved_at = time.monotonic()
        signals.set_way_on(self.way_on)

    @property
    def interrupted(self) -> bool:
        """Return whether a signal has asked the simulation to end."""
        return self._noted or signals.caught() is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let signals set `interrupted`, so that the state can be saved first; a second one ends at once."""
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        if signals.is_listening():  # the program has handlers of its own
            before = signals.set_mode("defer")
            signals.set_way_on(self.way_on)
            try:
                yield
            finally:
                signals.set_way_on(self.way_on)
            signals.set_mode(before)
            return

        def note(number: int, frame: Any) -> None:
            if self._noted:
                raise KeyboardInterrupt
            self._noted = True

        # What a shell has told us to ignore (as it does in the background) stays ignored.
        wanted = [s for s in signals.OBEYED if signal.getsignal(s) is not signal.SIG_IGN]
        handlers = {s: signal.signal(s, note) for s in wanted}
        try:
            yield
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted; {self.way_on}") from None
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)

    def stop(self, state: dict[str, Tensor], progress: str) -> None:
        """Save the state and leave.

        Raises:
            Interrupted: always.
        """
        self.save(state)
        raise Interrupted(f"Interrupted {progress}; {self.way_on}")

    def discard(self) -> None:
        """Remove the folder, when the data are written elsewhere."""
        self.arrays.clear()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            release(self.folder)

    def start_again(self) -> None:
        """Throw away the unfinished simulation that the folder holds."""
        self.state, self.written = None, 0
        self.arrays.clear()
        self._sums.clear()
        if self.folder is not None and self.folder.exists():
            shutil.rmtree(self.folder)
            release(self.folder)

    @property
    def way_on(self) -> str:
        """Return in words how a simulation that has ended early goes on."""
        if self.folder is None or not (self.folder / "state.pt").is_file():
            return "nothing was written."
        return f"the same command goes on from the last state in {self.folder}."

    def _make_folder(self) -> None:
        assert self.folder is not None
        if not (self.folder / "identity.json").is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock(self.folder)
            with atomic(self.folder / "identity.json") as temporary:
                temporary.write_text(json.dumps(self.identity, indent=1))

    def _difference_from(self, folder: Path) -> str | None:
        """Return the difference of what is simulated here from what the folder holds, in words; None where it may go on."""
        if not (folder / "state.pt").is_file() and not (folder / "identity.json").is_file():
            return None  # nothing was begun in it
        try:
            found = compare(self.identity, json.loads((folder / "identity.json").read_text()), exact=True)
        except (OSError, ValueError):
            return "that cannot go on, because its identity.json is missing or damaged"
        if found.difference is not None:
            return f"with {found.difference}"
        if found.unknown:
            warnings.warn(
                f"{folder} does not say all that is simulated there ({found.doubt}); everything else agrees, so it goes on: "
                f"if it is of something else, stop and start again with {self.again}.",
                stacklevel=3,
            )
        return None

    def _read(self, folder: Path) -> None:
        """Take up the last state and the frames before it.

        Raises:
            Damaged: they are not as they were saved.
        """
        try:
            content = torch.load(folder / "state.pt", weights_only=True)
            state, frames, arrays = content["state"], content["frames"], content["arrays"]
            sound = content["sum"] == _sum_of(state, frames, arrays)
        except Exception as error:  # what is wrong with bytes may be anything from EOFError to KeyError
            raise Damaged(f"its state.pt cannot be read ({type(error).__name__})") from error
        if not sound:
            raise Damaged("its state.pt is not as it was saved")
        for name, record in arrays.items():
            array = _open(folder / f"{name}.npy", tuple(record["shape"]))
            if _sum_of_frames(array, frames) != record["sum"]:
                raise Damaged(f"the {frames} frames in its {name}.npy are not as they were saved")
            self.arrays[name] = array
        self.state, self.written = state, frames
        self._sums = {name: record["sum"] for name, record in arrays.items()}

    def _reserve(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make arrays, all of them or none.

        Raises:
            OSError: no space is left for them.
        """
        if self.folder is None:
            self.arrays |= {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
            return
        try:
            for name, shape in shapes.items():
                self._make_folder()
                self.arrays[name] = _create(self.folder / f"{name}.npy", shape)
        except OSError:
            for name in shapes:
                self.arrays.pop(name, None)
                (self.folder / f"{name}.npy").unlink(missing_ok=True)
            if not (self.folder / "state.pt").is_file():
                self.discard()
            raise


class Damaged(ValueError):
    """Says that an unfinished simulation is not as it was saved, and what is wrong."""


def _create(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """Create a new array in a file.

    Its pages are reserved: a memory-mapped file has holes at first, and a process that fills one while the disk is full is
    killed by SIGBUS, where this raises OSError.
    """
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    with file.open("r+b") as f:
        size = f.seek(0, os.SEEK_END)
        try:
            os.posix_fallocate(f.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) not in (None, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            f.seek(array.offset)
            for start in range(array.offset, size, 2**20):  # no such call here: what is written has its place
                f.write(bytes(min(2**20, size - start)))
    return array


def _open(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """Open an array in a file that is there, whole and of this shape.

    Raises:
        Damaged: it is not.
    """
    if not file.is_file():
        raise Damaged(f"its {file.name} is missing")
    try:
        header = np.load(file, mmap_mode="r")  # a writable map would lengthen a file that was cut short
    except (OSError, ValueError, EOFError) as error:
        raise Damaged(f"its {file.name} was cut short or damaged") from error
    if header.shape != shape or header.dtype != np.float32 or not header.flags.c_contiguous:
        raise Damaged(f"its {file.name} holds {header.dtype} {header.shape}, and float32 {shape} were recorded")
    return np.lib.format.open_memmap(file, mode="r+")


def _sum_of_frames(array: np.ndarray, frames: int) -> int:
    """Return the checksum of the first frames of (W, T, ...), as it comes from one frame after the other."""
    total, at_once = 0, max(1, 2**26 * array.shape[1] // max(1, array.nbytes))
    for start in range(0, frames, at_once):
        block = array[:, start : min(frames, start + at_once)]
        total = zlib.crc32(np.ascontiguousarray(block.swapaxes(0, 1)).data, total)
    return total


def _sum_of(state: dict[str, Tensor], frames: int, arrays: dict[str, Any]) -> int:
    """Return the checksum of a state, and of what goes with it."""
    total = zlib.crc32(json.dumps([frames, arrays], sort_keys=True).encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        total = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), total)
        total = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, total)
    return total
