"""Processes that evaluate one System with OpenMM; imported without torch, so that a program starts in no time."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from lit_bg.energies import openmm_worker


class OpenMMPool:
    """Runs `openmm_worker` in several processes and exchanges data with them through pipes.

    Not `multiprocessing`: its processes import the user's script and torch again, and daemons may have none.
    A configuration of 22 atoms costs the calling process 8 us, and OpenMM 50 us at the least.
    """

    def __init__(self, system: tuple[str, str | None, dict[str, str] | None], n: int) -> None:
        command = [sys.executable, "-P", str(Path(openmm_worker.__file__)), str(os.getpid())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
        self.workers: list[subprocess.Popen[bytes]] = []
        # Ends the workers when this object is collected and when the interpreter exits; its own list, not self.
        self.end = weakref.finalize(self, _end, self.workers, os.getpid())
        try:
            for _ in range(n):  # in a session of their own, so that Ctrl-C does not reach them
                self.workers.append(
                    subprocess.Popen(
                        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
                    )
                )
            for k in range(n):
                self._send(k, system)
        except BaseException:
            self.end()
            raise

    def evaluate(
        self, positions: np.ndarray, workers: int, forces: bool, groups: set[int] | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Evaluate as `openmm_worker.evaluate` does, by the first `workers` processes in equal parts."""
        try:
            for k, part in enumerate(np.array_split(positions, workers)):
                self._send(k, (part, forces, groups))
            answers = [self._receive(k) for k in range(workers)]
        except BaseException:  # Ctrl-C too: answers are still on their way, and would be taken for those of the next batch
            self.end()
            raise
        energies, parts = zip(*answers, strict=True)
        return np.concatenate(energies), np.concatenate(parts) if forces else None

    def _send(self, k: int, message: Any) -> None:
        stream = self.workers[k].stdin
        assert stream is not None  # for the type checker
        try:
            pickle.dump(message, stream, protocol=5)
            stream.flush()
        except BrokenPipeError:
            raise self._death(k) from None

    def _receive(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        stream = self.workers[k].stdout
        assert stream is not None  # for the type checker
        try:
            answer = pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            raise self._death(k) from None
        if isinstance(answer, str):
            raise RuntimeError(f"an OpenMM process failed: {answer}")
        return answer

    def _death(self, k: int) -> RuntimeError:
        code = self.workers[k].wait(timeout=30)
        name = f" ({signal.Signals(-code).name})" if code < 0 else ""
        return RuntimeError(
            f"OpenMM process {k + 1} of {len(self.workers)} ended with exit code {code}{name}: "
            "its last words are above; use fewer processes if memory is short, processes: 1 to see the error here."
        )


def _end(workers: list[subprocess.Popen[bytes]], owner: int) -> None:
    """Kill the workers; they hold nothing worth keeping."""
    if os.getpid() != owner:
        return  # a fork must not kill the processes of its parent
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            assert stream is not None  # for the type checker
            with contextlib.suppress(BrokenPipeError):  # what was not sent yet has no reader any more
                stream.close()
