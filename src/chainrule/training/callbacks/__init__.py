"""Callbacks: code that the loop calls at the joints of training, named as in Keras."""

from chainrule.training.callbacks.backup import BackupAndRestore
from chainrule.training.callbacks.base import Callback, CallbackList, Logs
from chainrule.training.callbacks.csv_logger import CSVLogger
from chainrule.training.callbacks.early_stopping import EarlyStopping
from chainrule.training.callbacks.lambda_callback import LambdaCallback
from chainrule.training.callbacks.learning_rate import (
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from chainrule.training.callbacks.model_checkpoint import ModelCheckpoint
from chainrule.training.callbacks.swap_averages import SwapEMAWeights
from chainrule.training.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
]
