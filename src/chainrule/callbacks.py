"""Callbacks, under the name of Keras's module."""

from chainrule.training.callbacks import Callback
from chainrule.training.history import History

__all__ = ["Callback", "History"]
