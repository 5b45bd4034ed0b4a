"""Multistate estimates: what samples of several states say together of any one of them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lit_bg.estimators.student import student_factors

FEWEST_GROUPS = 16  # of a jackknife over stretches of time
FEWEST_LADDERS = 4  # from which ladders as a whole are the groups: they alone are independent
MOST_SAMPLES = 100_000  # more are thinned evenly: frames close in time say the same
ROUNDS = 20  # of the self-consistent equation, from a start however bad
STEPS = 200
CONVERGED = 1e-12  # of the number of samples: what a state may have too many or too few
FEWEST_SHARED = 1e-3  # samples that tie two groups of states together


def mbar(u: Float[Tensor, "K N"], counts: Shaped[Tensor, "K"], start: Float[Tensor, "K"] | None = None) -> Float[Tensor, "K"]:
    r"""Return the free energies of K states from samples of all of them, the multistate Bennett acceptance ratio.

    $f_k = -\ln Z_k$ with $f_1 = 0$ solves $f_k = -\ln \sum_n e^{-u_k(x_n)} / \sum_j N_j e^{f_j - u_j(x_n)}$. For the states
    with samples that is the minimum of the convex $\sum_n \ln \sum_k N_k e^{f_k - u_k(x_n)} - \sum_k N_k f_k$. From a start by
    a few rounds of the equation itself it is found by Newton's method, where a step that does not lower the function is
    damped (Levenberg and Marquardt) until it does. States without samples follow from the others.

    Args:
        u: reduced energies of all samples in all states, (K, N); which state a sample came from does not matter. +inf where
            a state has no density, which none of its own samples can have.
        counts: samples from every state, (K,), their sum is N; 0 for states that were not sampled.
        start: a guess of f, (K,).

    Returns:
        f, (K,) float64.

    Raises:
        ValueError: shapes or counts that do not fit, energies that are NaN or -inf, a sample that no sampled state has or a
            state that has no sample, or states without any overlap.

    References:
        Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008), doi:10.1063/1.2978177.
    """
    u, counts = u.double(), counts.double()
    if u.ndim != 2 or counts.shape != u.shape[:1] or counts.sum() != u.shape[1] or not (counts >= 0).all() or len(u.T) == 0:
        raise ValueError(
            f"MBAR needs energies (K, N) and K counts that add up to N, got {tuple(u.shape)} and {counts.tolist()}."
        )
    sampled = counts > 0
    if not (u > -torch.inf).all():
        raise ValueError(f"{int((~(u > -torch.inf)).sum())} of {u.numel()} reduced energies are not finite: NaN or -inf.")
    if torch.isposinf(u).all(1).any() or torch.isposinf(u[sampled]).all(0).any():
        raise ValueError(
            "reduced energies are not finite where they must be: every state needs a sample of finite energy, and every sample "
            "a finite energy in a state that was sampled."
        )
    offset = u.min(1).values  # large constants of a state cost digits
    own, n = u[sampled] - offset[sampled, None], counts[sampled]
    guess = torch.zeros_like(n) if start is None else start.double()[sampled] - offset[sampled]
    f = _solve(own, n, guess - guess[0])
    log_norm = torch.logsumexp((n.log() + f)[:, None] - own, 0)  # of the mixture, at every sample
    every = -torch.logsumexp(offset[:, None] - u - log_norm, 1) + offset
    return every - every[0]


def _solve(u: Tensor, counts: Tensor, f: Tensor) -> Tensor:
    """Solve for f of states that all have samples, the first zero."""
    log_n, total = counts.log(), counts.sum()

    def evaluated(f: Tensor) -> tuple[Tensor, Tensor]:
        """Return the function and, for every sample, the probability that it is of state k, (K, N)."""
        logits = (log_n + f)[:, None] - u
        log_sum = torch.logsumexp(logits, 0)
        return log_sum.sum() - counts @ f, (logits - log_sum).exp_()

    for _ in range(ROUNDS):
        f = -torch.logsumexp(-u - torch.logsumexp((log_n + f)[:, None] - u, 0), 1)
        f = f - f[0]
    now, p = evaluated(f)
    damping = 1e-3
    for _ in range(STEPS):
        gradient = (p.sum(1) - counts)[1:]
        if (gradient.abs() < CONVERGED * total).all():
            break
        hessian = (torch.diag(p.sum(1)) - p @ p.T)[1:, 1:]
        scale = torch.diag(hessian).clamp_min(1e-12 * total)
        while damping < 1e12:
            step = torch.linalg.solve(hessian + damping * torch.diag(scale), gradient)
            trial = torch.cat([f[:1], f[1:] - step])
            value, q = evaluated(trial)
            if value <= now + 1e-13 * now.abs():
                f, now, p, damping = trial, value, q, damping / 10
                break
            damping *= 4
        else:
            break  # no step lowers the function: it is as low as its digits allow
    _refuse_apart(p, counts)
    return f


def _refuse_apart(p: Tensor, counts: Tensor) -> None:
    """Refuse states that fall into groups which share no sample: any difference between them would solve the equations.

    Raises:
        ValueError: the states of one such group.
    """
    shared = p @ p.T / counts.sqrt()[:, None] / counts.sqrt()
    joined = shared > FEWEST_SHARED / counts.min()
    reached = torch.zeros(len(counts), dtype=torch.bool, device=counts.device)
    reached[0] = True
    for _ in range(len(counts)):
        reached = reached | joined[reached].any(0)
    if not reached.all():
        apart = torch.nonzero(~reached).flatten().tolist()
        raise ValueError(
            f"MBAR has no answer: the samples of states {apart} and of the others say nothing of each other, they do not "
            "overlap."
        )


def mbar_covariance(u: Float[Tensor, "K N"], counts: Shaped[Tensor, "K"], f: Float[Tensor, "K"]) -> Float[Tensor, "K K"]:
    r"""Return the asymptotic covariance of f relative to the first state, (K, K), for independent samples.

    With $W_{nk} = e^{f_k - u_k(x_n)} / \sum_j N_j e^{f_j - u_j(x_n)}$ it is $\Theta = W^T (1 - W N W^T)^+ W$, by the singular
    values of W; the covariance of differences is $\Theta_{ij} - \Theta_{i1} - \Theta_{1j} + \Theta_{11}$.

    Args:
        u, counts: as for `mbar`.
        f: from `mbar`.

    References:
        Shirts, Chodera, as for `mbar`, Eq. 8 and appendix D.
    """
    u, counts, f = u.double(), counts.double(), f.double()
    used = counts > 0
    log_norm = torch.logsumexp((counts[used].log() + f[used])[:, None] - u[used], 0)
    w = (f[:, None] - u - log_norm).exp()  # (K, N)
    values, vectors = torch.linalg.eigh(w @ w.T)
    root = values.clamp_min(0).sqrt()
    v = vectors * root  # W = U S V^T, W^T W = V S^2 V^T
    inner = torch.eye(len(f), dtype=torch.float64, device=f.device) - v.T @ torch.diag(counts) @ v
    theta = v @ torch.linalg.pinv(inner, rtol=1e-10, hermitian=True) @ v.T
    return theta - theta[:1] - theta[:, :1] + theta[0, 0]


def mbar_log_weights(
    u: Float[Tensor, "K N"], target: Float[Tensor, "N"], counts: Shaped[Tensor, "K"], f: Float[Tensor, "K"]
) -> Float[Tensor, "N"]:
    r"""Return $\ln w_n = -u(x_n) - \ln \sum_k N_k e^{f_k - u_k(x_n)}$, (N,), which weigh all samples to the target.

    Args:
        u: (K, N) as for `mbar`.
        target: reduced energies in the state asked for, (N,).
        counts: (K,).
        f: from `mbar`.
    """
    used = counts > 0
    return -target.double() - torch.logsumexp(counts[used].double().log()[:, None] + f[used, None] - u[used].double(), 0)


def mbar_events(
    u: Float[Tensor, "K N"],
    target: Float[Tensor, "N"],
    inside: Bool[Tensor, "M N"],
    counts: Shaped[Tensor, "K"],
    f: Float[Tensor, "K"],
) -> tuple[Float[Tensor, "M"], Float[Tensor, "M M"]]:
    r"""Return free energies of events in one state, $-\ln \int_A e^{-u}$, with their covariance, from samples of all states.

    An event is a state without samples, of the same energy inside and none outside, so that the error is that of
    `mbar_covariance` and has in it what is not known of f. Errors that take the weights of `mbar_log_weights` as given do not,
    and are too small where an event's samples come from another state than those of the next.

    Args:
        u: (K, N) as for `mbar`.
        target: reduced energies in the state asked for, (N,).
        inside: which samples are in each event, (M, N) bool.
        counts: (K,).
        f: from `mbar`.

    Returns:
        free energies (M,), from the same zero as f, and the covariance (M, M) of their differences from the first state of u;
        infinite and NaN for an event without a sample.

    References:
        Shirts, Chodera, as for `mbar`.

    >>> u = torch.zeros(1, 4)
    >>> found, c = mbar_events(u, u[0], torch.tensor([[1, 0, 0, 0], [0, 1, 1, 1]]) > 0, torch.tensor([4]), torch.zeros(1))
    >>> round((found[0] - found[1]).exp().item(), 6), round((c[0, 0] + c[1, 1] - 2 * c[0, 1]).item(), 6)  # 3/1, 1/1 + 1/3
    (3.0, 1.333333)
    """
    own = torch.where(inside, target.double(), torch.inf)
    log_norm = torch.logsumexp(counts.double().log()[:, None] + f.double()[:, None] - u.double(), 0)
    found = -torch.logsumexp(-own - log_norm, 1)
    seen = torch.isfinite(found)
    every, states = torch.cat([u.double(), own[seen]]), len(u)
    numbers = torch.cat([counts, counts.new_zeros(int(seen.sum()))])
    covariance = torch.full((len(own), len(own)), torch.nan, dtype=torch.float64, device=u.device)
    among = mbar_covariance(every, numbers, torch.cat([f.double(), found[seen]]))[states:, states:]
    covariance[seen.nonzero(), seen.nonzero().T] = among
    return found, covariance


def ladder_populations(
    u: Float[Tensor, "K T W K"], label: Int[Tensor, "T W K"], states: int
) -> tuple[Float[Tensor, "M"], Float[Tensor, "M M"]]:
    r"""Return populations of modes in the first of several states from the samples of all of them, with their covariance.

    A rare mode is less rare in another state, where it is warm, say: the samples there say how often it is visited, and the
    energies how that changes from state to state. Their covariance is that of a jackknife that leaves out one ladder at a time
    (of fewer than four ladders, one stretch of time of one ladder), so correlation in time and between states is in it. It is
    widened by Student's factor for so many groups, the geometric mean of those at one and, halved, at two standard errors: how
    often the errors cover the truth is measured in docs/verdict.md.

    Args:
        u: reduced energies in all states of the frames of all replicas, (K, T, W, K): states, frames, ladders, replicas, of
            which replica k was simulated in state k [kT].
        label: mode of every frame, (T, W, K), integers below `states`.
        states: how many modes there are.

    Returns:
        populations (states,) and their covariance (states, states), float64.

    Raises:
        ValueError: shapes that do not fit, too few frames for an error, or states that do not overlap.

    References:
        Shirts, Chodera, as for `mbar`.
    """
    if u.ndim != 4 or u.shape[1:] != label.shape or u.shape[0] != u.shape[3]:
        raise ValueError(f"energies (K, T, W, K) and labels (T, W, K) are needed, got {tuple(u.shape)}, {tuple(label.shape)}.")
    rungs, frames, ladders, _ = u.shape
    blocks = 1 if ladders >= FEWEST_LADDERS else -(-FEWEST_GROUPS // ladders)
    if blocks > frames:
        raise ValueError(f"{frames} frames of {ladders} ladders are too few for an error bar.")
    every = max(1, frames * ladders * rungs // MOST_SAMPLES)
    u, label = u[:, ::every].double(), label[::every].long()
    time, ladder, rung = (torch.arange(n, device=u.device) for n in label.shape)
    group = time[:, None] * blocks // len(label) * ladders + ladder  # (T, W)
    group = group[..., None].expand_as(label).flatten()
    rung = rung.expand_as(label).flatten()
    u = u - u[..., 0].mean((1, 2))[:, None, None, None]  # large constants of a state cost digits
    guess = _integrate(u)
    u, label = u.flatten(1), label.flatten()

    def populations(keep: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        own, counts = u[:, keep], torch.bincount(rung[keep], minlength=rungs)
        f = mbar(own, counts, f)
        w = mbar_log_weights(own, own[0], counts, f).softmax(0)
        return torch.zeros(states, dtype=torch.float64, device=u.device).index_add_(0, label[keep], w), f

    p, f = populations(torch.ones_like(group, dtype=torch.bool), guess)
    groups = int(group.max()) + 1
    left = torch.stack([populations(group != g, f)[0] for g in range(groups)])
    left -= left.mean(0)
    one, two = student_factors(torch.tensor(groups - 1))
    return p, (one * two).item() * (groups - 1) / groups * left.T @ left


def _integrate(u: Tensor) -> Tensor:
    r"""Return first free energies of states, (K,), by the trapezoid of thermodynamic integration between neighbours.

    $f_{k+1} - f_k \approx \frac12 \langle u_{k+1} - u_k \rangle_k + \frac12 \langle u_{k+1} - u_k \rangle_{k+1}$, from
    u (K, T, W, K).
    """
    difference = u.mean((1, 2)).diff(dim=0)  # (K - 1, K): of neighbouring states, in the frames of every replica
    mean = (difference.diagonal() + difference.diagonal(offset=1)) / 2
    return torch.cat([mean.new_zeros(1), mean.cumsum(0)])
