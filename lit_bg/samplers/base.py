"""Contract of samplers: from the proposals of a generator to the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.rng import stream
from lit_bg.samples import Chains, Populations, Samples, with_energies
from lit_bg.simulators.base import Numbers, ReportProgress
from lit_bg.simulators.recorder import Recorder

BATCH = 10_000  # proposals drawn at a time


class Proposer(NamedTuple):
    """Joins a generator and the system that its proposals are for, under fixed conditions."""

    generator: Generator
    energy: Energy  # under the conditions, so that it has none itself
    context: Float[Tensor, "C"] | None = None  # of the generator

    def draw(self, n: int, seed: int, purpose: str, step: int = 0) -> Samples:
        """Draw proposals, in batches; the same address gives the same proposals."""
        device = next((p.device for p in self.generator.parameters()), self.energy.device)
        parts = []
        with torch.no_grad():
            for i, start in enumerate(range(0, n, BATCH)):
                rng = stream(seed, f"{purpose}/{i}", step=step, device=device)
                drawn = self.generator.sample(min(BATCH, n - start), rng, self.context)
                parts.append(with_energies(self.energy, *drawn))
        return Samples.cat(parts)

    def log_prob(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return log q, (B,) [nats], in the precision of the generator."""
        dtype = next((p.dtype for p in self.generator.parameters()), x.dtype)
        return self.generator.log_prob(x.to(dtype), self.context)


@dataclass
class Result:
    """Holds what a sampler has found.

    Attributes:
        samples: independent weighted draws, chains or populations.
        info: acceptance, levels and the like.
        problems: what the sampler itself says against its samples, in sentences; those that `is_doubt` only keep them from
            being trusted.
        of_paths: whether log q of the samples is that of paths, and no generator's.
    """

    samples: Samples | Chains | Populations
    info: Numbers = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    of_paths: bool = False


class Sampler(ABC):
    """Turns proposals into samples of the target; named on the command line of `python -m lit_bg.sample`, or in a YAML."""

    @property
    def uses_density(self) -> bool:
        """Return whether samples are right only as far as log q of the generator is."""
        return True

    def check(self, proposer: Proposer) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Raises:
            ValueError: generator, energy and sampler do not fit, with the way out.
        """

    @abstractmethod
    def run(self, proposer: Proposer, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Result:
        """Sample the target; the same seed gives the same samples.

        Args:
            proposer: generator and system.
            seed: of every random number.
            progress: is told how far it is.
            recorder: where the state goes now and then, so that an interrupted sampler goes on bit for bit; None: nowhere.

        Raises:
            ValueError: what `check` says, or sampling that went wrong, with the way out.
            Interrupted: it was interrupted, and the recorder keeps what is needed to go on.
        """

    def __repr__(self) -> str:
        own = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({own})"
