"""Models: compile, fit, evaluate, predict, summary, save."""

from chainrule.models.cloning import clone_model, model_from_json
from chainrule.models.functional import Functional
from chainrule.models.model import Model
from chainrule.models.rates import find_learning_rate
from chainrule.models.sequential import Sequential
from chainrule.models.storage import load_model

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "find_learning_rate",
    "load_model",
    "model_from_json",
]
