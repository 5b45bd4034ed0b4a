"""Former spellings of simulations, from before moves were classes of their own."""

from __future__ import annotations

from typing import Any

MOVES = (
    "Metropolis", "MALA", "HMC", "Langevin", "OverdampedLangevin", "SpinFlip", "TorsionMoves", "Cycle", "Mixture", "Exchange"
)  # fmt: skip
OF_DYNAMICS = ("time_step", "friction", "hydrogen_mass", "interval", "exchange_interval")
OF_LADDER = ("max_temperature", "rungs", "pilot", "temperatures", "also")
RUN = "walkers, frames, stride, burn_in and start"


def find_old_spelling(section: Any) -> str | None:
    """Return how a `simulate` section of a former spelling is written now, or None."""
    if not isinstance(section, dict):
        return None
    path, arguments = section.get("class_path"), section.get("init_args")
    name = path.rpartition(".")[2] if isinstance(path, str) else ""
    given = arguments if isinstance(arguments, dict) else {}
    if name in MOVES and (path == name or path == f"lit_bg.samplers.{name}" or str(path).startswith("lit_bg.kernels.")):
        return (
            f"simulate: {name} is a move, and Simulation makes data with it: write simulate: {{class_path: Simulation, "
            f"init_args: {{kernel: {{class_path: {name}, init_args: {{...}}}}, walkers: 100, frames: 1000}}}}, with {RUN} "
            "beside kernel; stride and burn_in count moves, and a move of dynamics is `steps` time steps."
        )
    if isinstance(path, str) and path.startswith("lit_bg.samplers."):
        return f"simulate: {path} is now lit_bg.simulators.{name}, or {name} for short."
    kernel = given.get("kernel")
    inner = kernel.get("class_path") if isinstance(kernel, dict) else kernel
    if isinstance(inner, str) and inner.startswith("lit_bg.samplers."):
        return f"simulate: {inner} is now lit_bg.kernels.{inner.rpartition('.')[2]}."
    old = [key for key in given if key in (*OF_DYNAMICS, *OF_LADDER)]
    if name == "ReplicaExchange" and old:
        return (
            f"simulate: ReplicaExchange has no {', '.join(old)}: write kernel: {{class_path: Langevin, init_args: {{time_step, "
            f"steps, friction, hydrogen_mass}}}}, ladder: {{{', '.join(OF_LADDER)}}}, and {RUN} beside them; stride, burn_in "
            "and pilot count moves of the kernel, of `steps` time steps each, after which replicas exchange."
        )
    return None
