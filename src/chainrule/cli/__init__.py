"""The command line: train, evaluate, predict, detect, translate, generate, ...

A kind of problem is a `Task`, in a module of its own, with the options that it takes;
`tasks.py` lists them, and the commands ask that list.
"""

from chainrule.cli import chat, detect, generate, show, train, translate, use
from chainrule.cli.application import INTERRUPTED, app
from chainrule.cli.tasks import choose_task

__all__ = [
    "INTERRUPTED",
    "app",
    "chat",
    "choose_task",
    "detect",
    "generate",
    "main",
    "show",
    "train",
    "translate",
    "use",
]


def main() -> None:
    """Run the command line."""
    app(prog_name="chainrule")
