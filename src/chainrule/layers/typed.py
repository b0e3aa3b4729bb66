"""The types of a layer: of its weights, of what it computes, of what it gives."""

from __future__ import annotations

from typing import Any

from chainrule import functional
from chainrule.configurable import Configurable
from chainrule.functional.masks import mask_of, with_mask
from chainrule.ir import tree
from chainrule.ir.dtype import DType
from chainrule.precision import DTypePolicy, as_policy


class Typed(Configurable):
    """What a policy decides about a layer.

    Attributes:
        dtype_policy: the policy.
    """

    dtype_policy: DTypePolicy

    # Whether it computes in float32 what it gives in a type of 16 bits: statistics.
    wide = False
    # Whether types of 16 bits are not for it, as for pictures before they are scaled.
    full = False

    @property
    def dtype(self) -> DType:
        """The type of its weights."""
        return self.dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> DType:
        """The type of its weights."""
        return self.dtype

    @property
    def compute_dtype(self) -> DType:
        """The floating-point type of what it gives.

        Example:
            >>> from chainrule.layers import Dense
            >>> layer = Dense(2, dtype="mixed_bfloat16")
            >>> layer.dtype, layer.compute_dtype
            (chainrule.float32, chainrule.bfloat16)
        """
        policy = self.dtype_policy
        return policy.variable_dtype.compute if self.full else policy.compute_dtype

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, fit for JSON."""
        config = super().get_config()
        if "dtype" in config:
            config["dtype"] = self.dtype_policy.name
        return config

    def _argument(self, name: str) -> Any:
        if name != "dtype":
            return super()._argument(name)
        same = self.dtype_policy == as_policy(None)
        return None if same else self.dtype_policy.name

    @property
    def _working_dtype(self) -> DType:
        """The type of the numbers that `call` sees."""
        return self.compute_dtype.compute if self.wide else self.compute_dtype

    @property
    def _reading_dtype(self) -> DType | None:
        """The type that weights are read in, where that is not their own."""
        working = self._working_dtype
        return None if working is self.dtype else working


def cast_floats(values: Any, dtype: DType) -> Any:
    """A tree of tensors, floating-point ones in `dtype`."""

    def cast(value: Any) -> Any:
        if value.dtype.is_float and value.dtype is not dtype:
            return with_mask(functional.astype(value, dtype), mask_of(value))
        return value

    return tree.tree_map(cast, values)
