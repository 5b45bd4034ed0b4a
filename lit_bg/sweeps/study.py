"""The memory of a sweep: an Optuna study in a file, which asks and remembers, and goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_bg.sweeps.definition import Sweep
from lit_bg.sweeps.parameter import Choice, Range

if TYPE_CHECKING:
    import optuna

INTERRUPTED = "interrupted"  # where the study keeps the numbers of trials that nobody finished


class Study:
    """Asks for the next trial of a sweep, and keeps what became of it.

    Every draw is addressed by the seed and the number of trials that came to an end before, so an interrupted search goes on as
    if it had not been.

    Args:
        sweep: what is searched.
        file: of the study; made where there is none.
        seed: of what is drawn.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: the file holds another search.
    """

    def __init__(self, sweep: Sweep, file: Path, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise ImportError("a sweep without W&B needs Optuna: pip install 'lit_bg[sweep]'.") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.sweep, self.seed, self._optuna = sweep, seed, optuna
        self.distributions = {name: self._distribution(p) for name, p in sweep.parameters.items()}
        self.values = {name: _by_code(p) for name, p in sweep.parameters.items() if isinstance(p, Choice)}
        self.study = optuna.create_study(
            storage=f"sqlite:///{file}", study_name=sweep.name, direction=sweep.goal, load_if_exists=True
        )
        known = self.study.user_attrs.get("sweep")
        if known is None:
            self.study.set_user_attr("sweep", sweep.identity())
            for point in sweep.grid() if sweep.method == "grid" else ():
                self.study.enqueue_trial({name: _code(value) for name, value in point.items()})
        elif known != sweep.identity():
            raise ValueError(f"'{file}' holds another search of this name, with other keys or values: give another --name.")
        halving = sweep.halving
        self.study.pruner = (
            optuna.pruners.NopPruner()
            if halving is None
            else optuna.pruners.SuccessiveHalvingPruner(min_resource=halving.first, reduction_factor=halving.eta)
        )
        self._take_up_again()

    def _take_up_again(self) -> None:
        """Ask again for what was under way when the last process ended."""
        left = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.RUNNING,))
        self.study.set_user_attr(INTERRUPTED, [*self.study.user_attrs.get(INTERRUPTED, []), *(t.number for t in left)])
        for trial in left:
            self.study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(trial.params)

    def _distribution(self, parameter: Choice | Range) -> optuna.distributions.BaseDistribution:
        known = self._optuna.distributions
        if isinstance(parameter, Choice):
            return known.CategoricalDistribution([_code(value) for value in parameter.values])
        p = parameter
        if p.integer:
            return known.IntDistribution(int(p.low), int(p.high), log=p.log, step=int(p.step or 1))
        return known.FloatDistribution(p.low, p.high, log=p.log, step=p.step)

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that came to an end, good or bad, in their order."""
        lost = set(self.study.user_attrs.get(INTERRUPTED, []))
        return [t for t in self.study.get_trials(deepcopy=False) if t.state.is_finished() and t.number not in lost]

    @property
    def is_exhausted(self) -> bool:
        """Return whether nothing is left of a grid."""
        waiting = self._optuna.trial.TrialState.WAITING
        return self.sweep.method == "grid" and not self.study.get_trials(deepcopy=False, states=(waiting,))

    def ask(self) -> optuna.Trial:
        """Return a new trial; `values_of` says what it is to try."""
        import numpy as np

        seed = int(np.random.SeedSequence([self.seed, len(self.trials)]).generate_state(1)[0])
        samplers = self._optuna.samplers
        kind = samplers.TPESampler if self.sweep.method == "bayes" else samplers.RandomSampler
        self.study.sampler = kind(seed=seed)
        return self.study.ask(fixed_distributions=self.distributions)

    def values_of(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial by their keys, as the file of the sweep has them."""
        drawn = {name: trial.params[name] for name in self.sweep.parameters if name in trial.params}
        return {name: self.values[name][v] if name in self.values else v for name, v in drawn.items()}

    def tell(self, trial: optuna.Trial, value: float | None, pruned: bool = False) -> None:
        """Keep the value of a trial; none stands for one that failed, or that was ended early."""
        states = self._optuna.trial.TrialState
        state = states.PRUNED if pruned else states.FAIL if value is None else states.COMPLETE
        self.study.tell(trial, value if state == states.COMPLETE else None, state=state)

    def best(self) -> optuna.trial.FrozenTrial | None:
        """Return the best trial, None before one has succeeded."""
        ranked = self.ranked()
        return ranked[0] if ranked and ranked[0].state == self._optuna.trial.TrialState.COMPLETE else None

    def ranked(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that came to an end, the best first; those without a value of the metric last."""
        complete, sign = self._optuna.trial.TrialState.COMPLETE, 1 if self.sweep.goal == "minimize" else -1
        done = sorted((t for t in self.trials if t.state == complete), key=lambda t: sign * float(t.value or 0.0))
        return [*done, *(t for t in self.trials if t.state != complete)]


def _code(value: Any) -> Any:
    """Return a value as Optuna's file can hold it: lists and sections as JSON."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _by_code(choice: Choice) -> dict[Any, Any]:
    return {_code(value): value for value in choice.values}
