"""Frames and state of a running simulation, kept so that it can end at any time and go on."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_bg.files import atomic


class Interrupted(KeyboardInterrupt):
    """A simulation that was interrupted and can go on; its text says how."""


class Recorder:
    """Saves frames as they come and the state now and then; in a folder, or in memory alone.

    In the folder are one memory-mapped `<name>.npy` per recorded array, walkers first, (W, T, ...); `state.pt`, the last
    state; and `identity.json`, what is simulated. The state is written after the frames it follows, whole or not at all,
    so whatever ends the program, the same simulation goes on from the last state and overwrites what came later.

    Args:
        folder: made when something is recorded; None keeps everything in memory.
        identity: what is simulated, for JSON: only the same simulation goes on.
        restart: an unfinished simulation of another identity is thrown away instead of refused.
        every: seconds between two states.

    Raises:
        ValueError: the folder holds an unfinished simulation of something else.
    """

    def __init__(
        self, folder: Path | None = None, identity: dict[str, Any] | None = None, restart: bool = False, every: float = 60.0
    ) -> None:
        self.folder, self.every = folder, every
        self.identity = json.loads(json.dumps(identity or {}))
        self.arrays: dict[str, np.ndarray] = {}
        self.state: dict[str, Tensor] | None = None
        self.interrupted = False
        self._saved_at = time.monotonic()
        if folder is None or not folder.exists():
            return
        try:
            theirs = json.loads((folder / "identity.json").read_text())
        except (OSError, ValueError):
            theirs = {}
        difference = _difference(self.identity, theirs)
        if difference is not None:
            if not restart:
                raise ValueError(
                    f"{folder} holds an unfinished simulation {difference}: finish it with its own configuration, "
                    "delete the folder, or start again with data.force=true."
                )
            shutil.rmtree(folder)
        elif (folder / "state.pt").is_file():
            self.state = torch.load(folder / "state.pt", weights_only=True)
            for file in folder.glob("*.npy"):
                self.arrays[file.stem] = np.lib.format.open_memmap(file, mode="r+")

    def write(self, t: int, frames: int, values: dict[str, Tensor]) -> None:
        """Keep (W, ...) values as frame `t` of `frames`, in single precision."""
        for name, value in values.items():
            if name not in self.arrays:
                shape = (len(value), frames, *value.shape[1:])
                self.arrays[name] = np.empty(shape, np.float32) if self.folder is None else self._map(name, shape)
            self.arrays[name][:, t] = value.detach().to("cpu", torch.float32).numpy()

    def frames(self, name: str) -> Tensor:
        """(T, W, ...) of what was written; in a folder it is a view of the file."""
        return torch.from_numpy(self.arrays[name]).transpose(0, 1)

    @property
    def due(self) -> bool:
        """Whether it is time to save the state."""
        return self.folder is not None and time.monotonic() - self._saved_at > self.every

    def save(self, state: dict[str, Tensor]) -> None:
        """Make everything written so far, and the state that follows it, safe."""
        if self.folder is None:
            return
        self._make_folder()
        for array in self.arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        with atomic(self.folder / "state.pt") as temporary:
            torch.save(state, temporary)
        self._saved_at = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM set `interrupted`, so that the state can be saved first; a second one ends at once."""
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        # What a shell has told us to ignore (as it does in the background) stays ignored.
        wanted = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        before = {s: signal.signal(s, note) for s in wanted}
        try:
            yield
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted; {self._way_on()}") from None
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    def stop(self, state: dict[str, Tensor], progress: str) -> None:
        """Save the state and leave.

        Raises:
            Interrupted: always.
        """
        self.save(state)
        raise Interrupted(f"Interrupted {progress}; {self._way_on()}")

    def discard(self) -> None:
        """Remove the folder, when the data are written elsewhere."""
        self.arrays.clear()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _way_on(self) -> str:
        if self.folder is None or not (self.folder / "state.pt").is_file():
            return "nothing was written."
        return f"the same command goes on from the last state in {self.folder}."

    def _make_folder(self) -> None:
        assert self.folder is not None
        if not (self.folder / "identity.json").is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic(self.folder / "identity.json") as temporary:
                temporary.write_text(json.dumps(self.identity, indent=1))

    def _map(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        self._make_folder()
        assert self.folder is not None
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)


def _difference(mine: Any, theirs: Any, name: str = "") -> str | None:
    """The first difference between two identities, in words."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        parts = (_difference(mine.get(k), theirs.get(k), k if k != "parameters" else name) for k in {**mine, **theirs})
        return next((p for p in parts if p is not None), None)
    return None if mine == theirs else f"with {name} = {theirs}, not {mine}"
