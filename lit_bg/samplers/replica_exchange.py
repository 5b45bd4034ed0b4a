"""Replica exchange between temperatures, all ladders in one batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import Molecule
from lit_bg.rng import stream
from lit_bg.samplers.base import Info, Ladder, Trajectory
from lit_bg.samplers.chain import LONGEST_BLOCK, State
from lit_bg.samplers.dynamics import in_kelvin, to_kT
from lit_bg.samplers.ladder import equal_acceptance, with_rungs_at
from lit_bg.samplers.langevin import Langevin
from lit_bg.samplers.motion import centred
from lit_bg.samplers.recorder import Recorder
from lit_bg.samplers.torsion_moves import torsion_move

FEWEST_EXCHANGES = 0.05  # a pair of neighbours that exchanges less often parts the ladder in two


class ReplicaExchange(Langevin):
    r"""Replica exchange: `walkers` ladders of R temperatures, Langevin dynamics, and swaps between neighbours.

    A swap of the temperatures of two replicas i and j of a ladder is accepted with probability $\min(1, e^{(\beta_i -
    \beta_j)(U_i - U_j)})$, velocities are scaled by $\sqrt{T_{new} / T_{old}}$; even and odd pairs of neighbours take
    turns, which carries replicas up and down faster than pairs chosen at random. High temperatures cross barriers and
    swaps bring down what they find, so slow modes have their equilibrium populations as soon as replicas have made round
    trips. Before every swap, some bonds of a molecule are turned by Monte Carlo (`torsion_move`), which crosses barriers of
    torsions at every temperature.

    All ladders and temperatures are one batch of R x `walkers` replicas. The frames at the temperature of the energy are
    one time series for every ladder: ladders never meet, so R-hat between them is honest. Populations of modes in the data
    card use the replicas at all temperatures (`estimators.ladder_populations`), which is far better for rare ones. A
    ladder of which two neighbours hardly exchange, or in which no replica went from the lowest temperature to the highest
    and back, is called "not converged" in the data card.

    Temperatures are in kelvin for energies in kJ/mol, kT for model energies. The lowest is that of the energy.

    Args:
        frames: saved per ladder and temperature.
        walkers: independent ladders.
        interval: time between frames [ps], for model energies in their unit of time; so are all times.
        time_step: [ps]; the same at all temperatures, so the hottest one limits it.
        friction: gamma [1/ps].
        burn_in: time before the first frame [ps].
        hydrogen_mass: mass of every hydrogen of a molecule [amu], taken from the atom it is bonded to. None: as they are.
        start: "modes", "initial", the name of one mode, or "torsions", as for `Langevin`.
        max_temperature: the highest rung. Between it and the lowest, rungs are placed for equal acceptance.
        rungs: how many temperatures; null: as few as give acceptance 0.35.
        pilot: time of a short simulation [ps] in which the mean energy at every temperature is measured, to place the rungs;
            0 takes it to be that of harmonic motion, which gives a geometric ladder.
        temperatures: all rungs, instead of `max_temperature`, `rungs` and `pilot`.
        exchange_interval: time between swaps [ps]; often is best.
        torsion_moves: of every replica before each swap: one bond of the molecule turned by any angle, see `torsion_move`;
            no effect where no bond can be turned.
        also: temperatures whose frames are wanted too; rungs are put there, and files <name>_600K.npz hold them.

    Raises:
        ValueError: a number out of range; from `check`, temperatures that do not fit the energy's; from `run`, walkers that
            blow up.

    References:
        Sugita, Okamoto, Chem. Phys. Lett. 314, 141 (1999), doi:10.1016/S0009-2614(99)01123-9.
        Okabe, Kawata, Okamoto, Mikami, Chem. Phys. Lett. 335, 435 (2001), doi:10.1016/S0009-2614(01)00055-0.
        Lingenheil, Denschlag, Mathias, Tavan, Chem. Phys. Lett. 478, 80 (2009), doi:10.1016/j.cplett.2009.07.039, for
        even and odd pairs taking turns.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 32,
        interval: float = 0.1,
        time_step: float = 0.001,
        friction: float = 1.0,
        burn_in: float = 10.0,
        hydrogen_mass: float | None = None,
        start: str = "modes",
        max_temperature: float | None = None,
        rungs: int | None = None,
        pilot: float = 10.0,
        temperatures: list[float] | None = None,
        exchange_interval: float = 0.1,
        torsion_moves: int = 4,
        also: list[float] | None = None,
    ) -> None:
        super().__init__(frames, walkers, interval, time_step, friction, burn_in, hydrogen_mass, start)
        if (max_temperature is None) == (temperatures is None):
            raise ValueError("ReplicaExchange needs either max_temperature or the list of all temperatures, and not both.")
        if rungs is not None and (rungs < 2 or temperatures is not None):
            raise ValueError(f"rungs = {rungs} must be at least 2, and left out where all temperatures are given.")
        if pilot != 0:
            self.steps_in(pilot, "pilot")
        if temperatures is not None and (len(temperatures) < 2 or sorted(set(temperatures)) != list(temperatures)):
            raise ValueError(f"temperatures must be two or more, ascending, got {temperatures}.")
        self.steps_in(exchange_interval, "exchange_interval")
        if torsion_moves < 0:
            raise ValueError(f"torsion_moves = {torsion_moves} must not be negative.")
        self.max_temperature, self.rungs, self.pilot, self.temperatures = max_temperature, rungs, pilot, temperatures
        self.exchange_interval, self.torsion_moves, self.also = exchange_interval, torsion_moves, also

    def check(self, energy: Energy) -> None:
        super().check(energy)
        self._first_ladder(energy)

    def other_kTs(self, energy: Energy) -> dict[str, float]:
        return {f"{t:g}K" if in_kelvin(energy) else f"kT{t:g}": to_kT(energy, t) for t in self.also or []}

    def _first_ladder(self, energy: Energy) -> list[float]:
        """kT of all rungs, before a pilot simulation.

        Raises:
            ValueError: temperatures that do not fit the energy's.
        """
        others = list(self.other_kTs(energy).values())
        unit = "K" if in_kelvin(energy) else "kT"
        own = energy.kT / to_kT(energy, 1.0)
        given = [self.max_temperature] if self.max_temperature is not None else self.temperatures or []
        for t in [*given[-1:], *(self.also or [])]:
            if not t > own * (1 + 1e-9):
                raise ValueError(
                    f"{t:g} {unit} is not above the temperature of the energy, {own:g} {unit}: leave it out or raise it."
                )
            if t > given[-1] * (1 + 1e-9):
                raise ValueError(
                    f"{t:g} {unit} lies above the ladder, which ends at {given[-1]:g} {unit}: raise its highest rung."
                )
        if self.temperatures is not None:
            if not math.isclose(self.temperatures[0], own, rel_tol=1e-6):
                raise ValueError(
                    f"the lowest of the temperatures, {self.temperatures[0]:g} {unit}, must be that of the energy, "
                    f"{own:g} {unit}."
                )
            ladder = [energy.kT, *(to_kT(energy, t) for t in self.temperatures[1:])]
            new = [t for t in others if not any(math.isclose(t, rung, rel_tol=1e-9) for rung in ladder)]
            return sorted([*ladder, *new])
        return self._ladder(energy, others, lambda kT: 0.5 * energy.degrees_of_freedom * kT)

    def _ladder(self, energy: Energy, others: list[float], mean_energy: Callable[[float], float]) -> list[float]:
        assert self.max_temperature is not None  # for the type checker
        highest = to_kT(energy, self.max_temperature)
        inner = [t for t in others if not math.isclose(t, highest, rel_tol=1e-9)]
        rungs = equal_acceptance(energy.kT, highest, mean_energy, self.rungs)
        if self.rungs is None and len(rungs) < len(inner) + 2:
            rungs = equal_acceptance(energy.kT, highest, mean_energy, len(inner) + 2)
        return with_rungs_at(rungs, inner)

    def init(self, energy: Energy, seed: int, report: Callable[[str], None]) -> State:
        ladder = self._first_ladder(energy)
        state = self.laddered(energy, ladder, self.started(energy, len(ladder) * self.walkers, seed, report), seed)
        if self.pilot == 0 or self.temperatures is not None:
            return state
        means = self._pilot(energy, state, seed, report)
        tuned = self._ladder(energy, list(self.other_kTs(energy).values()), lambda kT: float(np.interp(kT, ladder, means)))
        nearest = [min(range(len(ladder)), key=lambda r: abs(math.log(ladder[r] / kT))) for kT in tuned]
        slots = state["slot"][nearest] * self.walkers + torch.arange(self.walkers, device=state["slot"].device)
        return self.laddered(energy, tuned, state["x"][slots.flatten()], seed)

    def _pilot(self, energy: Energy, state: State, seed: int, report: Callable[[str], None]) -> list[float]:
        """Mean potential energy at every rung, from the second half of a short simulation; not falling with temperature."""
        steps, seen = round(self.pilot / self.time_step), []
        block = min(LONGEST_BLOCK, max(1, steps // 20))
        while (step := int(state["step"])) < steps:
            report(f"pilot {100 * step // steps} %")
            rng = stream(seed, "pilot", step=step, device=state["x"].device)
            self.advance(energy, state, min(block, steps - step), rng)
            if step >= steps // 2:
                seen.append(self._by_rung(state, state["u"].double()).mean(1) * energy.kT)
        return np.maximum.accumulate(torch.stack(seen).mean(0).cpu().numpy()).tolist()

    def laddered(self, energy: Energy, ladder: list[float], x: Tensor, seed: int) -> State:
        """The state of ladders whose replicas are at x, (R W, *event_shape), ordered by temperature first."""
        kT = torch.tensor(ladder, dtype=torch.float64, device=x.device)
        rungs, walkers = len(ladder), len(x) // len(ladder)
        state = self.thermal(energy, x, seed, kT.repeat_interleave(walkers))
        order = torch.arange(rungs, device=x.device)[:, None].expand(rungs, walkers)
        return state | {
            "ladder": kT,  # (R,)
            "slot": order.clone(),  # (R, W): which replica of a ladder is at each temperature
            # (R, W), by replica: 1 has been at the bottom, 2 has since been at the top
            "journey": torch.zeros(rungs, walkers, dtype=torch.long, device=x.device),
            "trips": torch.zeros((), dtype=torch.long, device=x.device),
            "attempts": torch.zeros(rungs - 1, dtype=torch.long, device=x.device),
            "exchanges": torch.zeros(rungs - 1, dtype=torch.long, device=x.device),
            "turned": torch.zeros(rungs, dtype=torch.float64, device=x.device),  # torsion moves accepted, per walker
            "turns": torch.zeros((), dtype=torch.long, device=x.device),
        }

    def _by_rung(self, state: State, values: Tensor) -> Tensor:
        """(R W, ...) of the replicas as (R, W, ...) by temperature."""
        rungs, walkers = state["slot"].shape
        return values.reshape(rungs, walkers, *values.shape[1:])[state["slot"], torch.arange(walkers, device=values.device)]

    def advance(self, energy: Energy, state: State, steps: int, rng: torch.Generator) -> None:
        every, end = self.steps_in(self.exchange_interval, "exchange_interval"), int(state["step"]) + steps
        while (step := int(state["step"])) < end:
            super().advance(energy, state, min(end, (step // every + 1) * every) - step, rng)
            if int(state["step"]) % every == 0:
                self.turn_torsions(energy, state, rng)
                self.exchange(energy, state, int(state["step"]) // every, rng)

    def turn_torsions(self, energy: Energy, state: State, rng: torch.Generator) -> None:
        """The Monte Carlo moves between two stretches of dynamics."""
        if not isinstance(energy, Molecule) or not len(energy.rotatable_bonds):
            return
        for _ in range(self.torsion_moves):
            accepted = self._by_rung(state, torsion_move(energy, state, rng))
            state["turned"] += accepted.double().mean(1)
            state["turns"] += 1
        if energy.translation_invariant:
            centred(state["x"])  # a turn moves the whole

    def exchange(self, energy: Energy, state: State, turn: int, rng: torch.Generator) -> None:
        """One attempt for every even (or odd, by `turn`) pair of neighbouring temperatures in every ladder."""
        slot, ladder = state["slot"], state["ladder"]
        rungs, walkers = slot.shape
        u = self._by_rung(state, state["u"].double())  # in units of the energy's own kT
        beta = energy.kT / ladder
        low = torch.arange(turn % min(2, rungs - 1), rungs - 1, 2, device=slot.device)
        log_ratio = (beta[low] - beta[low + 1])[:, None] * (u[low] - u[low + 1])
        r = torch.rand(log_ratio.shape, generator=rng, device=slot.device, dtype=torch.float64)
        swap = r.log() < log_ratio  # (pairs, W); coordinates stay where they are
        slot[low], slot[low + 1] = torch.where(swap, slot[low + 1], slot[low]), torch.where(swap, slot[low], slot[low + 1])
        rung = slot.argsort(0)  # of every replica
        kT = ladder[rung].flatten()
        warmer = (kT / state["kT"]).sqrt().to(state["velocity"])
        state["velocity"].mul_(warmer.reshape(-1, *[1] * len(energy.event_shape)))
        state["kT"] = kT
        if int(state["step"]) > round(self.burn_in / self.time_step):
            state["attempts"][low] += walkers
            state["exchanges"][low] += swap.sum(1)
            state["trips"] += ((rung == 0) & (state["journey"] == 2)).sum()
        journey = state["journey"]
        journey[rung == 0] = 1
        journey[(rung == rungs - 1) & (journey == 1)] = 2

    def saved(self, energy: Energy, state: State) -> State:
        frame = super().saved(energy, state)
        x, u = self._by_rung(state, frame["x"]), self._by_rung(state, frame["u"].double())
        parts = {"x": x[0], "u": u[0], "u_rungs": u.T}
        if energy.modes is not None:
            parts["label_rungs"] = self._by_rung(state, energy.modes.label(state["x"])).T
        for label, kT in self.other_kTs(energy).items():
            r = int((state["ladder"] / kT).log().abs().argmin())
            parts |= {f"x_{label}": x[r], f"u_{label}": u[r] * (energy.kT / kT)}
        return parts

    def trajectories(self, energy: Energy, recorder: Recorder, state: State) -> Trajectory:
        trajectory = super().trajectories(energy, recorder, state)
        if energy.modes is not None:
            beta = energy.kT / state["ladder"].cpu()
            trajectory.ladder = Ladder(beta, recorder.frames("u_rungs"), recorder.frames("label_rungs"))
        for label, kT in self.other_kTs(energy).items():
            x, u = recorder.frames(f"x_{label}"), recorder.frames(f"u_{label}")
            trajectory.others[kT] = Trajectory(x, trajectory.interval, trajectory.time_unit, u=u)
        return trajectory

    def _rates(self, state: State) -> list[float]:
        return (state["exchanges"] / state["attempts"].clamp_min(1)).tolist()

    def status(self, energy: Energy, state: State) -> str:
        text = f"{self.simulated(energy, state)}, {len(state['ladder'])} rungs"
        if not (state["attempts"] > 0).all():
            return text
        rates = self._rates(state)
        return f"{text}, exchange {min(rates):.2f} to {max(rates):.2f}, {int(state['trips'])} round trips"

    def summary(self, energy: Energy, state: State, seconds: float) -> tuple[Info, list[str]]:
        info, problems = super().summary(energy, state, seconds)
        unit = "K" if in_kelvin(energy) else "kT"
        temperatures = [kT / to_kT(energy, 1.0) for kT in state["ladder"].tolist()]
        rates, trips = self._rates(state), int(state["trips"])
        time = self.frames * self.interval * len(state["x"])
        info |= {
            "temperatures": temperatures,
            "exchange": rates,
            **({"torsion_moves_accepted": (state["turned"] / state["turns"]).tolist()} if state["turns"] else {}),
            "round_trips": trips,
            "round_trips_per_replica": trips / len(state["x"]),
            **({"round_trips_per_ns": 1000 * trips / time} if in_kelvin(energy) else {"round_trips_per_time": trips / time}),
        }
        for r, rate in enumerate(rates):
            if rate < FEWEST_EXCHANGES:
                problems.append(
                    f"not converged: {temperatures[r]:.4g} and {temperatures[r + 1]:.4g} {unit} exchange in "
                    f"{100 * rate:.2g} % of the attempts, so give more rungs or a lower max_temperature"
                )
        if trips == 0:
            problems.append("not converged: no replica went from the lowest temperature to the highest and back")
        return info, problems
