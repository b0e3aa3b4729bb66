"""Policies: in which type a layer keeps its weights, and in which it computes.

`mixed_bfloat16` keeps weights in float32 and computes in bfloat16: products of matrices
are faster where the processor has them, and activations take half of the memory.
Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from chainrule.errors import ArgumentError, DTypeError
from chainrule.ir.dtype import DType, DTypeLike, as_dtype, bfloat16, float16, float32

_MIXED = {"mixed_bfloat16": bfloat16, "mixed_float16": float16}
_EXPECTED = (
    "'float32', 'float64', 'bfloat16', 'float16', 'mixed_bfloat16' or 'mixed_float16'"
)


@dataclass(frozen=True)
class DTypePolicy:
    """The types of a layer's weights and of its computation.

    Args:
        name: `mixed_bfloat16` or `mixed_float16`: weights in float32, computation in
            the type of 16 bits; or the name of a floating-point type, for both.

    Raises:
        ArgumentError: for a name that is no policy.

    Example:
        >>> policy = DTypePolicy("mixed_bfloat16")
        >>> policy.variable_dtype.name, policy.compute_dtype.name
        ('float32', 'bfloat16')
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _MIXED:
            _float(self.name)

    @cached_property
    def variable_dtype(self) -> DType:
        """Of weights, and of what an optimizer remembers about them."""
        return float32 if self.name in _MIXED else as_dtype(self.name)

    @cached_property
    def compute_dtype(self) -> DType:
        """Of what a layer computes and gives."""
        return _MIXED.get(self.name) or as_dtype(self.name)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal policy."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(str(config["name"]))


PolicyLike: TypeAlias = "DTypeLike | DTypePolicy | Mapping[str, Any]"


def as_policy(policy: PolicyLike | None, where: str = "dtype") -> DTypePolicy:
    """The policy that is meant: by its name, a type, a config; the global one by None.

    Raises:
        ArgumentError: for what is none.

    Example:
        >>> as_policy("float64").name, as_policy(None).name
        ('float64', 'float32')
    """
    if policy is None:
        return _Global.policy
    if isinstance(policy, DTypePolicy):
        return policy
    if isinstance(policy, Mapping):
        return DTypePolicy.from_config(policy.get("config", {}))
    if isinstance(policy, str) and policy in _MIXED:
        return DTypePolicy(policy)
    return DTypePolicy(_float(policy, where).name)


def _float(dtype: DTypeLike, where: str = "DTypePolicy") -> DType:
    try:
        found = as_dtype(dtype)
    except DTypeError:
        found = None
    if found is None or not found.is_float:
        raise ArgumentError(
            "a layer computes with floating-point numbers",
            where=where,
            got=f"dtype={dtype if found is None else found.name!r}",
            expected=_EXPECTED,
        )
    return found


class _Global:
    """The policy of layers that are given none."""

    policy = DTypePolicy("float32")


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are made without one."""
    return _Global.policy


def set_dtype_policy(policy: PolicyLike) -> None:
    """Set the policy of the layers that are made from now on without one of their own.

    Args:
        policy: a name such as `mixed_bfloat16`, a type, or a `DTypePolicy`.

    Raises:
        ArgumentError: for what is no policy.

    Example:
        >>> from chainrule.layers import Dense
        >>> set_dtype_policy("mixed_bfloat16")
        >>> layer = Dense(3)
        >>> set_dtype_policy("float32")
        >>> layer([[1.0, 2.0]]).dtype, layer.kernel.dtype
        (chainrule.bfloat16, chainrule.float32)
    """
    if policy is None:
        raise ArgumentError("no policy", where="set_dtype_policy", expected=_EXPECTED)
    _Global.policy = as_policy(policy, "set_dtype_policy")
