"""Sequential Monte Carlo."""

from __future__ import annotations

from lit_bg.estimators.importance import effective_share
from lit_bg.kernels.base import Kernel
from lit_bg.samplers.annealing import FEWEST_PARTICLES, Annealing
from lit_bg.samplers.base import Proposer, Result
from lit_bg.samples import Populations
from lit_bg.simulators.base import Numbers, ReportProgress
from lit_bg.simulators.recorder import Recorder

COLLAPSED = 0.02  # effective share of a population at the end, below which its weights have collapsed
STUCK = 0.01  # acceptance, below which particles do not move


class SMC(Annealing):
    r"""Carries populations of weighted particles from proposals to target and resamples them on the way.

    At every level particles are weighed by $e^{u_s - u_{s'}}$ and moved by a kernel that leaves $e^{-u_{s'}}$ as it is; a
    population whose effective particles are fewer than half of it is resampled (systematic). The mean weight of a population is
    an unbiased estimate of Z. Particles of one population share ancestors, so error bars are those between the populations, 8
    of them at least.

    Args:
        kernel, moves, keep, through, pilot, tuning, last_moves: as for `Annealing`.
        particles: of a population.
        populations: fresh ones, after the pilot.

    Raises:
        ValueError: as for `Annealing`, or fewer than two populations.

    References:
        Del Moral, Doucet, Jasra, J. R. Stat. Soc. B 68, 411 (2006), doi:10.1111/j.1467-9868.2006.00553.x.
        Jarzynski, Phys. Rev. E 56, 5018 (1997), arXiv:cond-mat/9707325.
    """

    def __init__(
        self,
        kernel: Kernel,
        particles: int = 1000,
        populations: int = 8,
        moves: int = 5,
        keep: float = 0.9,
        through: float | None = None,
        pilot: int = 500,
        tuning: int = 25,
        last_moves: int | None = None,
    ) -> None:
        super().__init__(kernel, pilot, moves, keep, through, tuning, last_moves)
        if particles < FEWEST_PARTICLES:
            raise ValueError(f"SMC needs particles >= {FEWEST_PARTICLES}, got {particles}.")
        if populations < 2:
            raise ValueError(f"SMC takes its error bars from several populations, 8 or more; got populations={populations}.")
        self.particles, self.populations = particles, populations

    def run(self, proposer: Proposer, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Result:
        stage, path = self.anneal(proposer, (self.populations, self.particles), True, seed, progress, recorder)
        now = stage.now
        found = Populations(now.x, now.log_w, now.u.to(now.x.dtype), now.ancestor)
        info: Numbers = {
            "levels": len(stage.s),
            "acceptance": stage.acceptance,
            "resampled": stage.resampled / self.populations,
            "densities": path.meter.values,
        }
        problems = []
        worst = effective_share(now.log_w).min().item()
        if worst < COLLAPSED:
            problems.append(f"the weights of a population have collapsed: {worst:.2g} of its particles are effective.")
        if min(stage.acceptance) < STUCK:
            at = stage.s[stage.acceptance.index(min(stage.acceptance))]
            problems.append(
                f"moves are accepted in {100 * min(stage.acceptance):.2g} % at s = {at:.3g}: particles hardly move."
            )
        return Result(found, info, problems)
