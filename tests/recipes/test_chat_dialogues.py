"""Replies written by a network that learnt dialogues."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule.cli import app
from chainrule.recipes.chat import UNKNOWN, Bot, Data, Plan, gather, learn
from chainrule.recipes.chat_data import SYSTEM, USER, read_intents
from chainrule.recipes.chat_dialogues import (
    DialoguePlan,
    Responder,
    learn_dialogues,
    surprises,
    written,
)

ASKED = re.compile(r"A table in \w+\. For how many people\?")
PLACES = ["Rome", "Oslo", "Lima", "Bern"]


def dialogue(number: int) -> list[tuple[str, str]]:
    place = PLACES[number % 4]
    return [
        (USER, f"I want a table in {place}."),
        (SYSTEM, f"A table in {place}. For how many people?"),
        (USER, "For two people, please."),
        (SYSTEM, "Done, two people."),
    ]


@pytest.fixture(scope="module")
def spoken() -> Any:
    plan = DialoguePlan(epochs=30, batch_size=4, width=32, layers=2, heads=2)
    lines: list[str] = []
    found = learn_dialogues([dialogue(n) for n in range(60)], plan, lines.append)
    assert len(lines) == 30
    return found


def test_dialogues_are_foretold(spoken: Any) -> None:
    assert spoken.counts == (57, 3)
    assert spoken.perplexity < 2
    loss = spoken.history.history["loss"]
    assert loss[-1] < loss[0] / 4


def test_replies_follow_what_was_said(spoken: Any) -> None:
    responder = spoken.responder
    history = [(USER, "I want a table in Oslo.")]
    assert ASKED.fullmatch(responder.reply(history))
    history += [(SYSTEM, responder.reply(history)), (USER, "For two people, please.")]
    assert responder.reply(history).startswith("Done")
    assert responder.reply(history, seed=1) == responder.reply(history, seed=1)


def test_lines_unlike_the_dialogues_surprise(spoken: Any) -> None:
    responder = spoken.responder
    usual = responder.surprise_at([(USER, "I want a table in Bern.")])
    odd = responder.surprise_at([(USER, "Sieben Geigen malen Äpfel.")])
    assert usual < odd
    assert odd > responder.surprise
    assert np.isfinite(responder.surprise_at([(USER, "")]))
    long = [(USER, "table " * 400), (SYSTEM, "two " * 400), (USER, "Rome " * 300)]
    assert np.isfinite(responder.surprise_at(long))
    assert isinstance(responder.reply(long), str)


def test_surprise_is_the_mean_over_the_last_turn(spoken: Any) -> None:
    model, tokenizer = spoken.responder.model, spoken.responder.tokenizer
    turns = dialogue(1)[:3]
    tokens = np.array([written(tokenizer, turns)])
    count = len(tokenizer.encode(turns[-1][1]))
    logits = model.predict(tokens[:, :-1], verbose=0)[0].astype("float64")
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = shares[np.arange(len(shares)), tokens[0, 1:]]
    expected = -np.log(chosen[-count:]).mean()
    found = surprises(model, tokenizer, [turns])[0]
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_bot_speaks_and_remembers(spoken: Any, tmp_path: Path) -> None:
    bot = Bot(answers=[("Who are you?", "A program.")], responder=spoken.responder)
    first = bot.reply("I want a table in Lima.")
    assert first.source == "dialogue"
    assert ASKED.fullmatch(first.text)
    assert bot.reply("For two people, please.").text.startswith("Done")
    assert bot.reply("Who are you?").text == "A program."
    assert bot.reply("Zwölf Äpfel & 77 Geigen?!").text == UNKNOWN
    assert len(bot.turns) == 4
    bot.save(tmp_path)
    again = Bot.load(tmp_path)
    assert again.turns == []
    assert again.reply("I want a table in Lima.").text == first.text
    bot.forget()
    assert bot.turns == []


def test_few_and_short_dialogues(tmp_path: Path) -> None:
    plan = DialoguePlan(epochs=1, width=8, layers=1, heads=1)
    found = learn_dialogues([[(USER, "Hi"), (SYSTEM, "Yo")]], plan)
    assert isinstance(found.responder, Responder)
    assert isinstance(found.responder.reply([(USER, "Hi")]), str)


def test_dialogues_on_the_command_line(tmp_path: Path) -> None:
    lines = [json.dumps({"turns": dialogue(n)}) for n in range(8)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    data = gather(str(tmp_path), Plan())
    assert (data.intents, len(data.dialogues)) == (None, 8)
    run, out = CliRunner(), tmp_path / "run"
    given = ["--dialogues", str(tmp_path / "some.jsonl"), "--epochs", "2"]
    trained = run.invoke(app, ["train", "--task", "chat", "--out", str(out), *given])
    assert trained.exit_code == 0, trained.output
    assert "perplexity" in trained.output
    talked = run.invoke(app, ["chat", str(out)], input="Oslo, please\n/new\n/why\n")
    assert talked.exit_code == 0, talked.output
    assert "surprise (up to" in talked.output


def test_a_seed_decides_what_is_learnt() -> None:
    data = Data(dialogues=[dialogue(n) for n in range(6)])
    plans = [Plan(seed=seed, epochs=1) for seed in (0, 0, 1)]
    models = [learn(data, plan).bot.responder.model for plan in plans]  # type: ignore[union-attr]
    first, again, other = ([w.numpy() for w in m.weights] for m in models)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(
        one.shape != two.shape or not np.array_equal(one, two)
        for one, two in zip(first, other, strict=True)
    )


def test_who_interrupts_the_intents_does_not_wait_for_dialogues(
    tmp_path: Path,
) -> None:
    rows = [("give it", "pay"), ("go on", "leave")] * 20
    (tmp_path / "i.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows))
    data = Data(read_intents(tmp_path / "i.tsv"), [], [dialogue(0)])

    def show(line: str) -> None:
        if line.startswith("epoch"):
            raise KeyboardInterrupt

    outcome = learn(data, Plan(epochs=3), show)
    assert outcome.histories["intents"].interrupted
    assert outcome.spoken is None
    assert outcome.bot.network is not None
