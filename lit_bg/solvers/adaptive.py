"""A solver with adaptive steps, by torchdiffeq."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.solvers.base import OdeState, Rate, Solver


class DormandPrince(Solver):
    """Integrates by Runge-Kutta of order 5(4) with steps chosen for the whole batch (torchdiffeq's dopri5).

    Gradients by the adjoint equation: memory does not grow with the number of steps. A step serves all samples of a batch,
    so the log q of each depends on its neighbours, by less than the tolerance.

    Args:
        rtol, atol: relative and absolute tolerance of every component.
        max_steps: of one integration, before it is given up.

    Raises:
        ValueError: a tolerance that is not positive.

    References:
        Dormand, Prince, J. Comp. Appl. Math. 6, 19 (1980), doi:10.1016/0771-050X(80)90013-3.
        Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv:1806.07366, for the adjoint.
    """

    def __init__(self, rtol: float = 1e-5, atol: float = 1e-5, max_steps: int = 10_000) -> None:
        if not (rtol > 0 and atol > 0 and max_steps > 0):
            raise ValueError(f"DormandPrince needs rtol, atol, max_steps > 0, got {rtol=}, {atol=}, {max_steps=}.")
        self.rtol, self.atol, self.max_steps = rtol, atol, max_steps

    def integrate(self, rate: Rate, state: OdeState, start: float, end: float, module: nn.Module) -> OdeState:
        from torchdiffeq import odeint, odeint_adjoint

        times = torch.tensor([start, end], dtype=state[0].dtype, device=state[0].device)
        options = {"max_num_steps": self.max_steps}
        try:
            if torch.is_grad_enabled():
                right_side = _RightSide(rate, module)
                path = odeint_adjoint(
                    right_side, state, times, rtol=self.rtol, atol=self.atol, method="dopri5", options=options,
                    adjoint_params=tuple(module.parameters()), adjoint_options=options,
                )  # fmt: skip
            else:
                path = odeint(rate, state, times, rtol=self.rtol, atol=self.atol, method="dopri5", options=options)
        except AssertionError as error:  # how torchdiffeq says it
            raise FloatingPointError(
                f"the ODE could not be solved to rtol={self.rtol:g}, atol={self.atol:g} ({error}): the field is too stiff; "
                "loosen the tolerances, use a solver of fixed steps (RungeKutta4), or train with gradient clipping."
            ) from error
        return tuple(y[-1] for y in path)


class _RightSide(nn.Module):
    """Wraps the rate as the module that the adjoint asks for."""

    def __init__(self, rate: Rate, module: nn.Module) -> None:
        super().__init__()
        self.rate, self.module = rate, module

    def forward(self, t: Tensor, state: OdeState) -> OdeState:
        return self.rate(t, state)
