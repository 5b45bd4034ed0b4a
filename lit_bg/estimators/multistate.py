"""What samples of several states say together of any one of them."""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST_GROUPS = 16  # of a jackknife
MOST_SAMPLES = 100_000  # more are thinned evenly: frames close in time say the same
STEPS = 100
FEWEST_SHARED = 1e-3  # samples that tie two groups of states together


def mbar(u: Tensor, counts: Tensor, start: Tensor | None = None) -> Tensor:
    r"""Free energies of K states from samples of all of them, the multistate Bennett acceptance ratio.

    $f_k = -\ln Z_k$ with $f_1 = 0$ solves $f_k = -\ln \sum_n e^{-u_k(x_n)} / \sum_j N_j e^{f_j - u_j(x_n)}$. That is the
    minimum of the convex $\sum_n \ln \sum_k N_k e^{f_k - u_k(x_n)} - \sum_k N_k f_k$, found by Newton's method with a
    step that is halved until the function falls.

    Args:
        u: reduced energies of all samples in all states, (K, N); which state a sample came from does not matter.
        counts: samples from every state, (K,), their sum is N.
        start: a guess of f, (K,).

    Returns:
        f, (K,) float64.

    Raises:
        ValueError: shapes or counts that do not fit, or states without any overlap.

    References:
        Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008), doi:10.1063/1.2978177.
    """
    u, counts = u.double(), counts.double()
    if u.ndim != 2 or counts.shape != u.shape[:1] or counts.sum() != u.shape[1] or not (counts > 0).all():
        raise ValueError(
            f"MBAR needs energies (K, N) and K positive counts that add up to N, got {tuple(u.shape)} and {counts.tolist()}."
        )
    if not torch.isfinite(u).all():
        raise ValueError(f"{int((~torch.isfinite(u)).sum())} of {u.numel()} reduced energies are not finite.")
    f = torch.zeros_like(counts) if start is None else start.double() - start[0]

    def evaluated(f: Tensor) -> tuple[Tensor, Tensor]:
        """The function and, for every sample, the probability that it is of state k, (K, N)."""
        logits = (counts.log() + f)[:, None] - u
        log_sum = torch.logsumexp(logits, 0)
        return log_sum.sum() - counts @ f, (logits - log_sum).exp_()

    now, p = evaluated(f)
    for _ in range(STEPS):
        gradient = p.sum(1) - counts
        hessian = torch.diag(p.sum(1)) - p @ p.T
        # The first free energy is the zero of all; a little ridge keeps a step finite where states do not overlap.
        step = torch.linalg.solve(hessian[1:, 1:] + 1e-10 * counts.sum() * torch.eye(len(f) - 1), gradient[1:])
        step = torch.cat([step.new_zeros(1), step])
        if gradient.abs().max() < 1e-8 * counts.sum():
            if torch.linalg.eigvalsh(hessian)[1] > FEWEST_SHARED:  # without overlap any f solves the equations
                return f
            break
        size = 1.0
        while (new := evaluated(f - size * step))[0] > now + 1e-12 * now.abs() and size > 1e-6:
            size /= 2
        f, (now, p) = f - size * step, new
    raise ValueError("MBAR has no answer: the samples of some states say nothing of the others, they do not overlap.")


def mbar_log_weights(u: Tensor, target: Tensor, counts: Tensor, f: Tensor) -> Tensor:
    r"""$\ln w_n = -u(x_n) - \ln \sum_k N_k e^{f_k - u_k(x_n)}$, (N,): weighted by them, all samples are of the target.

    Args:
        u: (K, N) as for `mbar`.
        target: reduced energies in the state asked for, (N,).
        counts: (K,).
        f: from `mbar`.
    """
    return -target.double() - torch.logsumexp(counts.double().log()[:, None] + f[:, None] - u.double(), 0)


def ladder_populations(u: Tensor, beta: Tensor, label: Tensor, states: int) -> tuple[Tensor, Tensor]:
    r"""Populations of modes at the first of several temperatures from the samples at all of them, with their covariance.

    A rare mode is less rare where it is warm: the warm rungs say how often it is visited, and the energies how that
    changes with temperature. Their covariance is that of a jackknife that leaves out one ladder at a time (with few ladders,
    one stretch of time of one ladder), so correlation in time and between temperatures is in it.

    Args:
        u: energies of the frames in units of kT of the first temperature, (T, W, R), frames, ladders, rungs.
        beta: inverse temperature of the rungs relative to the first, (R,).
        label: mode of every frame, (T, W, R), integers below `states`.
        states: how many modes there are.

    Returns:
        populations (states,) and their covariance (states, states), float64.

    Raises:
        ValueError: too few frames for an error, or rungs that do not overlap.

    References:
        Shirts, Chodera, as for `mbar`.
    """
    frames, ladders, rungs = u.shape
    blocks = -(-FEWEST_GROUPS // ladders)
    if blocks > frames:
        raise ValueError(f"{frames} frames of {ladders} ladders are too few for an error bar.")
    every = max(1, frames * ladders * rungs // MOST_SAMPLES)
    u, label, beta = u[::every].double(), label[::every].long(), beta.double()
    group = torch.arange(len(u))[:, None] * blocks // len(u) * ladders + torch.arange(ladders)  # (T, W)
    group = group[..., None].expand_as(u).flatten()
    rung = torch.arange(rungs).expand_as(u).flatten()
    mean = u.mean((0, 1))
    f = torch.cat([mean.new_zeros(1), (beta.diff() * (mean[1:] + mean[:-1]) / 2).cumsum(0)])  # thermodynamic integration
    u, label = u.flatten(), label.flatten()

    def populations(keep: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        e, counts = u[keep] - mean[0], torch.bincount(rung[keep], minlength=rungs)
        f = mbar(beta[:, None] * e, counts, f)
        w = mbar_log_weights(beta[:, None] * e, e, counts, f).softmax(0)
        return torch.zeros(states, dtype=torch.float64).index_add_(0, label[keep], w), f

    p, f = populations(torch.ones_like(group, dtype=torch.bool), f - beta * mean[0])
    groups = int(group.max()) + 1
    left = torch.stack([populations(group != g, f)[0] for g in range(groups)])
    left -= left.mean(0)
    return p, (groups - 1) / groups * left.T @ left
