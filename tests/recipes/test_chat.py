"""Chat models: what is read, learnt, refused, answered and saved."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli import app
from chainrule.errors import ArgumentError, DataError, FormatError
from chainrule.recipes import chat_command
from chainrule.recipes.chat import UNKNOWN, Bot, Data, Plan, gather, learn
from chainrule.recipes.chat_answers import AnswerIndex
from chainrule.recipes.chat_data import (
    kind_of_chat,
    read_answers,
    read_dialogues,
    read_intents,
)
from chainrule.recipes.chat_intents import (
    IntentNetwork,
    curve_as_csv,
    judge,
    learn_intents,
)
from chainrule.recipes.text import Plan as TextPlan
from chainrule.settings import SETTINGS

WAYS = {
    "greet": "hello {} there good to see you {}",
    "pay": "please pay the bill of {} with my card {}",
    "weather": "how warm will it be in {} on {} tomorrow",
    "leave": "good bye {} I have to go {}",
}
FILLERS = ["now", "old", "my", "friend", "again", "today", "kind", "big", "", "well"]
OUTSIDE = ["who wrote this old play", "the square root of nine", "rivers of Peru"]


def rows(count: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [
        [way.format(*random.choice(FILLERS, 2)), name]
        for _ in range(count)
        for name, way in WAYS.items()
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("chat")
    parts = {
        "train": rows(30, 0),
        "val": rows(5, 1),
        "oos_train": [[text, "oos"] for text in OUTSIDE],
        "oos_val": [
            ["seven green apples", "oos"],
            ["tell the time of the play", "oos"],
        ],
    }
    (folder / "intents.json").write_text(json.dumps(parts))
    (folder / "answers.yml").write_text(
        "categories:\n- some\nconversations:\n- - Who are you?\n  - A program.\n"
        "- - who are you\n  - Nobody.\n- - Where do you live?\n  - In a folder.\n"
        "  - Is that so?\n"
    )
    return folder


# ---- reading -------------------------------------------------------------------------


def test_parts_of_json_tell_what_is_held_out(files: Path) -> None:
    found = read_intents(files / "intents.json")
    assert len(found.rows(held=False, inside=True)) == 120
    assert len(found.rows(held=True, inside=True)) == 20
    assert len(found.rows(held=False, inside=False)) == 3
    assert len(found.rows(held=True, inside=False)) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "intent,text\n" + "pay,give it\nleave,go on\n" * 20),
        ("a.tsv", "text\tintent\n" + "give it\tpay\ngo on\tleave\n" * 20),
        (
            "a.jsonl",
            '{"q_text": "give it now", "k": "pay"}\n' * 20
            + '{"q_text": "go on now", "k": "leave"}\n' * 20,
        ),
        ("a.json", json.dumps({"pay": ["give it"] * 20, "leave": ["go on"] * 20})),
    ],
)
def test_other_files_of_intents(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = read_intents(path)
    assert set(found.names) == {"pay", "leave"}
    assert found.texts[0].startswith("give it")
    assert found.held.sum() == 4
    assert (read_intents(path, 0).held == found.held).all()
    assert (read_intents(path, 1).held != found.held).any()
    assert kind_of_chat(path) == "intents"


def test_one_intent_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,intent\nhi,greet\nhello,greet\nwhat,oos\n")
    with pytest.raises(DataError, match="fewer than two"):
        read_intents(path)


def test_lines_of_a_conversation_answer_one_another(files: Path) -> None:
    found = read_answers(files)  # the YAML of the folder, and no JSON of intents
    assert found == read_answers(files / "answers.yml")
    assert ("In a folder.", "Is that so?") in found
    assert len(found) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "- question: Why?\n  answer: So.\n- q: How?\n  a: Thus.\n"),
        ("a.yml", "Why?: So.\nHow?: Thus.\n"),
        ("a.csv", "id,question,answer\n1,Why?,So.\n2,How?,Thus.\n"),
        ("a.tsv", "Why?\tSo.\nHow?\tThus.\n"),
        ("a.jsonl", '{"prompt": "Why?", "response": "So."}\n["How?", "Thus."]\n'),
        ("a.json", '[["Why?", "So."], ["How?", "Thus."]]'),
    ],
)
def test_other_files_of_answers(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    if name == "a.jsonl":
        text = text.replace('["How?", "Thus."]', '{"prompt":"How?","response":"Thus."}')
    path.write_text(text)
    assert read_answers(path) == [("Why?", "So."), ("How?", "Thus.")]


def test_no_answers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one,two,three\n1,2,3\n")
    with pytest.raises(DataError, match="which columns"):
        read_answers(tmp_path / "a.csv")
    (tmp_path / "b.yml").write_text("a: [unclosed")
    with pytest.raises(DataError, match="no YAML"):
        read_answers(tmp_path / "b.yml")
    (tmp_path / "c.yml").write_text("conversations: []")
    with pytest.raises(DataError, match="no questions"):
        read_answers(tmp_path / "c.yml")
    with pytest.raises(DataError, match="no such file"):
        read_answers(tmp_path / "missing")


@pytest.mark.parametrize(
    "line",
    [
        '{"id": 1, "turns": [["USER", "Hi"], ["SYSTEM", " Hello  you "]]}',
        '{"messages": [{"role": "user", "content": "Hi"},'
        ' {"role": "assistant", "content": "Hello you"}]}',
        '[{"speaker": "Ann", "text": "Hi"}, {"speaker": "Bob", "text": "Hello you"}]',
        '{"dialogue": ["Hi", "Hello you"]}',
    ],
)
def test_dialogues_of_every_kind(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n\n" + line + "\n")
    assert read_dialogues(path) == [[("user", "Hi"), ("system", "Hello you")]] * 2
    whole = tmp_path / "a.json"
    whole.write_text(f"[{line}]")
    assert read_dialogues(whole) == [[("user", "Hi"), ("system", "Hello you")]]
    assert kind_of_chat(path) == "dialogues"


def test_what_is_no_dialogue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Hi"}\n')
    with pytest.raises(DataError, match="no dialogue"):
        read_dialogues(path)
    path.write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        read_dialogues(path)


# ---- intents -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt(files: Path) -> Any:
    intents = read_intents(files / "intents.json")
    network, history = learn_intents(intents, TextPlan(epochs=20))
    return intents, network, history


def test_intents_are_learnt_and_the_rest_refused(learnt: Any) -> None:
    intents, network, history = learnt
    assert history.history["loss"][-1] < history.history["loss"][0] / 3
    judgement = judge(network, intents)
    assert judgement.accuracy > 0.9
    assert judgement.counts == (20, 5)
    assert 0 < judgement.threshold < 1
    assert 0.9 <= judgement.chosen.kept <= 1
    kept = [point.kept for point in judgement.curve]
    recall = [point.recall for point in judgement.curve]
    assert kept == sorted(kept, reverse=True)
    assert recall == sorted(recall)
    assert (kept[0], recall[0]) == (1.0, 0.0)
    lines = curve_as_csv(judgement.curve).splitlines()
    assert len(lines) == 21


def test_without_examples_of_the_rest_most_is_believed(learnt: Any) -> None:
    intents, network, _ = learnt
    inside = [i for i, name in enumerate(intents.names) if name is not None]
    alone = type(intents)(
        [intents.texts[i] for i in inside],
        [intents.names[i] for i in inside],
        intents.held[inside],
    )
    judgement = judge(network, alone)
    assert judgement.chosen.recall is None
    assert judgement.chosen.kept >= 0.9


def test_a_seed_decides_the_network(files: Path, learnt: Any) -> None:
    intents, network, _ = learnt
    again, _ = learn_intents(intents, TextPlan(epochs=20))
    texts = ["hello old friend", ""]
    expected = network.probabilities(texts)
    np.testing.assert_array_equal(again.probabilities(texts), expected)
    other, _ = learn_intents(intents, TextPlan(epochs=20, seed=1))
    assert not np.allclose(other.probabilities(texts), expected)


def test_other_models_name_no_intents() -> None:
    model = cr.models.Sequential([cr.layers.Dense(2)])
    with pytest.raises(FormatError, match="no intents"):
        IntentNetwork(model)


def test_features_are_of_length_one(learnt: Any) -> None:
    found = learnt[1].encode(["hello there", "pay the bill", ""])
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths[:2], 1, rtol=1e-5)
    assert learnt[1].encode([]).shape == (0, found.shape[1])


# ---- answers -------------------------------------------------------------------------


def test_questions_are_found_in_other_words() -> None:
    pairs = [
        ("What is your favorite color?", "Blue."),
        ("Where do you live?", "Here."),
        ("你叫什么名字", "小链"),
    ]
    index = AnswerIndex(pairs)
    assert index.nearest("whats your favourite colour")[0].answers == ["Blue."]
    assert index.nearest("where do you live")[0].similarity == pytest.approx(1)
    assert index.nearest("什么名字呢")[0].answers == ["小链"]
    assert index.nearest("xyz") == []
    assert index.nearest("") == []


def test_answers_to_one_question_take_turns() -> None:
    bot = Bot(answers=[("Who are you?", "One."), ("who are you", "Two.")])
    said = [bot.reply("Who are you").text for _ in range(3)]
    assert said == ["One.", "Two.", "One."]


# ---- the whole -----------------------------------------------------------------------


def test_a_model_is_saved_and_loaded(files: Path, learnt: Any, tmp_path: Path) -> None:
    bot = Bot(learnt[1], 0.4, read_answers(files / "answers.yml"))
    bot.save(tmp_path / "chat")
    again = Bot.load(tmp_path / "chat")
    for line in ("hello there old friend", "Who are you?", "rivers of Peru", "", "ёж"):
        found, expected = again.reply(line), bot.reply(line)
        assert (found.text, found.source) == (expected.text, expected.source)
    assert bot.reply("hello there old friend").source == "intent"
    assert bot.reply("where do you live").text == "In a folder."
    assert bot.reply("").text == UNKNOWN


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no chat model"):
        Bot.load(tmp_path)
    file = tmp_path / "chat.json"
    for text, match in (
        ("{", "no JSON"),
        ("[]", "no chat model"),
        ('{"format": "chainrule-chat", "version": 99}', "another version"),
        ('{"format": "chainrule-chat", "version": 1}', "damaged"),
    ):
        file.write_text(text)
        with pytest.raises(FormatError, match=match):
            Bot.load(tmp_path)


def test_files_of_a_folder_are_told_apart(files: Path) -> None:
    data = gather(str(files), Plan())
    assert data.intents is not None
    assert len(data.answers) == 4
    with pytest.raises(ArgumentError, match="learns from"):
        gather(None, Plan())
    with pytest.raises(DataError, match="two files"):
        gather(str(files), Plan(intents=str(files / "intents.json")))


def test_answers_alone_are_enough() -> None:
    outcome = learn(Data(answers=[("Why?", "So.")]), Plan())
    assert outcome.judgement is None
    assert outcome.bot.reply("why").text == "So."


def test_a_session_in_the_terminal(files: Path, tmp_path: Path) -> None:
    run = CliRunner()
    out = tmp_path / "run"
    arguments = ["train", "--task", "chat", "--out", str(out), "--epochs", "20"]
    given = ["--intents", str(files / "intents.json"), "--answers", str(files)]
    trained = run.invoke(app, [*arguments, *given])
    assert trained.exit_code == 0, trained.output
    assert "named right" in trained.output
    assert {"chat.json", "intents_curve.csv", "run.json"} <= {
        path.name for path in out.iterdir()
    }
    assert run.invoke(app, [*arguments, *given]).exit_code == 1
    lines = (
        "Who are you?\n/why\nhello my there good to see you now\n\nrivers of Peru\n"
        "/help\n/quit\nno\n"
    )
    talked = run.invoke(app, ["chat", str(out)], input=lines)
    assert talked.exit_code == 0, talked.output
    shown = talked.output.splitlines()
    assert shown[:2] == ["> Who are you?", "A program."]
    assert any(line.startswith("why: an answer") for line in shown)
    assert any("1.00 Who are you?" in line for line in shown)
    assert "I take this as greet." in shown
    assert shown[shown.index("> rivers of Peru") + 1] == UNKNOWN
    assert "> no" not in shown


def test_why_before_anything_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Bot(answers=[("Why?", "So.")]).save(tmp_path)
    chat_command.chat(tmp_path, io.StringIO("/why\nwhy\n"))
    assert "nothing was said yet" in capsys.readouterr().out


CLINC = "clinc150/clinc150_train_val.json.gz"


@pytest.mark.skipif(SETTINGS.data is None, reason="CHAINRULE_DATA is not set")
def test_clinc150_is_read() -> None:
    found = read_intents(Path(str(SETTINGS.data)) / CLINC)
    assert len(found.rows(held=False, inside=True)) == 15_000
    assert len(found.rows(held=True, inside=True)) == 3_000
    assert len(found.rows(held=True, inside=False)) == 100
