"""All forces of a System, over batches of any size within a bound of memory."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lit_bg.forces.base import Force, Frame
from lit_bg.forces.comparison import compare, shake
from lit_bg.forces.selection import products_are_exact, use_indices

MEMORY = 2**31  # bytes that one chunk may take, roughly
IN_CACHE = 2**17  # on a CPU, elements (pairs x configurations) of an array: several then stay in its cache
CHUNKS = 16, 256  # on a CPU, the fewest and the most configurations: fewer fill no vectors
ARRAYS = 60  # live (pairs, batch) arrays of one evaluation with forces, counted generously


class Sum(nn.Module):
    """The sum of all forces over one chunk, plain differentiable torch: (N, 3, b) -> (b,) float64."""

    box: Tensor | None

    def __init__(self, forces: list[Force], box: Tensor | None) -> None:
        super().__init__()
        self.forces = nn.ModuleList(forces)
        self.register_buffer("box", box, persistent=False)
        self.all_pairs = any(f.needs_pairs for f in forces)

    def frame(self, x: Tensor) -> Frame:
        """Configurations as forces see them."""
        return Frame(x, self.box, self.all_pairs)

    def forward(self, x: Tensor) -> Tensor:
        frame = self.frame(x)
        energy = x.new_zeros(x.shape[-1], dtype=torch.float64)
        for force in self.forces:
            energy = energy + force.energy(frame)  # type: ignore[operator]
        return energy


class ForceField:
    """Potential energy of (B, N, 3) configurations [nm], (B,) float64 [kJ/mol], differentiable twice.

    Batches are evaluated in chunks, forward and backward together, so memory does not grow with the batch. A
    configuration with NaN or without a finite energy and forces has energy +inf and zero force.

    It is no module: parameters stay in float64, and a copy of them follows the dtype and device of what is evaluated.

    Args:
        forces: the terms, with float64 parameters.
        n: number of atoms.
        box: (3, 3) lower triangular box vectors [nm]; None without a box.
    """

    def __init__(self, forces: list[Force], n: int, box: Tensor | None = None) -> None:
        self.n = n
        self.exact = Sum(forces, box)
        self._fitted: dict[tuple[torch.dtype, torch.device, bool], Sum] = {}
        self._agrees: dict[tuple[torch.dtype, torch.device], bool] = {}  # compiled code with eager

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fitted": {}, "_agrees": {}}

    @property
    def pairs(self) -> int:
        """How many pairs of atoms there are."""
        return self.n * (self.n - 1) // 2

    def energy(self, x: Tensor, compiled: bool = False) -> Tensor:
        """(B, N, 3) -> (B,); with gradient, if x wants one.

        Args:
            x: configurations, float32 or float64, on any device.
            compiled: use torch.compile. The first call then takes minutes, and compares with eager evaluation, which stays
                in use, with a warning, where the two do not agree.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            return _Energy.apply(x, self, compiled)
        energies = [x.new_zeros(0, dtype=torch.float64)]
        with torch.no_grad():
            for energy, _ in self._chunks(x, False, compiled):
                energies.append(torch.where(energy.isfinite(), energy, torch.inf))
        return torch.cat(energies)

    def energy_and_forces(self, x: Tensor, compiled: bool = False) -> tuple[Tensor, Tensor]:
        """Energy (B,) and forces (B, N, 3) in the dtype of x, detached."""
        energies, forces = [x.new_zeros(0, dtype=torch.float64)], [x.new_zeros(0, *x.shape[1:])]
        for energy, gradient in self._chunks(x.detach(), True, compiled):
            assert gradient is not None
            fine = energy.isfinite() & gradient.isfinite().flatten(1).all(-1)
            energies.append(torch.where(fine, energy, torch.inf))
            forces.append(torch.where(fine[:, None, None], -gradient, 0.0))
        return torch.cat(energies), torch.cat(forces)

    def components(self, x: Tensor, of: Callable[[Force], bool] = lambda force: True) -> dict[str, Tensor]:
        """Return the energy of every force asked for by its name, each (B,) float64; forces of one name are added."""
        return self._table(x, [f.name if of(f) else None for f in self.exact.forces])  # type: ignore[arg-type]

    def by_group(self, x: Tensor) -> dict[int, Tensor]:
        """Energy of every force group, each (B,) float64."""
        return self._table(x, [f.group for f in self.exact.forces])

    def _table(self, x: Tensor, keys: list[Any]) -> dict[Any, Tensor]:
        own = self.fitted(x)
        table = {key: x.new_zeros(len(x), dtype=torch.float64) for key in keys if key is not None}
        any_pairs = any(f.needs_pairs for key, f in zip(keys, own.forces, strict=True) if key is not None)
        with torch.no_grad():
            for rows in torch.arange(len(x)).split(self.chunk(x)):
                frame = Frame(_batch_last(x[rows]), own.box, any_pairs)
                for key, force in zip(keys, own.forces, strict=True):
                    if key is not None:
                        table[key][rows] += force.energy(frame)  # type: ignore[operator]
        return table

    def chunk(self, x: Tensor) -> int:
        """Configurations that are evaluated at a time."""
        bytes_each = ARRAYS * max(self.n**2, 12 * self.n) * x.element_size()
        most = max(1, MEMORY // bytes_each)
        if x.device.type == "cpu":
            most = min(most, max(CHUNKS[0], min(CHUNKS[1], IN_CACHE // self.n**2)))
        return 1 << (most.bit_length() - 1)  # powers of two fill vectors

    def fitted(self, x: Tensor) -> Sum:
        """The forces with parameters in the dtype and on the device of x."""
        key = (x.dtype, x.device, products_are_exact(x))
        if key not in self._fitted:
            own = copy.deepcopy(self.exact).to(x.device, x.dtype)
            if not products_are_exact(x):
                use_indices(own)
            self._fitted[key] = own
        return self._fitted[key]

    def _chunks(self, x: Tensor, gradient: bool, compiled: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Energy, and its gradient if asked for, of one chunk after the other."""
        own, size = self.fitted(x), self.chunk(x)
        for part in x.split(size):
            n = len(part)
            full = part
            if compiled and n < size:  # one shape, one compilation: filled up with copies of the last configuration
                full = torch.cat([part, part[-1:].expand(size - n, -1, -1)])
            if compiled and self._trusts_compiled(own, full):
                # compiled code serves energies too: without gradient it would be compiled again
                energy, g = _compiled()(own, _batch_last(full))
                yield energy[:n], _batch_first(g)[:n] if gradient else None
            elif gradient:
                energy, g = _with_gradient(own, _batch_last(part))
                yield energy, _batch_first(g)
            else:
                yield own(_batch_last(part)), None

    def _trusts_compiled(self, own: Sum, part: Tensor) -> bool:
        """Whether compiled code gives the energies and forces of eager code: looked at once, since it has been seen not to."""
        key = part.dtype, part.device
        if key not in self._agrees:
            x = _batch_last(part)
            try:  # at a minimum no force at all would be right too: so shaken as well
                compared = [compare(own, y, _compiled(), _with_gradient) for y in (x, shake(x))]
            except Exception as error:  # a compiler raises anything
                problem = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            else:
                fine, wrong = (torch.stack(masks).any(0) for masks in zip(*compared, strict=True))
                if not fine.any():
                    return False  # nothing to compare: the next batch decides
                problem = (
                    f"gave wrong energies or forces for {int(wrong.sum())} of {len(part)} configurations" if wrong.any() else ""
                )
            if problem:
                warnings.warn(f"torch.compile of this force field {problem}; it is evaluated without.", stacklevel=2)
            self._agrees[key] = not problem
        return self._agrees[key]


def _batch_last(x: Tensor) -> Tensor:
    """(b, N, 3) -> (N, 3, b), contiguous: done outside of compiled code, which else takes up the order of its input."""
    return x.permute(1, 2, 0).contiguous()


def _batch_first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)


def _with_gradient(own: Sum, x: Tensor) -> tuple[Tensor, Tensor]:
    """Energies (b,) and their gradient (N, 3, b), detached."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        energy = own(x)
        (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient


def _in_one(own: Sum, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same by a transform: compiled, one graph with nothing handed from a forward to a backward pass.

    Compiled apart, the first pass writes arrays of all pairs for the second to read. With torch.autograd.grad in its
    place, the gradient of a compiled function was seen to come out as zero (torch 2.13).
    """

    def energies(x: Tensor) -> tuple[Tensor, Tensor]:
        energy = own(x)
        return energy.sum(), energy

    gradient, (_, energy) = torch.func.grad_and_value(energies, has_aux=True)(x)
    return energy, gradient


@cache
def _compiled() -> Any:
    # The function, not the module: copies of a force field share the code, and nothing is attached to them. With buffers
    # used again, the forces of compiled torsions are wrong by orders of magnitude (torch 2.13, CPU, float32).
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    options: dict[str, Any] = {"allow_buffer_reuse": False, "inplace_buffers": False}
    return torch.compile(_in_one, dynamic=False, fullgraph=True, options=options)


class _Energy(torch.autograd.Function):
    """The energy, whose forces are computed chunk by chunk along with it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: ForceField, compiled: bool) -> Tensor:
        energy, forces = field.energy_and_forces(x, compiled)
        ctx.field = field
        ctx.save_for_backward(x, forces)
        return energy

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, forces = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            forces = _Forces.apply(x, ctx.field)
        # An infinite energy has zero force; a loss may still send it an infinite or NaN gradient.
        grad = torch.where((forces == 0).flatten(1).all(-1), 0.0, grad)
        return -grad.to(forces.dtype)[:, None, None] * forces, None, None


class _Forces(torch.autograd.Function):
    """The forces, whose derivative along a vector is a product with the Hessian."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: ForceField) -> Tensor:
        ctx.field = field
        ctx.save_for_backward(x)
        return field.energy_and_forces(x)[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        own, products, size = ctx.field.fitted(x), [], ctx.field.chunk(x)
        for part, v in zip(x.split(size), grad.split(size), strict=True):
            with torch.enable_grad():
                part = part.detach().requires_grad_()
                (g,) = torch.autograd.grad(own(_batch_last(part)).sum(), part, create_graph=True)
                (product,) = torch.autograd.grad((g * v).sum(), part)
            products.append(product)
        return -torch.cat(products), None
