"""The compiled code of kernel.cpp, which is made when it is first needed, and kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path

import torch

from lit_bg.activity import doing
from lit_bg.files import atomic

SOURCE = Path(__file__).with_name("kernel.cpp")
FLAGS = [
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-shared",
    "-fPIC",
    "-pthread",
    "-w",
]
VECTORS = {  # by what torch found this CPU to have: a folder of compiled code may be shared between machines
    "AVX512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx2", "-mfma"],
    "AVX2": ["-mavx2", "-mfma"],
}
LOCK = threading.Lock()


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled code, compiling it where that has not been done; None where there is no compiler.

    It takes two seconds, once for every version of the source, the compiler and the kind of CPU: the code is kept in
    `$XDG_CACHE_HOME/lit_bg`, by default in `~/.cache/lit_bg`. The compiler is `$CXX`, or g++ or clang++, as torch.compile needs
    one for a CPU. (torch.utils.cpp_extension would do the same with the headers of torch, in half a minute, and with a lock
    that a killed process leaves behind.)
    """
    with LOCK:  # two threads would write to one temporary file
        found = (shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
        compiler = next((path for path in found if path), None)
        if compiler is None:
            return None
        try:
            return _build(compiler)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            reason = next((line for line in said.splitlines() if "error" in line), said.strip().splitlines()[0])
            warnings.warn(f"{SOURCE.name} cannot be compiled or loaded, so torch evaluates forces, more slowly: {reason}")
            return None


def _build(compiler: str) -> ctypes.CDLL:
    command = [compiler, *FLAGS, *VECTORS.get(torch.backends.cpu.get_cpu_capability(), [])]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    key = hashlib.sha256("\n".join([SOURCE.read_text(), *command, version]).encode()).hexdigest()[:16]
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_bg"
        return _load(folder / f"kernel-{key}.so", command)
    except (OSError, RuntimeError):  # a folder that cannot be written, that nothing may be run from; no home at all
        with tempfile.TemporaryDirectory() as temporary:
            return _load(Path(temporary) / "kernel.so", command)


def _load(path: Path, command: list[str]) -> ctypes.CDLL:
    """Load the code at a path, compiled by the command if it is not there as it was written: damaged code ends a process."""
    checksum = path.with_suffix(".sha256")
    if not (path.is_file() and checksum.is_file() and checksum.read_text() == hashlib.sha256(path.read_bytes()).hexdigest()):
        # Processes that start together may each compile; the last name stays.
        with doing("compiling the forces, once for this machine"), atomic(path) as temporary:
            subprocess.run([*command, "-o", temporary, SOURCE], check=True, capture_output=True, text=True)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        with atomic(checksum) as temporary:
            temporary.write_text(digest)
    code = ctypes.CDLL(str(path))
    for evaluate in (code.evaluate_float, code.evaluate_double):
        evaluate.argtypes, evaluate.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], ctypes.c_int64
    return code
