"""Numbers exactly as they are written, within bounds: twelve characters can name a number that no
memory holds."""

import re
from fractions import Fraction

from shoal.core.errors import UserError

DIGITS = 1000  # the most of one number
LARGEST = 300  # powers of ten, so that floats hold it
_NUMBER = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+))?(?:/(\d+(?:\.\d*)?))?", re.ASCII
)


def exact_number(text: str) -> Fraction:
    """The number that a text is: `2`, `-.5`, `1e-3`, `2/3`.

    Raises:
        UserError: it is none, divides by zero, has over a thousand digits, or is larger than 1e300
            or nearer to zero than 1e-300.
    """
    found = _NUMBER.fullmatch(text)
    short = text if len(text) <= 40 else f"{text[:37]}..."
    if found is None:
        raise UserError(f"{short} is not a number")
    above, power, below = found.groups()
    if max(len(above), len(below or "")) > DIGITS:
        raise UserError(f"{short} has more than {DIGITS} digits")
    if below and not float(below):
        raise UserError(f"{short} divides by zero")
    exponent = int(power[:7]) if power else 0
    if abs(exponent) > LARGEST + DIGITS:
        raise UserError(f"{short} is out of range, expected 1e-{LARGEST} to 1e{LARGEST}, or 0")
    number = Fraction(above) * Fraction(10) ** exponent / Fraction(below or 1)
    if number and not Fraction(10) ** -LARGEST <= abs(number) <= Fraction(10) ** LARGEST:
        raise UserError(f"{short} is out of range, expected 1e-{LARGEST} to 1e{LARGEST}, or 0")
    return number
