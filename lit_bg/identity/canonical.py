"""Values in the one spelling that counts, as JSON holds them."""

from __future__ import annotations

import hashlib
import io
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST_NUMBERS = 1000  # of an array that is written out; a longer one is known by its digest
NODE, FILE = {"class", "package", "parameters"}, {"file", "sha256"}
MODULES = ("torch", "numpy", "builtins")  # whose functions need not know where they are from


def canonical(value: Any) -> Any:
    """Return a value in the one spelling that counts, of plain dictionaries, lists, numbers and strings.

    - An energy or a topology, and whatever else is `Configured`, is its node, `identify(value)`, and its kT.
    - A path, or text that names a file, is the name of the file and the SHA-256 of its content. Of a directory, and of an
      absolute path where no file is, it is the name.
    - Tensors, arrays, lists and tuples are lists of numbers, long ones (more than 1000) their shape and digest in single
      precision.
    - A function or class is the name by which it can be imported; `functools.partial` that and its arguments.
    - A module of torch is its layers, and the digest of its parameters and buffers. A dataclass is its class and fields.
    - Of anything else, lambdas and local functions among them, it is not known what it does: {"unknown": ...}.

    >>> canonical((1, torch.tensor([0.5]), math.sin, lambda x: x))
    [1, [0.5], {'function': 'math.sin'}, {'unknown': 'a lambda'}]
    """
    node = getattr(value, "_configuration_node", None)
    if callable(node) and not isinstance(value, type):
        kT = getattr(value, "kT", None)
        return node() if kT is None else {**node(), "kT": canonical(kT)}
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, (np.generic, Tensor, np.ndarray)):
        return _array(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (str, PurePath)):
        return _text(value)
    if isinstance(value, Mapping):
        if value.keys() in (NODE, FILE):
            return dict(value)  # it is one already
        return {str(key): canonical(part) for key, part in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, (list, tuple, range)):
        return _list(value)
    if isinstance(value, Set):
        return sorted((canonical(part) for part in value), key=str)
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value)
    if isinstance(value, partial):
        parts = {"arguments": canonical(value.args), "keywords": canonical(value.keywords)}
        return {"partial": canonical(value.func), **parts}
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: canonical(getattr(value, field.name)) for field in fields(value) if field.compare}
        return {"class": class_name(type(value)), "fields": held}
    if isinstance(value, nn.Module):
        return {"layers": repr(value), "sha256": _digest_of_state(value)}
    return _function(value) if callable(value) else _unknown(f"an object of {type(value).__name__}")


def class_name(cls: type) -> str:
    """Return the name of a class without its module, which may be moved; of a local one without the function around it."""
    return cls.__qualname__.rpartition("<locals>.")[2]


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def describe_file(path: str | PurePath, included: Sequence[str | PurePath] = ()) -> dict[str, str]:
    """Return the name of a file, and the SHA-256 of its content and of the files that it includes.

    One that cannot be read is {"unknown": ...}.
    """
    path = Path(path)
    try:
        own, *others = (digest(Path(file).read_bytes()) for file in (path, *included))
    except OSError as error:
        return _unknown(f"the file {path.name}, which cannot be read ({type(error).__name__})")
    return {"file": path.name, "sha256": digest(" ".join([own, *sorted(others)]).encode()) if others else own}


def _text(value: str | PurePath) -> Any:
    text = os.fspath(value)
    path = Path(text)
    looks_like_a_file = isinstance(value, PurePath) or "." in path.name or os.sep in text  # no word that a file bears by chance
    if looks_like_a_file and os.path.isfile(text):
        return describe_file(text)
    return path.name if path.is_absolute() else text


def _list(value: Sequence[Any]) -> Any:
    inner = value[0] if len(value) else None
    if len(value) * (len(inner) if isinstance(inner, (list, tuple)) else 1) > MOST_NUMBERS:
        try:
            return _array(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError):  # no numbers, or rows of several lengths
            pass
    return [canonical(part) for part in value]


def _array(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    value = np.asarray(value)
    if value.dtype.kind not in "biuf" or value.size <= MOST_NUMBERS:
        return _unknown(f"an array of {value.dtype}") if value.dtype.kind in "cOV" else canonical(value.tolist())
    # The digest of numbers is that of their single precision: then it does not matter in which of both they were given.
    kind = np.float64 if (value == np.rint(value)).all() else np.float32
    return {"shape": list(value.shape), "sha256": digest(np.ascontiguousarray(value, dtype=kind).tobytes())}


def _digest_of_state(module: nn.Module) -> str:
    buffer = io.BytesIO()
    for name, part in sorted(module.state_dict().items()):
        buffer.write(name.encode())
        if isinstance(part, Tensor):
            buffer.write(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest(buffer.getvalue())


def _function(value: Callable[..., Any]) -> dict[str, str]:
    """Return the name by which a function or class is imported; unknown where there is none."""
    short = str(getattr(value, "__name__", ""))
    name = str(getattr(value, "__qualname__", short))
    for module in (getattr(value, "__module__", None), *MODULES):
        for path in (name, short):
            found: Any = sys.modules.get(module or "")
            for part in path.split("."):
                found = getattr(found, part, None)
            if path and found is value:
                return {"function": f"{module}.{path}"}
    if "<lambda>" in name:
        return _unknown("a lambda")
    return _unknown(f"the local function {short}" if "<locals>" in name else f"an object of {type(value).__name__}")


def _unknown(what: str) -> dict[str, str]:
    return {"unknown": what}
