"""Starts of chains, taken from the proposals of a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.activity import doing
from lit_bg.estimators.resampling import choose_distinct
from lit_bg.rng import stream
from lit_bg.samplers.base import Proposer

PER_WALKER = 4  # proposals, of which one is taken
PER_WALKER_IN_MODES = 20  # so that those which are seldom proposed have walkers, too
FEWEST_IN_MODES = 1000


def start_from_proposals(proposer: Proposer, walkers: int, seed: int) -> Tensor:
    """Return starts, (walkers, *event_shape): different proposals, chosen by their weights from every mode in turn.

    Modes have equal numbers of walkers, whatever their probability, so that agreement between walkers says something; for the
    same reason no two walkers start from one proposal while there are enough (`choose_distinct`). A mode that no proposal lies
    in has none; without modes, or where none is proposed, starts are chosen among all.

    Args:
        proposer: generator and system.
        walkers: how many.
        seed: of the draws.

    Raises:
        ValueError: no proposal has a finite energy.
    """
    modes = proposer.energy.modes
    n = PER_WALKER * walkers if modes is None else max(FEWEST_IN_MODES, PER_WALKER_IN_MODES * walkers)
    with doing(f"drawing {n} proposals to start from, each with its log q"):
        drawn = proposer.draw(n, seed, "starts")
    finite = drawn.finite
    if not finite.any():
        raise ValueError(f"none of {len(finite)} proposals has a finite energy, so no walker can start: train the generator.")
    x, log_w = drawn.x[finite], drawn.log_w[finite].double()
    label = torch.zeros(len(x), dtype=torch.long, device=x.device) if modes is None else modes.label(x)
    found = [k for k in label.unique().tolist() if k >= 0] or [None]
    rng = stream(seed, "starts/choice", device=x.device)
    chosen = []
    for i, k in enumerate(found):
        share = walkers // len(found) + (i < walkers % len(found))
        if share:
            own = torch.arange(len(x), device=x.device) if k is None else torch.nonzero(label == k).flatten()
            chosen.append(own[choose_distinct(log_w[own], share, rng)])
    order = torch.randperm(walkers, generator=rng, device=x.device)
    return x[torch.cat(chosen)[order]]
