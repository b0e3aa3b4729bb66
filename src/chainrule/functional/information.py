"""What this array namespace can do, in the terms of the array API standard."""

from __future__ import annotations

from typing import Any

from chainrule.functional.promotion import check_device as _check_device
from chainrule.functional.promotion import dtypes_of_kind
from chainrule.ir.dtype import DEFAULT_FLOAT, DEFAULT_INT, DType

API_VERSION = "2024.12"


class NamespaceInfo:
    """Answers of `chainrule.__array_namespace_info__()`."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean masks and shapes that depend on data work outside of traces."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": 64,
        }

    def default_device(self) -> str:
        """The device where tensors are."""
        return "cpu"

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """The dtypes that functions choose when none is given."""
        _check_device(device)
        return {
            "real floating": DEFAULT_FLOAT,
            "integral": DEFAULT_INT,
            "indexing": DEFAULT_INT,
        }

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]

    def dtypes(
        self, *, device: str | None = None, kind: Any = None
    ) -> dict[str, DType]:
        """The dtypes of `kind` by name; all of them for None."""
        _check_device(device)
        return dtypes_of_kind(kind)


def __array_namespace_info__() -> NamespaceInfo:
    """What this namespace can do: devices, dtypes, capabilities.

    Example:
        >>> __array_namespace_info__().devices()
        ['cpu']
    """
    return NamespaceInfo()
