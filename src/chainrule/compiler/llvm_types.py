"""The one door to llvmlite, which has no type information.

Modules of the compiler import `ir` and `binding` from here, and annotate with
`IRBuilder`, `IRValue` and `IRType`, so that what the type checker cannot see stands in
one place.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import llvmlite.binding as binding  # type: ignore[import-untyped, unused-ignore]
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

IRBuilder: TypeAlias = Any
IRValue: TypeAlias = Any
IRType: TypeAlias = Any

__all__ = ["IRBuilder", "IRType", "IRValue", "binding", "ir"]
