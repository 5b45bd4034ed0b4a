"""The virial identity: one number that wrong energies and data out of equilibrium both fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.estimators.time_series import mean_with_error

if TYPE_CHECKING:
    from lit_bg.spaces import Target


def virial_terms(energy: Target, x: Float[Tensor, "n *shape"], chunk: int = 4096) -> Float[Tensor, "n"]:
    r"""Return $\sum_i x_i\, \partial u / \partial x_i$ of every configuration, float64.

    Args:
        energy: the system; one gradient per configuration is counted.
        x: configurations, (n, *event_shape); what is no degree of freedom is taken out.
        chunk: configurations per evaluation.

    Returns:
        (n,) [kT].
    """
    x = energy.space.project(x)
    terms = []
    for part in x.split(chunk):
        part = part.detach().requires_grad_()
        with torch.enable_grad():
            (force,) = torch.autograd.grad(energy(part).sum(), part)
        terms.append((part.detach() * force).flatten(1).to(torch.float64).sum(-1))
    return torch.cat(terms)


def virial(energy: Target, x: Float[Tensor, "n *shape"]) -> tuple[float, float]:
    r"""Return the mean of $\sum_i x_i\, \partial u / \partial x_i$ and its standard error.

    In equilibrium the mean is `energy.space.dof`, for every confined system on linear
    coordinates. It detects a wrong energy, wrong units, a wrong temperature, duplicated minima; it
    does not see wrong populations of modes that are each in equilibrium (see `r_hat`).

    Args:
        energy: the system.
        x: independent configurations, (n, *event_shape), or frames of walkers, (T, W, *event_shape).

    Returns:
        mean and error [kT].

    Raises:
        ValueError: x has neither shape.

    >>> from lit_bg.energies import Gaussian
    >>> g = Gaussian(3)
    >>> value, error = virial(g, g.exact_samples(10000, torch.Generator().manual_seed(0)))
    >>> abs(value - 3) < 4 * error
    True
    """
    shape = energy.space.shape
    extra = x.ndim - len(shape)
    if extra not in (1, 2) or x.shape[extra:] != shape:
        raise ValueError(f"x must be (n, *{shape}) or (T, W, *{shape}), got {tuple(x.shape)}.")
    terms = virial_terms(energy, x.reshape(-1, *shape))
    return mean_with_error(terms.reshape(x.shape[:extra]))
