"""What a user may do next with a run, as commands."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from lit_bg.report.contents import Contents


class Step(NamedTuple):
    """A purpose, and the command that serves it."""

    purpose: str
    command: str


def list_steps(run: Contents) -> list[Step]:
    """Return the commands that go on with a run, in the order in which they are likely to be wanted."""
    folder = shlex.quote(str(run.folder))
    resume = f"python -m lit_bg.fit --resume {folder}"
    if run.summary is None:
        return [
            Step("Go on with the training where it stopped.", resume),
            Step("Write this page again.", f"python -m lit_bg.report {folder}"),
        ]
    suffix = "xtc" if run.structures else "npz"
    longer = Step("Train longer, bit for bit as if it had never stopped.", f"{resume} --trainer.max_epochs={_more(run)}")
    draw = Step("Draw more samples, with their weights.", f"python -m lit_bg.sample {folder} -n 100000 --out more.{suffix}")
    correct = Step(
        "Carry poor proposals to the target: they cost more energies, and get their own verdict.",
        f"python -m lit_bg.sample {folder} --sampler SMC --sampler.kernel=MALA --out smc.npz",
    )
    energies = Step(
        "Find the free energy -ln Z from proposals and reference data together.", f"python -m lit_bg.free_energy {folder}"
    )
    compare = Step("Compare it with other runs.", f"python -m lit_bg.report.compare {folder} OTHER_RUN")
    steps = [draw, energies, correct, longer] if run.summary.verdict == "trust" else [longer, correct, energies, draw]
    return [*steps, compare]


def _more(run: Contents) -> str:
    """Return twice the epochs of a run, or a word where they are not known."""
    trainer = run.config.get("trainer")
    epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
    return str(2 * epochs) if isinstance(epochs, int) and epochs > 0 else "MORE"
