"""A step size that gives the acceptance one wants."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GAMMA, T0, KAPPA = 0.05, 10.0, 0.75  # as in the paper
FEWEST_STEPS = 50  # of burn-in, for an average worth the name


def begin_adaptation(step_size: float) -> Tensor:
    """The memory of dual averaging: mu, the mean error H, log of the averaged step size, and the number of updates; float64."""
    return torch.tensor([math.log(10 * step_size), 0.0, 0.0, 0.0], dtype=torch.float64)


def adapt(memory: Tensor, acceptance: float, target: float) -> float:
    r"""One update of Nesterov's dual averaging, $\log \epsilon_{m+1} = \mu - \frac{\sqrt m}{\gamma} H_m$; the next step size.

    $H_m$ is the mean of target minus acceptance so far, with early steps forgotten. Adapting for ever would spoil the
    distribution that is sampled, so it is for burn-in alone.

    Args:
        memory: changed in place.
        acceptance: mean acceptance probability of the last step, over all walkers.
        target: of the acceptance.

    References:
        Hoffman, Gelman, J. Mach. Learn. Res. 15, 1593 (2014), arXiv:1111.4246, section 3.2.
    """
    mu, error, averaged, m = memory.tolist()
    m += 1
    error += (target - acceptance - error) / (m + T0)
    log_step = mu - math.sqrt(m) / GAMMA * error
    weight = m**-KAPPA
    memory.copy_(torch.tensor([mu, error, weight * log_step + (1 - weight) * averaged, m]))
    return math.exp(log_step)


def adapted(memory: Tensor) -> float:
    """The averaged step size, to be used from the end of burn-in."""
    return math.exp(memory[2].item())
