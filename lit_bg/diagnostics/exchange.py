"""Mixing of replicas through the states of replica exchange."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class ReplicaMixing(NamedTuple):
    """Says how replicas pass through states."""

    transitions: Tensor  # (K, K) probability to be in state j one record after state i; rows add up to one
    relaxation: float  # records in which the memory of the state decays by e, as fast as it could be by these probabilities
    round_trips: int  # of all replicas, from the first state to the last and back
    visited: Tensor  # (K,) states that each replica has seen


def mixing(state: Int[Tensor, "T K"]) -> ReplicaMixing:
    r"""Measure how replicas mix, from the state of every replica at every record.

    The relaxation time is $1 / (1 - \lambda_2)$ with the second eigenvalue of the transition matrix, made symmetric: in
    equilibrium a step is as likely as its reverse.

    Args:
        state: (T, K) long, a permutation of the states in every row.

    Raises:
        ValueError: one record, which shows no step.

    References:
        Chodera, Shirts, J. Chem. Phys. 135, 194110 (2011), doi:10.1063/1.3660669.

    >>> mixing(torch.tensor([[0, 1], [1, 0], [0, 1]])).round_trips
    1
    """
    if len(state) < 2:
        raise ValueError(f"{len(state)} record of replica exchange shows no step: at least 2 are needed.")
    states = state.shape[1]
    steps = torch.bincount((state[:-1] * states + state[1:]).flatten(), minlength=states**2).reshape(states, states).double()
    transitions = steps / steps.sum(1, keepdim=True)
    values = torch.linalg.eigvalsh(0.5 * (transitions + transitions.T))
    second = values[-2].item() if states > 1 else 0.0
    trips = 0
    for k in range(states):
        ends = state[:, k][(state[:, k] == 0) | (state[:, k] == states - 1)]
        turns = ends[torch.cat([torch.tensor([True]), ends[1:] != ends[:-1]])] if len(ends) else ends
        trips += max(int((turns == 0).sum()) - 1, 0)
    visited = torch.tensor([len(state[:, k].unique()) for k in range(states)])
    return ReplicaMixing(transitions, 1 / (1 - second) if second < 1 else torch.inf, trips, visited)
