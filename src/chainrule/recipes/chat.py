"""A chat model: intents, answers and replies behind one folder.

What is said is answered, in this order: by the answer to a question that was asked in
other words, by a network that writes replies, by the name of the intent; and where
nothing of that is sure enough, by saying so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError, DataError, FormatError
from chainrule.models import load_model
from chainrule.recipes import text
from chainrule.recipes.chat_answers import AnswerIndex, Near
from chainrule.recipes.chat_data import (
    SYSTEM,
    USER,
    Dialogue,
    Intents,
    files_of,
    kind_of_chat,
    read_answers,
    read_dialogues,
    read_intents,
)
from chainrule.recipes.chat_dialogues import (
    DialoguePlan,
    Responder,
    Spoken,
    learn_dialogues,
)
from chainrule.recipes.chat_intents import (
    IntentNetwork,
    Judgement,
    curve_as_csv,
    judge,
    learn_intents,
)
from chainrule.training.files import write_atomically
from chainrule.training.run_record import write_record

FORMAT, VERSION = "chainrule-chat", 1
FILE = "chat.json"
INTENTS = "intents.chainrule"
ANSWERS = "answers.json"
DIALOGUES = "dialogues.chainrule"
REMEMBERED = 6  # turns that a reply is written behind
CURVE = "intents_curve.csv"
Show = Callable[[str], object]
UNKNOWN = "I do not know what you mean."
ENDINGS = (".json", ".jsonl", ".ndjson", ".yml", ".yaml", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Plan:
    """What a chat model learns from.

    Attributes:
        intents: a file of texts and intents.
        answers: a file or folder of questions and answers.
        dialogues: a file or folder of dialogues, turn by turn.
        seed: the same seed gives the same bits.
        epochs: passes over the texts of intents, and over the dialogues; None chooses.
    """

    intents: str | None = None
    answers: str | None = None
    dialogues: str | None = None
    seed: int = 0
    epochs: int | None = None


@dataclass
class Data:
    """What was read; None where nothing was given."""

    intents: Intents | None = None
    answers: list[tuple[str, str]] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)


@dataclass(frozen=True)
class Reply:
    """What a chat model says, and why.

    Attributes:
        text: what it says.
        source: `answer`, `dialogue`, `intent` or `unknown`.
        intents: the likeliest intents with their probabilities.
        nearest: the questions most like what was said.
        surprise: how unlike the dialogues it was, in nats for a token; None without a
            network that writes.
    """

    text: str
    source: str
    intents: list[tuple[str, float]]
    nearest: list[Near]
    surprise: float | None = None


class Bot:
    """A chat model.

    Args:
        network: names intents.
        threshold: the least probability of an intent that is believed.
        answers: questions and answers.
        responder: writes replies.

    Attributes:
        turns: what was said of the dialogue that is going on.

    Example:
        >>> bot = Bot(answers=[("Who are you?", "A program.")])
        >>> bot.reply("who are you").text, bot.reply("Is it raining?").text
        ('A program.', 'I do not know what you mean.')
    """

    def __init__(
        self,
        network: IntentNetwork | None = None,
        threshold: float = 0.5,
        answers: Sequence[tuple[str, str]] = (),
        responder: Responder | None = None,
    ) -> None:
        self.network = network
        self.threshold = threshold
        encode = None if network is None else network.encode
        self.answers = AnswerIndex(answers, encode) if answers else None
        self.responder = responder
        self.asked: Counter[str] = Counter()
        self.turns: list[tuple[str, str]] = []
        self.talking = False  # whether the last reply was one of a dialogue

    def reply(self, text: str) -> Reply:
        """What to say to a line.

        Args:
            text: the line.
        """
        text = text.strip()
        intents = self.network.likeliest(text) if self.network and text else []
        nearest = self.answers.nearest(text) if self.answers and text else []
        said, source = self._found(nearest)
        surprise = None
        if self.responder and text and (self.talking or source == "unknown"):
            history = [*self.turns[-REMEMBERED:], (USER, text)]
            surprise = self.responder.surprise_at(history)
            if surprise <= self.responder.surprise:
                said, source = (
                    self.responder.reply(history, len(self.turns)),
                    "dialogue",
                )
                self.turns += [(USER, text), (SYSTEM, said)]
        if source == "unknown" and intents and intents[0][1] >= self.threshold:
            said, source = f"I take this as {intents[0][0]}.", "intent"
        if source == "answer":
            self.asked[nearest[0].question] += 1
        self.talking = source == "dialogue"
        return Reply(said, source, intents, nearest, surprise)

    def forget(self) -> None:
        """Begin a new dialogue."""
        self.turns, self.talking = [], False

    def _found(self, nearest: list[Near]) -> tuple[str, str]:
        """The answer to the nearest question, if that is near enough."""
        if self.answers and nearest and nearest[0].similarity >= self.answers.threshold:
            near = nearest[0]
            # another answer where the question is asked again
            return near.answers[self.asked[near.question] % len(near.answers)], "answer"
        return UNKNOWN, "unknown"

    def save(self, folder: Path) -> None:
        """Write the parts of the model into a folder, `chat.json` last."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.network is not None:
            self.network.model.save(folder / INTENTS)
        if self.answers is not None:
            write_atomically(folder / ANSWERS, _as_json(self.answers.pairs))
        if self.responder is not None:
            self.responder.model.save(folder / DIALOGUES)
        settings = {
            "format": FORMAT,
            "version": VERSION,
            "intents": self.network is not None,
            "threshold": self.threshold,
            "answers": self.answers is not None,
            "dialogues": self.responder is not None,
        }
        write_atomically(folder / FILE, _as_json(settings))

    @classmethod
    def load(cls, folder: Path) -> Bot:
        """The chat model in a folder.

        Raises:
            ArgumentError: when there is none.
            FormatError: when it is damaged, or of a later version.
        """
        settings = _read_json(folder / FILE)
        told = isinstance(settings, dict)
        if not told or settings.get("format") != FORMAT:
            raise FormatError("this is no chat model", where=str(folder / FILE))
        if settings.get("version") != VERSION:
            raise FormatError(
                "the chat model is of another version",
                where=str(folder / FILE),
                got=settings.get("version"),
                expected=VERSION,
            )
        network = None
        if settings.get("intents"):
            network = IntentNetwork(load_model(folder / INTENTS))
        answers = _read_json(folder / ANSWERS) if settings.get("answers") else []
        try:
            pairs = [(str(question), str(answer)) for question, answer in answers]
            threshold = float(settings["threshold"])
        except (TypeError, ValueError, KeyError) as error:
            raise FormatError(
                "the chat model is damaged", where=str(folder), got=repr(error)
            ) from None
        responder = None
        if settings.get("dialogues"):
            responder = Responder(load_model(folder / DIALOGUES))
        return cls(network, threshold, pairs, responder)


def _as_json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=1).encode()


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise ArgumentError(
            "there is no chat model here",
            where=str(path),
            fix="chainrule train --task chat --intents FILE --answers FOLDER",
        )
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError("this is no JSON", where=str(path), got=str(error)) from None


# ---- learning ------------------------------------------------------------------------


def gather(source: str | None, plan: Plan) -> Data:
    """Read what a plan names, and the files of a folder by what they hold.

    Args:
        source: a file or folder whose kind is found out, or None.
        plan: what is named by kind.

    Raises:
        ArgumentError: when nothing is given.
        DataError: when a file cannot be read, or two hold intents.
    """
    if not any((source, plan.intents, plan.answers, plan.dialogues)):
        raise ArgumentError(
            "a chat model learns from intents, answers or dialogues",
            where="chainrule train --task chat",
            got="none of them",
            fix="--intents FILE --answers FOLDER --dialogues FILE",
        )
    data = Data()
    if plan.intents:
        data.intents = read_intents(Path(plan.intents), plan.seed)
    if plan.answers:
        data.answers += read_answers(Path(plan.answers))
    if plan.dialogues:
        data.dialogues += read_dialogues(Path(plan.dialogues))
    for file in files_of(Path(source), ENDINGS) if source else ():
        _add(data, file, plan.seed)
    return data


def _add(data: Data, file: Path, seed: int) -> None:
    """Read a file as what it holds."""
    kind = kind_of_chat(file)
    if kind == "answers":
        data.answers += read_answers(file)
    elif kind == "dialogues":
        data.dialogues += read_dialogues(file)
    elif data.intents is not None:
        raise DataError(
            "two files hold texts with intents",
            where=str(file),
            fix="name one of them: --intents FILE",
        )
    else:
        data.intents = read_intents(file, seed)


@dataclass(frozen=True)
class Outcome:
    """What came of learning.

    Attributes:
        bot: the model.
        judgement: how well intents are named; None without intents.
        histories: of the networks, by part.
        spoken: how well dialogues are foretold; None without dialogues.
    """

    bot: Bot
    judgement: Judgement | None
    histories: dict[str, Any]
    spoken: Spoken | None = None


def learn(data: Data, plan: Plan, show: Show = lambda line: None) -> Outcome:
    """Train what there are data for.

    Args:
        data: what was read.
        plan: how to learn.
        show: is told what is going on.

    Example:
        >>> data = Data(answers=[("Who are you?", "A program.")])
        >>> learn(data, Plan()).bot.reply("Who are you?").text
        'A program.'
    """
    network, judgement, threshold = None, None, 0.5
    histories = {}
    if data.intents is not None:
        show("learning intents")
        how = text.Plan(epochs=plan.epochs, seed=plan.seed)
        network, histories["intents"] = learn_intents(data.intents, how, show)
        judgement = judge(network, data.intents)
        threshold = judgement.threshold
    if data.answers:
        show("weighing questions")
    spoken = None
    stopped = any(history.interrupted for history in histories.values())
    if data.dialogues and not stopped:
        show("learning dialogues")
        write_so = DialoguePlan(epochs=plan.epochs, seed=plan.seed)
        spoken = learn_dialogues(data.dialogues, write_so, show)
        histories["dialogues"] = spoken.history
    responder = None if spoken is None else spoken.responder
    bot = Bot(network, threshold, data.answers, responder)
    return Outcome(bot, judgement, histories, spoken)


def write(folder: Path, outcome: Outcome, plan: Plan, results: dict[str, Any]) -> None:
    """Leave the model, its curve, the Histories and what was run in a folder."""
    outcome.bot.save(folder)
    if outcome.judgement is not None:
        curve = curve_as_csv(outcome.judgement.curve)
        write_atomically(folder / CURVE, curve.encode())
    for part, history in outcome.histories.items():
        history.to_csv(folder / f"{part}_history.csv")
    write_record(folder, plan=vars(plan), **results)
