"""Student's widening of errors that are themselves known from few numbers."""

from __future__ import annotations

import torch
from torch import Tensor

ONE, TWO = 0.8413447, 0.9772499  # probabilities of a normal number below one and below two standard errors


def student_factors(dof: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the quantiles of Student's t at one and, halved, at two standard errors, each of the shape of `dof`, float64.

    Args:
        dof: degrees of freedom of the variance; below one they count as one.

    >>> [round(float(t), 3) for t in student_factors(torch.tensor(7.0))]
    [1.077, 1.214]
    """
    from scipy.special import stdtrit

    known = torch.as_tensor(dof).double().clamp_min(1.0).cpu().numpy()
    return torch.as_tensor(stdtrit(known, ONE)), torch.as_tensor(stdtrit(known, TWO) / 2)


def widening(dof: Tensor | float) -> Tensor:
    """Return the factor of an error from so many degrees of freedom, of their shape: the larger of `student_factors`."""
    return torch.maximum(*student_factors(torch.as_tensor(dof)))
