"""The training loop and what surrounds it: data, checks, callbacks, History, saving.

Nothing here knows a `Model`: the loop is given a step function and a place that keeps
the weights.
"""

from chainrule.training.callbacks import Callback, CallbackList
from chainrule.training.history import History
from chainrule.training.splits import Split

__all__ = ["Callback", "CallbackList", "History", "Split"]
