"""The one table of tolerances, by dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.ir.dtype import as_dtype, widen
from chainrule.settings import SETTINGS


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart: `absolute + relative * |expected|`."""

    relative: float
    absolute: float


EXACT = Tolerance(0.0, 0.0)
# the same formula, evaluated in another order
ROUNDING = {
    "bfloat16": Tolerance(2.0**-7, 1e-30),
    "float16": Tolerance(2.0**-10, 1e-7),
    "float32": Tolerance(2e-5, 2e-6),
    "float64": Tolerance(1e-11, 1e-12),
}
# another implementation of the same functions
PARITY = {"float32": Tolerance(2e-4, 2e-5), "float64": Tolerance(1e-9, 1e-10)}
# the loss after up to 100 training steps, in which rounding adds up
TRAINING = {"float32": Tolerance(1e-5, 1e-6)}
# central differences in float64, relative to the size of what is compared
DIFFERENCES = {"float64": Tolerance(2e-6, 2e-8)}

Table = dict[str, Tolerance]


def tolerance_of(dtype: object, table: Table | None = None) -> Tolerance:
    """The tolerance for `dtype`; integers and booleans are compared exactly."""
    return (ROUNDING if table is None else table).get(as_dtype(dtype).name, EXACT)  # type: ignore[arg-type]


def assert_close(
    actual: Any, expected: Any, table: Table | None = None, where: str = ""
) -> None:
    """Shapes and dtypes equal, numbers equal within the tolerance of the dtype."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (where, actual.shape, expected.shape)
    assert actual.dtype == expected.dtype, (where, actual.dtype, expected.dtype)
    allowed = tolerance_of(expected.dtype, table)
    np.testing.assert_allclose(
        widen(actual),
        widen(expected),
        rtol=allowed.relative,
        atol=allowed.absolute,
        equal_nan=True,
        err_msg=where,
    )


def assert_compiled(actual: Any, eager: Any, where: str = "") -> None:
    """What a compiled function gives, against eager.

    The interpreter gives the same bits; native code has other elementary functions and
    another order of sums, and comes within rounding.
    """
    exact = SETTINGS.backend == "interpret"
    assert_close(actual, eager, {} if exact else ROUNDING, where)
