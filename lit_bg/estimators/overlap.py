"""Overlap of thermodynamic states, which decides what their free-energy differences are worth."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

LEAST = 0.03  # entry next to the diagonal below which a difference is not to be trusted


def overlap_matrix(
    u: Float[Tensor, "K N"], counts: Shaped[Tensor, "K"], f: Float[Tensor, "K"], alike: bool = False
) -> Float[Tensor, "K K"]:
    r"""Return the overlap matrix of states, $O_{ij} = \sum_n N_j W_{ni} W_{nj}$, (K, K).

    With $W_{ni} = e^{f_i - u_i(x_n)} / \sum_k N_k e^{f_k - u_k(x_n)}$ it is the mean probability that a sample of state i
    would be taken for one of state j. Rows add up to one; states that are all alike have $O_{ij} = N_j / N$.

    Unequal counts hide how much states overlap: `alike` gives the matrix that as many samples of every sampled state would
    have, $\int p_i p_j / \sum_k p_k$, which is symmetric and 1/K between K states that are alike.

    Args:
        u: reduced energies of all samples in all states, (K, N); +inf where a state has no density.
        counts: samples from every state, (K,).
        f: from `mbar`, (K,).
        alike: whether to ask for equal counts.

    References:
        Klimovich, Shirts, Mobley, J. Comput. Aided Mol. Des. 29, 397 (2015), doi:10.1007/s10822-015-9840-9.

    >>> overlap_matrix(torch.zeros(2, 4), torch.tensor([1, 3]), torch.zeros(2)).tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """
    u, counts, f = u.double(), counts.double(), f.double()
    log_p = f[:, None] - u  # of states at every sample, up to a factor that they share
    sampled = counts > 0
    log_mixture = torch.logsumexp(counts[sampled].log()[:, None] + log_p[sampled], 0)
    if not alike:
        w = (log_p - log_mixture).exp()
        return (w @ w.T) * counts
    log_even = torch.logsumexp(log_p[sampled], 0)
    w = (log_p - 0.5 * (log_mixture + log_even)).exp() * sampled[:, None]
    return w @ w.T


def next_to_diagonal(overlap: Float[Tensor, "K K"]) -> tuple[float, int]:
    """Return the smallest entry next to the diagonal and the first of its two states, for states in an order.

    >>> next_to_diagonal(torch.tensor([[0.8, 0.2, 0.0], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]], dtype=torch.float64))
    (0.1, 1)
    """
    entries = torch.minimum(overlap.diagonal(offset=1), overlap.diagonal(offset=-1))
    at = int(entries.argmin())
    return entries[at].item(), at


def weakest_link(overlap: Float[Tensor, "K K"]) -> tuple[float, int, int]:
    """Return the smallest overlap along the best tree that joins all states, and the two states: for states in no order.

    >>> weakest_link(torch.tensor([[0.6, 0.0, 0.4], [0.0, 0.9, 0.1], [0.4, 0.1, 0.5]], dtype=torch.float64))
    (0.1, 1, 2)
    """
    both = torch.minimum(overlap, overlap.T)
    joined, weakest = [0], (torch.inf, 0, 0)
    while len(joined) < len(both):
        left = [j for j in range(len(both)) if j not in joined]
        entries = both[joined][:, left]
        i, j = divmod(int(entries.argmax()), len(left))
        a, b = sorted((joined[i], left[j]))
        weakest = min(weakest, (entries[i, j].item(), a, b))
        joined.append(left[j])
    return weakest


def least_overlap(states: int) -> float:
    """Return the overlap that neighbours among so many states need, 0.03, or half of that of states all alike if it is less.

    >>> least_overlap(2), least_overlap(50)
    (0.03, 0.01)
    """
    return min(LEAST, 0.5 / states)
