"""Passes: graphs to graphs that mean the same."""

from chainrule.compiler.passes.inline import inline_calls
from chainrule.compiler.passes.simplify import drop_dead, simplify

__all__ = ["drop_dead", "inline_calls", "simplify"]
