"""The layers that configs may name; `layers/__init__.py` fills it."""

from __future__ import annotations

from chainrule.configurable import Registry

REGISTRY = Registry("layer", "layer")
