"""Devices that are not there, in place of a GPU.

On the first, `abroad`, shapes, types and devices are followed and nothing is computed: a tensor that was left behind on the CPU
is refused as on a real one, and so are numbers that the host asks for (`bool`, `.item()`, indices by a mask), since they would
wait for the device. On the second, `Watch`, everything is computed, on the CPU in truth, and every wait is written down.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map

import lit_bg

DEVICE = torch.device("lazy:0")  # which a build for CPUs knows by name alone
READS = (DataDependentOutputException, DynamicOutputShapeException)  # what the host asks of a device
LIBRARY = f"{Path(lit_bg.__file__).parent}/"
aten = torch.ops.aten


class Stream(torch.Generator):
    """A stream of random numbers on the device, which draws on the CPU in truth."""

    device = DEVICE


class Generator:
    """Makes the stream that is asked for."""

    def __new__(cls, device="cpu"):
        return Stream() if torch.device(device) == DEVICE else REAL(device)


REAL = torch.Generator


class Streams(TorchFunctionMode):
    """Draws are where their stream is, as on a real device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        stream = kwargs.get("generator")
        if stream is not None:
            given = [t.device for t in args if isinstance(t, Tensor)]
            device = torch.device(kwargs.get("device") or (given[0] if given else "cpu"))
            if device != stream.device:
                raise RuntimeError(f"Expected a '{device}' device type for generator but found '{stream.device}'.")
        return function(*args, **kwargs)


class Unreal(Streams):
    """What a device on which nothing is computed cannot do: draw from a stream, and copy tensors that are real."""

    def __init__(self, copied):
        super().__init__()
        self.copied = copied

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is Tensor.__deepcopy__:
            return self.copied(args[0])
        return super().__torch_function__(function, types, args, kwargs)


@contextmanager
def abroad():
    """Everything new is fake, and what was made before is where it was."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, mock.patch("torch.Generator", Generator), Unreal(mode.from_tensor):
        yield lambda x: mode.from_tensor(x).to(DEVICE)


def send(module: nn.Module, there) -> nn.Module:
    """Put all parameters and buffers of a module on the device, as `module.to` would."""
    for part in module.modules():
        for name, p in part._parameters.items():
            if p is not None:
                part._parameters[name] = nn.Parameter(there(p.detach()), requires_grad=p.requires_grad)
        for name, b in part._buffers.items():
            if b is not None:
                part._buffers[name] = there(b)
    return module


def tensors(values):
    """All tensors among arguments."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(value)


def here(value):
    """An argument with the numbers of tensors on the device."""
    if isinstance(value, (list, tuple)):
        return [here(v) for v in value]
    return value.here if isinstance(value, Remote) else value


class Wait(NamedTuple):
    """Where the host waits for the device, or sends it something while the device waits."""

    kind: str  # "read" or "upload"
    place: str  # file of the library: function
    line: int


class Remote(Tensor):
    """A tensor on the device; its numbers are here."""

    @staticmethod
    def __new__(cls, here: Tensor):
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        kept = {"dtype": here.dtype, "device": DEVICE, "requires_grad": here.requires_grad}
        return Tensor._make_wrapper_subclass(cls, here.shape, **layout, **kept)

    def __init__(self, here: Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:
        return f"Remote({self.here})"

    def tolist(self):
        Watch.current.note("read")
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return Watch.current.run(function, types, args, kwargs or {})


class Watch(TorchDispatchMode):
    """The device: what is there is computed, what lies elsewhere is refused, and waits are written down.

    A copy from the memory of the host to a GPU, of a constant or of an index, waits as a read does.
    """

    current: Watch

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        Watch.current = self

    def there(self, x: Tensor) -> Tensor:
        return Remote(x.clone())

    def note(self, kind: str) -> None:
        frame, other = sys._getframe(1), ""
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith(LIBRARY):
                place = f"{path.removeprefix(LIBRARY)}: {frame.f_code.co_name}"
                self.waits.append(Wait(kind, place, frame.f_lineno))
                return
            frame = frame.f_back
            foreign = re.search(r"site-packages/(?!torch/|_?pytest|pluggy|xdist|execnet)(\w+)", path)
            other = other or (foreign[1] if foreign else "")
        self.waits.append(Wait(kind, other or "autograd", 0))  # in a backward pass

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return self.run(function, types, args, kwargs or {})

    def run(self, function, types, args, kwargs):
        given = list(tensors((*args, *kwargs.values())))
        remote = any(isinstance(t, Remote) for t in given)
        to = kwargs.get("device")
        goes = to is not None and torch.device(to) == DEVICE
        if not (remote or goes):
            return function(*args, **kwargs)
        stays = remote
        if function is aten._to_copy.default:
            stays = goes if to is not None else remote
            if stays != remote:
                self.note("upload" if stays else "read")
        elif function is aten.copy_.default:
            stays = isinstance(args[0], Remote)
            if not all(isinstance(t, Remote) for t in given):
                self.note("upload" if stays else "read")
        elif function in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
            indices = [i for i in args[1] if i is not None]
            masks = [i for i in indices if i.dtype in (torch.bool, torch.uint8)]
            if masks and not (len(indices) == 1 and function is not aten.index.Tensor and args[2].numel() == 1):  # else a fill
                self.note("read")
            elif not all(isinstance(i, Remote) for i in indices):
                self.note("upload")
            self.refuse(function, [t for t in given if not any(t is i for i in indices)])
        else:
            self.refuse(function, given)
            tags = function.tags
            if torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags:
                self.note("read")
        own = {name: here(value) for name, value in kwargs.items()}
        if goes:
            own["device"] = torch.device("cpu")
        out = function(*map(here, args), **own)
        if stays or goes:
            out = Remote(out) if isinstance(out, Tensor) else tree_map(lambda t: Remote(t) if isinstance(t, Tensor) else t, out)
        return return_and_correct_aliasing(function, args, kwargs, out) if remote and aliases(function) else out

    def refuse(self, function, given: list[Tensor]) -> None:
        if any(not isinstance(t, Remote) and t.ndim > 0 for t in given):
            raise RuntimeError(f"Expected all tensors to be on the same device, {function} got some on cpu.")


@cache
def aliases(function) -> bool:
    """Whether an operation returns a view of what it is given, or that itself."""
    return any(r.alias_info is not None for r in function._schema.returns)


@contextmanager
def watched():
    """Compute on the device, and write down every wait."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(1.0, device=...) is a copy like any other
    try:
        with Watch() as watch, mock.patch("torch.Generator", Generator), Streams():
            yield watch
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
