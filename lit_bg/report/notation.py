"""Numbers as physicists write them: 2.4(1)."""

from __future__ import annotations

import math

HUGE = 1e7  # from here on numbers get an exponent


def with_error(value: float | None, err: float | None = None, places: int = 4) -> str:
    """Write a value with its standard error in units of its last place; a dash for an infinite error, where none is honest.

    >>> with_error(2.4123, 0.13), with_error(0.96707, 0.0004), with_error(-139.2, 22.0)
    ('2.41(13)', '0.9671(4)', '-139(22)')
    >>> with_error(0.5), with_error(None), with_error(1.0, 0.0), with_error(0.01234, math.inf)
    ('0.5000', '-', '1.0000', '0.012(-)')
    >>> with_error(4.2e17, 3.8e17)
    '4(4)e17'

    Errors that begin with 1 or 2 are given to two digits.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if err is not None and math.isinf(err):
        return f"{value:.2g}(-)"
    if abs(value) >= HUGE:
        exponent = math.floor(math.log10(abs(value)))
        return f"{with_error(value / 10**exponent, None if err is None else err / 10**exponent, 2)}e{exponent}"
    if err is None or not math.isfinite(err) or err <= 10.0 ** -(places + 2):
        return f"{value:.{places}f}"
    exponent = math.floor(math.log10(err))
    digits = -exponent + (err / 10**exponent < 2.95)
    if digits <= 0:
        return f"{round(value, digits):.0f}({round(err, digits):.0f})"
    return f"{value:.{digits}f}({round(err * 10**digits)})"


def count(n: float | None) -> str:
    """Write a large count in short.

    >>> count(950), count(3_100_000)
    ('950', '3.1e6')
    """
    if n is None:
        return "-"
    if n < 1e5:
        return str(int(n))
    exponent = math.floor(math.log10(n))
    return f"{n / 10**exponent:.3g}e{exponent}"
