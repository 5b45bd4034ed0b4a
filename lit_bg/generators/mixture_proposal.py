"""Several generators of one system as one proposal: the balance heuristic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.energies.condition import check_context
from lit_bg.estimators.resampling import resample
from lit_bg.generators.base import Generator


class MixtureProposal(Generator):
    r"""Proposes from several generators with $q(x) = \sum_k s_k\, q_k(x)$, every $q_k$ evaluated at every sample.

    Of n samples $n_k$ come from generator k: $n s_k$ rounded down or up, at random so that it is $n s_k$ on average. The weight
    $e^{-u} / \sum_k s_k q_k$ is that of the balance heuristic: no larger than $1 / s_k$ times the one that $q_k$ alone would
    give, so a generator that is good somewhere is enough there, and a bad one costs its share of the samples and no more.
    Generators may be those of several modes, of several runs, one that covers a rare state and one that does not (a defensive
    mixture), or one conditional generator at several temperatures.

    Counts are fixed where independent draws would have chosen a generator anew for each sample, which can only lower the
    variance: error bars of independent samples are on the safe side. Samples are in random order, so every part of a batch is
    of all generators. A sample costs one draw and the density of every generator.

    Trained generators are joined by `MixtureProposal.of`, which leaves them as they are; the constructor and `build` are for
    generators that are trained together, as one.

    Args:
        generators: not built yet, each with a `log_prob`.
        shares: of the samples, positive, of any sum; None: equal ones.

    Raises:
        ValueError: no generator, one without `log_prob`, or not one positive share for each.

    References:
        Veach, Guibas, SIGGRAPH 95, 419 (1995), doi:10.1145/218380.218498, balance heuristic.
        Hesterberg, Technometrics 37, 185 (1995), doi:10.1080/00401706.1995.10484303, defensive mixtures.
        Owen, Zhou, J. Am. Stat. Assoc. 95, 135 (2000), doi:10.1080/01621459.2000.10473909.

    >>> from lit_bg.energies import DoubleWell
    >>> from lit_bg.generators import CouplingFlow
    >>> flows = [CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell()) for _ in range(2)]
    >>> mixture = MixtureProposal.of(flows, shares=[3, 1])
    >>> x, log_q = mixture.sample(8, torch.Generator().manual_seed(0))
    >>> torch.allclose(mixture.log_prob(x), log_q, atol=1e-5)
    True
    """

    def __init__(self, generators: list[Generator], shares: list[float] | None = None) -> None:
        super().__init__()
        shares = [1.0] * len(generators) if shares is None else list(shares)
        if not generators or len(generators) != len(shares):
            raise ValueError(
                f"MixtureProposal needs one share for each of its generators, got {len(generators)} generators and "
                f"{len(shares)} shares."
            )
        if not all(s > 0 and math.isfinite(s) for s in shares):
            raise ValueError(f"shares of a MixtureProposal must be positive, got {shares}: leave out what has none.")
        for generator in generators:
            if not generator.has_log_prob:
                raise ValueError(
                    f"MixtureProposal evaluates every density at every sample, and {type(generator).__name__} has no log_prob: "
                    "leave it out."
                )
        self.members = nn.ModuleList(generators)
        self.contexts: list[Tensor | None] = [None] * len(generators)
        self.shares = [s / sum(shares) for s in shares]
        self.log_share: Tensor
        self.register_buffer("log_share", torch.tensor(self.shares, dtype=torch.float64).log(), persistent=False)
        self.finished = False

    @classmethod
    def of(
        cls,
        generators: Sequence[Generator],
        shares: Sequence[float] | None = None,
        contexts: Sequence[Tensor | None] | None = None,
    ) -> Self:
        """Join generators that are built and trained.

        Args:
            generators: for one system, each with a `log_prob`. One may come several times, under several conditions.
            shares: as of the class.
            contexts: for each generator the conditions that it always proposes under, (C,); None for one without conditions,
                or for one that follows those that the mixture is asked for.

        Raises:
            ValueError: as of the class; shapes or conditions that differ, or not one entry of `contexts` for each.
        """
        mixture = cls(list(generators), None if shares is None else list(shares))
        if contexts is not None:
            if len(contexts) != len(generators):
                raise ValueError(f"{len(generators)} generators need as many conditions or None, got {len(contexts)}.")
            mixture.contexts = list(contexts)
        mixture._agree()
        mixture.finished = True
        return mixture

    @property
    def generators(self) -> list[Generator]:
        """Return the generators that propose, in the order of their shares."""
        return [member for member in self.members if isinstance(member, Generator)]

    def build(self, energy: Energy) -> Self:
        if self.finished:
            raise RuntimeError("MixtureProposal.of joins generators that are trained: building them again would undo that.")
        for generator in self.generators:
            generator.build(energy)
        self._agree()
        return self

    def _agree(self) -> None:
        """Take shape and conditions from the generators, which must agree."""
        shapes = {shape for g in self.generators if (shape := getattr(g, "event_shape", None)) is not None}
        if len(shapes) > 1:
            raise ValueError(f"the generators of MixtureProposal propose configurations of different shapes, {sorted(shapes)}.")
        if shapes:
            self.event_shape = shapes.pop()
        following = [g.conditions for g, c in zip(self.generators, self.contexts, strict=True) if c is None and g.conditions]
        if len(set(following)) > 1:
            raise ValueError(
                f"the generators of MixtureProposal follow different conditions, {following}: give each its own by `contexts`."
            )
        self.conditions = following[0] if following else ()

    def adapt(self, x: Tensor) -> None:
        for generator in self.generators:
            generator.adapt(x)

    def sample(self, n: int, rng: torch.Generator, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(context)
        log_share = torch.tensor(self.shares, dtype=torch.float64).log()  # where counts are needed
        counts = torch.bincount(resample(log_share, n, rng), minlength=len(self.shares)).tolist()
        order = torch.randperm(n, generator=rng, device=rng.device)
        rows = order.split(counts)  # of each generator
        drawn = []
        for k, (generator, own) in enumerate(zip(self.generators, rows, strict=True)):
            # A count that was rounded down wants one sample less than is drawn: code is compiled for each number of samples.
            size = max(math.ceil(n * self.shares[k] - 1e-9), len(own))
            asked = torch.cat([own, order[: size - len(own)]])
            x, log_q = generator.sample(size, rng, self._given(k, context, asked))
            drawn.append((x[: len(own)], log_q[: len(own)]))
        x = torch.cat([part for part, _ in drawn])[order.argsort()]
        columns = []
        for k, (generator, own) in enumerate(zip(self.generators, rows, strict=True)):
            log_q = generator.log_prob(x, self._given(k, context))
            columns.append(log_q.index_copy(0, own, drawn[k][1].to(log_q)))  # of its own as it came with them
        return x, self._mix(columns)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(context)
        return self._mix([g.log_prob(x, self._given(k, context)) for k, g in enumerate(self.generators)])

    @property
    def exact_density(self) -> bool:
        return all(g.exact_density for g in self.generators)

    @property
    def evaluations(self) -> int | None:  # type: ignore[override]
        """Return the evaluations of all vector fields per sample in the last pass; None without any."""
        counts = [g.evaluations for g in self.generators if g.evaluations is not None]
        return sum(counts) if counts else None

    def _mix(self, columns: list[Tensor]) -> Tensor:
        return torch.logsumexp(torch.stack(columns, -1) + self.log_share.to(columns[0]), -1)

    def _given(self, k: int, context: Tensor | None, rows: Tensor | None = None) -> Tensor | None:
        """Return the conditions of generator k, for rows of the samples."""
        own = self.contexts[k]
        if own is not None or not self.generators[k].conditions:
            return own
        return context[rows] if context is not None and context.ndim == 2 and rows is not None else context

    def _check(self, context: Tensor | None) -> None:
        """Refuse conditions where no generator follows any."""
        if not self.conditions:
            check_context((), context, type(self).__name__)
