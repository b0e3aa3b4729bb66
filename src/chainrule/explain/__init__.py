"""Explanation: training, opened so that every number can be read."""

from chainrule.explain.trace_step import StepTrace, trace_step

__all__ = ["StepTrace", "trace_step"]
