"""The bootstrap: errors from data sets resampled from the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

FEWEST_WALKERS = 16  # from which walkers as a whole are the groups: they alone are certainly independent
FEWEST_GROUPS = 64  # of stretches of time: the error of the error is a tenth


def bootstrap(
    statistic: Callable[..., float | Tensor],
    samples: tuple[Shaped[Tensor, "_ ..."], ...],
    repeats: int,
    rng: torch.Generator,
    groups: Sequence[Int[Tensor, "_"] | None] | None = None,
) -> Float[Tensor, "repeats ..."]:
    r"""Return a statistic of as many resampled data sets as asked for, (repeats, ...) float64; their spread is its error.

    Every set of samples is drawn again from itself, with replacement and on its own. Correlated samples (frames of one walker,
    say) are drawn in groups, as a whole: groups are independent where samples are not. The spread of few groups G is too
    small by $\sqrt{1 - 1/G}$ (see `bootstrap_error`).

    Args:
        statistic: from as many tensors as there are sets, to one number or a tensor of numbers.
        samples: sets of samples, each (n, ...).
        repeats: resampled data sets.
        rng: of the draws, on the CPU.
        groups: for every set the group of each sample, (n,) integers, or None where samples are independent.

    Raises:
        ValueError: fewer than two repeats, empty sets, or groups that do not fit.

    References:
        Efron, Ann. Statist. 7, 1 (1979), doi:10.1214/aos/1176344552.
        Kuensch, Ann. Statist. 17, 1217 (1989), doi:10.1214/aos/1176347265, for groups of neighbours in time.

    >>> x = torch.arange(100.0)
    >>> means = bootstrap(lambda x: x.mean(), (x,), 200, torch.Generator().manual_seed(0))
    >>> means.shape, bool((means.std() / (x.std() / 10) - 1).abs() < 0.2)
    (torch.Size([200]), True)
    """
    if repeats < 2:
        raise ValueError(f"a bootstrap needs at least 2 repeats, got {repeats}.")
    groups = [None] * len(samples) if groups is None else list(groups)
    if len(groups) != len(samples):
        raise ValueError(f"one set of groups per set of samples, got {len(groups)} and {len(samples)}.")
    drawers = [_drawer(x, group) for x, group in zip(samples, groups, strict=True)]
    values = []
    for _ in range(repeats):
        resampled = [x[draw(rng).to(x.device)] for x, draw in zip(samples, drawers, strict=True)]
        values.append(torch.as_tensor(statistic(*resampled)).double().cpu())
    return torch.stack(values)


def bootstrap_error(values: Float[Tensor, "repeats *rest"], fewest: int | None = None) -> Float[Tensor, "*rest"]:
    r"""Return the standard deviation of what `bootstrap` returned, over $\sqrt{1 - 1/G}$ for the G groups of the smallest set.

    Args:
        values: (repeats, ...).
        fewest: G; None where samples were drawn one by one.
    """
    error = values.std(0)
    return error if fewest is None or fewest < 2 else error / (1 - 1 / fewest) ** 0.5


def group_frames(frames: int, walkers: int, least: int = FEWEST_GROUPS) -> Int[Tensor, "T W"]:
    """Return the group of every frame, (T, W): its walker, or where there are too few of them a stretch of time of it.

    Args:
        frames: T of every walker.
        walkers: W.
        least: groups that are wanted of fewer than 16 walkers; there are fewer only where there are fewer frames.

    >>> group_frames(4, 2, least=4).tolist()
    [[0, 1], [0, 1], [2, 3], [2, 3]]
    """
    stretches = 1 if walkers >= FEWEST_WALKERS else min(max(1, -(-least // walkers)), frames)
    stretch = torch.arange(frames) * stretches // frames
    return stretch[:, None] * walkers + torch.arange(walkers)


def _drawer(samples: Tensor, group: Tensor | None) -> Callable[[torch.Generator], Tensor]:
    n = len(samples)
    if n == 0 or (group is not None and group.shape != (n,)):
        of = "no groups" if group is None else f"groups {tuple(group.shape)}"
        raise ValueError(f"a set needs samples, and a group for each of them, got {n} samples and {of}.")
    group = None if group is None else group.cpu()
    if group is None or len(group.unique()) == n:
        return lambda rng: torch.randint(n, (n,), generator=rng)
    sizes = torch.bincount(group.unique(return_inverse=True)[1])
    members = torch.argsort(group, stable=True).split(sizes.tolist())
    return lambda rng: torch.cat([members[i] for i in torch.randint(len(members), (len(members),), generator=rng).tolist()])
