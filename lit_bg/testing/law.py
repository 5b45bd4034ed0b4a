"""Laws: what a law is, how a breach is reported, and how all laws of a kind are run on one object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, TypeVar
from unittest import SkipTest

import torch
from torch import Tensor

Case = TypeVar("Case")
Law = Callable[[Case], None]  # raises AssertionError where the case breaks it, DoesNotApply where it says nothing of it


class DoesNotApply(SkipTest):
    """Says that a law does not apply to an object; test runners count the test as skipped, with the reason."""


class Checked(NamedTuple):
    """Says which laws held, and which do not apply to the object, with the reason."""

    held: tuple[str, ...]
    left_out: dict[str, str]


def run_laws(laws: Mapping[str, Law[Case]], case: Case, name: str, skip: Collection[str] = ()) -> Checked:
    """Run all laws on one case and report all breaches at once.

    Args:
        laws: by name.
        case: what they are run on.
        name: of the object, for the message.
        skip: names of laws to leave out.

    Raises:
        AssertionError: laws that are broken, one sentence each.
        ValueError: a name in `skip` that no law has.
    """
    unknown = [wrong for wrong in skip if wrong not in laws]
    if unknown:
        raise ValueError(f"there is no law named {', '.join(map(repr, unknown))} to skip: the laws are {', '.join(laws)}.")
    held, left_out, broken = [], dict.fromkeys(skip, "skipped as asked for"), []
    for law, function in laws.items():
        if law in skip:
            continue
        try:
            function(case)
        except DoesNotApply as reason:
            left_out[law] = str(reason)
        except AssertionError as breach:
            broken.append(f"  {law}: {breach}")
        except Exception as error:
            error.add_note(f"{name} failed while the law '{law}' was tried.")
            raise
        else:
            held.append(law)
    if broken:
        count = f"{len(broken)} law{'s' if len(broken) > 1 else ''}"
        raise AssertionError("\n".join([f"{name} breaks {count}:", *broken]))
    return Checked(tuple(held), left_out)


def require(holds: bool | Tensor, sentence: str) -> None:
    """Raise an AssertionError with this sentence unless the condition holds."""
    if not bool(holds):
        raise AssertionError(sentence)


def require_close(what: str, found: Tensor, expected: Tensor, atol: float, rtol: float = 0.0, why: str = "") -> None:
    r"""Require $|a - b| \le$ atol + rtol |b| in every entry; equal infinities are close, NaN is close to nothing.

    Args:
        what: is compared, such as "u of Mine, computed alone,".
        found, expected: of one shape.
        atol, rtol: limits.
        why: what should be done about it, a clause that ends the sentence.
    """
    require(found.shape == expected.shape, f"{what} has shape {tuple(found.shape)} and must have {tuple(expected.shape)}{why}.")
    a, b = found.detach().double(), expected.detach().double()
    gap, limit = (a - b).abs(), atol + rtol * b.abs()
    far = ~((gap <= limit) | (a == b))
    if not far.any():
        return
    excess = torch.where(far, (gap - limit).nan_to_num(torch.inf), -torch.inf)
    k = int(excess.flatten().argmax())
    values = [part.expand(a.shape).flatten()[k].item() for part in (a, b, limit)]
    raise AssertionError(
        f"{what} is {values[0]:.9g} and must be {values[1]:.9g} within {values[2]:.2g}{_place(k, a.shape)}{why}."
    )


def require_refusal(what: str, call: Callable[[], object], errors: type[Exception] | tuple[type[Exception], ...]) -> None:
    """Require that a call raises one of these errors, with a message."""
    kinds = errors if isinstance(errors, tuple) else (errors,)
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds as error:
        require(str(error).strip() != "", f"{what} raises {type(error).__name__} without a word: say what was wrong.")
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__} ({error}) and must raise {names}.") from error
    raise AssertionError(f"{what} is taken without complaint and must raise {names}.")


def same(a: Tensor, b: Tensor) -> bool:
    """Say whether two tensors are equal bit for bit, NaN included."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def seeded(seed: int = 0) -> torch.Generator:
    """Return a stream of random numbers."""
    return torch.Generator().manual_seed(seed)


def _place(k: int, shape: torch.Size) -> str:
    """Say where entry k of a tensor is."""
    if not shape:
        return ""
    index = [int(i) for i in torch.unravel_index(torch.tensor(k), tuple(shape))]
    return f" (row {index[0]})" if len(index) == 1 else f" (entry {tuple(index)})"
