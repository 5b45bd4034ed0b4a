"""All forces of a System, over batches of any size within a bound of memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache, partial, wraps
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lit_bg.compiling import Trust, compile_function, pad
from lit_bg.forces.base import Force, Frame
from lit_bg.forces.comparison import Gradient, compare_forces, shake
from lit_bg.forces.kernel import CppKernel, serve
from lit_bg.forces.kernel_library import library
from lit_bg.forces.selection import products_are_exact, use_indices
from lit_bg.forces.torch_part import Sum, TorchPart

MEMORY = 2**31  # bytes that one chunk may take, roughly
IN_CACHE = 2**17  # on a CPU, elements (pairs x configurations) of an array: several then stay in its cache
CHUNKS = 16, 256  # on a CPU, the fewest and the most configurations: fewer fill no vectors
ARRAYS = 60  # live (pairs, batch) arrays of one evaluation with forces, counted generously
M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
COMPILE_AFTER = 2e8  # atom pairs: by then eager evaluation has cost about as much as the compilation will
COMPARABLE = "energies or forces"  # of fast code with those of plain torch
COMPARED = 2**14  # pairs x configurations on which the kernel is compared with torch


def ordinary(evaluate: Callable[..., T]) -> Callable[..., T]:
    """Make a method of configurations run in ordinary mode, without gradients, also within torch.inference_mode.

    What it makes is kept, and tensors of inference mode cannot take part in a gradient later.
    """

    @wraps(evaluate)
    def method(self: ForceField, x: Tensor, *arguments: Any) -> T:
        with torch.inference_mode(False), torch.no_grad():
            x = x.clone() if x.is_inference() else x.detach()
            return evaluate(self, x, *arguments)

    return method


class ForceField:
    """Evaluates the potential energy of (B, N, 3) configurations [nm], (B,) float64 [kJ/mol], differentiable twice.

    Forces are evaluated by the quickest of what there is: on a CPU with a compiler by the C++ of `CppKernel`, else by closed
    forms in torch, else by autograd. The part of torch goes in chunks, forward and backward together, so memory does not grow
    with the batch. A configuration with NaN or without a finite energy and forces has energy +inf and zero force.

    It is no module: parameters stay in float64, and what is evaluated is made of them for every dtype and device. Nothing
    changes them, so copies of what holds a force field share it.

    What torch evaluates is compiled from the point on where it pays: in batches of some size, and when as many pairs of atoms
    were evaluated as the compilation costs. That point depends on `work` alone, which whoever saves an energy saves with it,
    so an interrupted run meets it where the uninterrupted one does.

    Args:
        forces: the terms, with float64 parameters.
        n: number of atoms.
        box: (3, 3) lower triangular box vectors [nm]; None without a box.

    Attributes:
        code: the quickest that may be used: "kernel", "torch" (closed forms) or "autograd".
        compile: whether torch.compile is used; None: where it pays. The first call then takes long, and compares with eager
            evaluation, which stays in use, with a warning, where the two do not agree.
        work: configurations evaluated so far, without and with forces.
    """

    def __init__(self, forces: list[Force], n: int, box: Tensor | None = None) -> None:
        self.n = n
        self.exact = Sum(forces, box)
        self.code: Literal["kernel", "torch", "autograd"] = "kernel"
        self.compile: bool | None = None
        self.work = [0, 0]
        self._made: dict[Any, Any] = {}  # kernels and modules by what they are for
        self._trust = Trust(COMPARABLE)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}, "_trust": Trust(COMPARABLE)}

    def __deepcopy__(self, memo: dict[int, Any]) -> ForceField:
        return self

    @property
    def pairs(self) -> int:
        """Return how many pairs of atoms there are."""
        return self.n * (self.n - 1) // 2

    def energy(self, x: Tensor) -> Tensor:
        """Return energies, (B, N, 3) -> (B,), of float32 or float64 on any device; with gradient, if x wants one."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _Energy.apply(x, self)
        return self._evaluate(x, False, 1.0, 1.0)[0]

    def energy_and_forces(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return energies (B,) and forces (B, N, 3) in the dtype of x, detached."""
        return self._with_forces(x, 1.0, 1.0)

    def energy_and_gradient(self, x: Tensor, unit: float) -> tuple[Tensor, Tensor]:
        """Return the energy (B,) in a unit [kJ/mol] and its gradient (B, N, 3) in the dtype of x, detached."""
        return self._with_forces(x, 1 / unit, -1 / unit)

    def compiles(self, x: Tensor, with_forces: bool) -> bool:
        """Say whether what torch evaluates of configurations like these is compiled."""
        if self.compile is not None:
            return self.compile
        if not self.uses_torch(x) or 2 * len(x) < self.chunk(x):  # it would be filled up to a full chunk
            return False
        done = self.work[1] if with_forces else self.work[0] / 3  # forces cost three times an energy
        return done * self.pairs > COMPILE_AFTER

    def _with_forces(self, x: Tensor, per_energy: float, per_force: float) -> tuple[Tensor, Tensor]:
        energy, forces = self._evaluate(x, True, per_energy, per_force)
        assert forces is not None
        return energy, forces

    @ordinary
    def _evaluate(self, x: Tensor, with_forces: bool, per_energy: float, per_force: float) -> tuple[Tensor, Tensor | None]:
        """Return energies and forces, multiplied by factors, which costs nothing here."""
        kernel = self._kernel(x)
        part = self._torch_part(x, kernel)
        compiled = part is not None and self.compiles(x, with_forces)
        self.work[with_forces] += len(x)
        if kernel is not None:
            energy, forces = kernel(x, with_forces, per_energy, per_force)
        else:
            energy, forces = x.new_zeros(len(x), dtype=torch.float64), torch.zeros_like(x) if with_forces else None
        if part is None:
            return energy, forces
        done = 0
        for of_part, gradient in self._chunks(part, x, with_forces, compiled):
            rows = slice(done, done := done + len(of_part))
            energy[rows].add_(of_part, alpha=per_energy)
            if forces is not None and gradient is not None:
                forces[rows].sub_(gradient, alpha=per_force)
        fine = energy.isfinite() & x.isfinite().flatten(1).all(-1)
        if forces is not None:
            fine &= forces.isfinite().flatten(1).all(-1)
            forces = torch.where(fine[:, None, None], forces, 0.0)
        return torch.where(fine, energy, torch.inf), forces

    def components(self, x: Tensor, of: Callable[[Force], bool] = lambda force: True) -> dict[str, Tensor]:
        """Return the energy of every force asked for by its name, each (B,) float64; forces of one name are added."""
        return self._table(x, [f.name if of(f) else None for f in self.exact.forces])  # type: ignore[arg-type]

    def by_group(self, x: Tensor) -> dict[int, Tensor]:
        """Return the energy of every force group, each (B,) float64."""
        return self._table(x, [f.group for f in self.exact.forces])

    @ordinary
    def _table(self, x: Tensor, keys: list[Any]) -> dict[Any, Tensor]:
        own = self.differentiable(x)
        table = {key: x.new_zeros(len(x), dtype=torch.float64) for key in keys if key is not None}
        any_pairs = any(f.needs_pairs for key, f in zip(keys, own.forces, strict=True) if key is not None)
        for rows in torch.arange(len(x), device=x.device).split(self.chunk(x)):
            frame = Frame(_batch_last(x[rows]), own.box, any_pairs)
            for key, force in zip(keys, own.forces, strict=True):
                if key is not None:
                    table[key][rows] += force.energy(frame)  # type: ignore[operator]
        return table

    def chunk(self, x: Tensor) -> int:
        """Return how many configurations torch evaluates at a time."""
        bytes_each = ARRAYS * max(self.n**2, 12 * self.n) * x.element_size()
        most = max(1, MEMORY // bytes_each)
        if x.device.type == "cpu":
            most = min(most, max(CHUNKS[0], min(CHUNKS[1], IN_CACHE // self.n**2)))
        return 1 << (most.bit_length() - 1)  # powers of two fill vectors

    def differentiable(self, x: Tensor) -> Sum:
        """Return the sum of all forces for autograd, with parameters in the dtype and on the device of x."""
        return self._make("sum", x, lambda: _fit(self.exact, x))

    @ordinary
    def uses_torch(self, x: Tensor) -> bool:
        """Say whether configurations like these are evaluated by torch, in part at least."""
        return self._torch_part(x, self._kernel(x)) is not None

    def _make(self, kind: str, x: Tensor, make: Callable[[], Any]) -> Any:
        key = kind, self.code, x.dtype, x.device, products_are_exact(x)
        if key not in self._made:
            with torch.device("cpu"):  # whatever the default is: what is made follows x
                self._made[key] = make()
        return self._made[key]

    def _kernel(self, x: Tensor) -> CppKernel | None:
        """Return the kernel, if there is one that agrees with torch."""
        if self.code != "kernel" or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not len(x):
            return None
        forces: list[Force] = list(self.exact.forces)  # type: ignore[arg-type]
        kernel = self._make("kernel", x, lambda: serve(forces, self.n, self.exact.box, x.dtype) if library() else None)
        agrees = self._trust.known.get(self._key("the kernel", x))
        if kernel is None or agrees is not None:
            return kernel if agrees else None
        with torch.device("cpu"):
            part = _fit(TorchPart(kernel.forces, self.n, self.exact.box), x)

        def by_kernel(y: Tensor) -> tuple[Tensor, Tensor]:
            energy, forces = kernel(y.permute(2, 0, 1))
            return energy, -_batch_last(forces)

        few = x[: max(1, COMPARED // max(1, self.pairs))]
        return kernel if self._trusts("the kernel", part.sum, few, by_kernel, part.with_gradient) else None

    def _torch_part(self, x: Tensor, kernel: CppKernel | None) -> TorchPart | None:
        """Return what torch evaluates beside the kernel; None if that is nothing."""

        def make() -> TorchPart | None:
            served = [] if kernel is None else kernel.forces
            forces: list[Force] = [f for f in self.exact.forces if not any(f is g for g in served)]  # type: ignore[misc]
            return _fit(TorchPart(forces, self.n, self.exact.box, closed=self.code != "autograd"), x) if forces else None

        return self._make("all" if kernel is None else "others", x, make)

    def _chunks(self, part: TorchPart, x: Tensor, gradient: bool, compiled: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the energy, and its gradient (b, N, 3) if asked for, of one chunk after the other."""
        size = self.chunk(x)
        for rows in x.split(size):
            n = len(rows)
            full = pad(rows, size) if compiled else rows
            if compiled and self._trusts("torch.compile", part.sum, full, partial(_compiled(), part), part.with_gradient):
                # compiled code serves energies too: without gradient it would be compiled again
                energy, g = _compiled()(part, _batch_last(full))
                yield energy[:n], _batch_first(g)[:n] if gradient else None
            elif gradient:
                energy, g = part.with_gradient(_batch_last(rows))
                yield energy, _batch_first(g)
            else:
                yield part.sum(_batch_last(rows)), None

    def _trusts(self, name: str, own: Sum, x: Tensor, fast: Gradient, plain: Gradient) -> bool:
        """Say whether fast code gives the energies and forces of plain torch."""

        def both() -> tuple[Tensor, Tensor]:
            # at a minimum no force at all would be right too: so shaken as well
            compared = [compare_forces(own, z, fast, plain) for z in (_batch_last(x), shake(_batch_last(x)))]
            fine, wrong = (torch.stack(masks).any(0) for masks in zip(*compared, strict=True))
            return fine, wrong

        return self._trust.holds(f"{name} of this force field", self._key(name, x), both)

    def _key(self, name: str, x: Tensor) -> tuple[Any, ...]:
        return name, self.code, x.dtype, x.device


def _fit(module: M, x: Tensor) -> M:
    """Return a copy of a module with parameters in the dtype and on the device of x."""
    own = copy.deepcopy(module).to(x.device, x.dtype)
    if not products_are_exact(x):
        use_indices(own)
    return own


def _batch_last(x: Tensor) -> Tensor:
    """Reorder (b, N, 3) -> (N, 3, b), contiguous, outside of compiled code, which would take up the order of its input."""
    return x.permute(1, 2, 0).contiguous()


def _batch_first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)


def _in_one(part: TorchPart, x: Tensor) -> tuple[Tensor, Tensor]:
    return part.in_one_graph(x)


@cache
def _compiled() -> Any:
    # With buffers used again, the forces of compiled torsions are wrong by orders of magnitude (torch 2.13, CPU, float32).
    options: dict[str, Any] = {"allow_buffer_reuse": False, "inplace_buffers": False}
    return compile_function(_in_one, fullgraph=True, options=options)


class _Energy(torch.autograd.Function):
    """Computes the energy, and the forces chunk by chunk along with it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: ForceField) -> Tensor:
        energy, forces = field.energy_and_forces(x)
        ctx.field = field
        ctx.save_for_backward(x, forces)
        return energy

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, forces = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            forces = _Forces.apply(x, ctx.field)
        # An infinite energy has zero force; a loss may still send it an infinite or NaN gradient.
        grad = torch.where((forces == 0).flatten(1).all(-1), 0.0, grad)
        return -grad.to(forces.dtype)[:, None, None] * forces, None


class _Forces(torch.autograd.Function):
    """Gives the forces, whose derivative along a vector is a product with the Hessian."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: ForceField) -> Tensor:
        ctx.field = field
        ctx.save_for_backward(x)
        return field.energy_and_forces(x)[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        own, products, size = ctx.field.differentiable(x), [], ctx.field.chunk(x)
        for part, v in zip(x.split(size), grad.split(size), strict=True):
            with torch.enable_grad():
                part = part.detach().requires_grad_()
                (g,) = torch.autograd.grad(own(_batch_last(part)).sum(), part, create_graph=True)
                (product,) = torch.autograd.grad((g * v).sum(), part)
            products.append(product)
        return -torch.cat(products), None
