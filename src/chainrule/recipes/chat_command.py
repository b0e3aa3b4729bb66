"""The commands of chat models: train one, and talk with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.recipes.chat import FILE, Bot, Outcome, Plan, Reply, gather, learn, write
from chainrule.recipes.chat_intents import KEPT, Judgement
from chainrule.recipes.run_folder import choose_folder
from chainrule.recipes.tabular_command import make_console

HELP = "/why tells why the last reply was given, /new forgets the dialogue, /quit ends"
SHOWN = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)  # thresholds of the curve


def train(source: str | None, plan: Plan, out: Path | None) -> bool:
    """Learn what there are data for, show how well, and leave a folder.

    Args:
        source: a file or folder whose kind is found out, or None.
        plan: what is named by kind.
        out: the folder asked for.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    data = gather(source, plan)
    folder = choose_folder("chat", out)
    if (folder / FILE).exists():
        raise ArgumentError(
            "the folder holds a chat model already, and it is not overwritten",
            where=str(folder),
            fix=f"--out {folder}-2, or remove the folder first",
        )
    if data.intents is not None:
        held = int(data.intents.held.sum())
        kinds = len({name for name in data.intents.names if name is not None})
        console.print(
            f"intents: {len(data.intents.texts):,} texts, {kinds} intents, "
            f"{held:,} texts held out"
        )
    if data.answers:
        console.print(f"answers: {len(data.answers):,} questions with answers")
    if data.dialogues:
        turns = sum(map(len, data.dialogues))
        console.print(f"dialogues: {len(data.dialogues):,}, {turns:,} turns")
    with console.status("learning") as status:

        def show(line: str) -> None:
            if console.is_terminal:
                status.update(line)

        outcome = learn(data, plan, show)
    show_outcome(console, outcome)
    if data.dialogues and outcome.spoken is None:
        console.print("interrupted: nothing was learnt from the dialogues")
    write(folder, outcome, plan, results_of(outcome))
    console.print(f"\nthe model is in {folder}", markup=False)
    console.print(f"  chainrule chat {folder}", markup=False)
    return any(bool(history.interrupted) for history in outcome.histories.values())


def results_of(outcome: Outcome) -> dict[str, Any]:
    """The figures of a run, for its record."""
    found: dict[str, Any] = {}
    judgement = outcome.judgement
    if judgement is not None:
        found["intents_accuracy"] = judgement.accuracy
        found["threshold"] = judgement.threshold
        found["out_of_scope_recall"] = judgement.chosen.recall
    if outcome.bot.answers is not None:
        found["answers_threshold"] = outcome.bot.answers.threshold
    if outcome.spoken is not None:
        found["dialogues_perplexity"] = outcome.spoken.perplexity
    return found


def show_outcome(console: Any, outcome: Outcome) -> None:
    """How well intents are named, and the curve of thresholds."""
    if outcome.judgement is not None:
        show_judgement(console, outcome.judgement)
    if outcome.bot.answers is not None:
        console.print(
            f"answers are given from a similarity of "
            f"{outcome.bot.answers.threshold:.2f} on"
        )
    if outcome.spoken is not None:
        learnt, held = outcome.spoken.counts
        console.print(
            f"dialogues: {learnt:,} learnt, perplexity {outcome.spoken.perplexity:.2f} "
            f"for a token of {held:,} held out; replies are written up to a surprise "
            f"of {outcome.spoken.responder.surprise:.2f}"
        )


def show_judgement(console: Any, judgement: Judgement) -> None:
    """Accuracy, and what comes of thresholds."""
    # shown on a terminal only: importing chainrule loads NumPy alone
    from rich.table import Table  # noqa: PLC0415

    inside, outside = judgement.counts
    console.print(
        f"\nheld out, in scope: {judgement.accuracy:.1%} of {inside:,} texts are named "
        "right\n"
    )
    table = Table("threshold", "named right", "believed", "out of scope refused")
    points = [p for p in judgement.curve if round(p.threshold, 2) in SHOWN]
    for point in sorted([*points, judgement.chosen], key=lambda p: p.threshold):
        recall = "-" if point.recall is None else f"{point.recall:.1%}"
        chosen = " *" if point is judgement.chosen else ""
        table.add_row(
            f"{point.threshold:.2f}{chosen}",
            f"{point.accuracy:.1%}",
            f"{point.kept:.1%}",
            recall,
        )
    console.print(table)
    console.print(
        f"* chosen: {KEPT:.0%} of what is in scope are believed; {outside:,} texts are "
        "out of scope"
    )


# ---- talking -------------------------------------------------------------------------


def chat(model: Path, lines: Iterable[str] | None = None) -> None:
    """Talk with a model, in the terminal or line by line from a pipe.

    Args:
        model: the folder of a chat model.
        lines: what is said; None reads the terminal, or what is piped in.
    """
    bot = Bot.load(model)
    console = make_console()
    typed = lines is None and sys.stdin.isatty()
    if typed:
        console.print(HELP, style="dim")
    given = _typed(console) if typed else (sys.stdin if lines is None else lines)
    last: Reply | None = None
    for line in given:
        text = line.strip()
        if not text:
            continue
        if not typed:
            console.print(f"> {text}", markup=False, soft_wrap=True)
        if text in ("/quit", "/exit"):
            return
        if text.startswith("/"):
            _command(console, bot, text, last)
            continue
        last = bot.reply(text)
        style = "dim" if last.source == "unknown" else None
        console.print(last.text, style=style, markup=False, soft_wrap=True)


def _typed(console: Any) -> Iterator[str]:
    """The lines that are typed, until Ctrl-D."""
    while True:
        try:
            yield console.input("[bold]> [/bold]")
        except EOFError:
            console.print()
            return


def _command(console: Any, bot: Bot, text: str, last: Reply | None) -> None:
    """Do what a line that begins with a stroke asks for."""
    if text == "/new":
        bot.forget()
    elif text != "/why":
        console.print(HELP, style="dim")
    elif last is None:
        console.print("nothing was said yet", style="dim")
    else:
        for line in explain(bot, last):
            console.print(line, style="dim", markup=False, soft_wrap=True)


def explain(bot: Bot, reply: Reply) -> list[str]:
    """Why a reply was given, in lines."""
    ways = {
        "answer": "an answer to a question like it",
        "dialogue": "a reply as in the dialogues",
        "intent": "an intent that is sure enough",
        "unknown": "nothing was sure enough",
    }
    lines = [f"why: {ways[reply.source]}"]
    if bot.network is not None:
        shown = ", ".join(f"{name} {p:.1%}" for name, p in reply.intents)
        lines.append(f"intents (from {bot.threshold:.0%} on): {shown or 'none'}")
    if bot.responder is not None and reply.surprise is not None:
        most = bot.responder.surprise
        lines.append(f"surprise (up to {most:.2f}): {reply.surprise:.2f}")
    if bot.answers is not None:
        lines.append(f"questions (from {bot.answers.threshold:.2f} on):")
        for near in reply.nearest:
            lines.append(f"  {near.similarity:.2f} {near.question}")
    return lines
