"""The data card as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def card_table(card: dict[str, Any]) -> Table:
    """Tabulate averages with error, exact value, correlation and agreement between walkers; then what the simulator reports."""
    from rich.table import Table

    unit = "" if card["unit"] == "kT" else f" {card['unit']}"
    table = Table(
        "average",
        "value",
        "error",
        "exact",
        "g [frames]",
        "R-hat",
        title=f"{card['energy']['class']} at kT = {card['kT']:.6g}{unit}, "
        f"{card['walkers']} walkers x {card['frames']} frames, every {card['interval']:g} {card['time_unit']}",
        caption=_verdict(card),
    )
    rows: dict[str, dict[str, Any]] = {"u": {**card["u"], "exact": None}, **card["observables"]}
    for name, row in rows.items():
        numbers = row["mean"], row["error"], row["exact"]
        table.add_row(name, *map(_number, numbers), *(_number(card[k][name]) for k in ("statistical_inefficiency", "r_hat")))
    if card["virial"] is not None:
        v = card["virial"]
        table.add_row("virial", *map(_number, (v["value"], v["error"], v["exact"])))
    for name, mode in card["modes"].items():
        table.add_row(f"P({name})", *map(_number, (mode["p"], mode["error"], mode["exact"])))
    for name, f in card["free_energy_differences"].items():
        table.add_row(f"{name} [kT]", *map(_number, (f["value"], f["error"], f["exact"])))
    table.add_section()
    for name, value in card["info"].items():
        table.add_row(name.replace("_", " "), _span(value))
    return table


def _span(value: Any) -> str:
    """Return a number of the simulator, or the range of several."""
    if isinstance(value, list):
        return f"{min(value):.4g} to {max(value):.4g} ({len(value)})" if value else ""
    return value if isinstance(value, str) else _number(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _verdict(card: dict[str, Any]) -> str:
    verdict = card["verdict"]
    return "pass" if verdict == "pass" else "Problems: " + "; ".join(verdict) + "."
