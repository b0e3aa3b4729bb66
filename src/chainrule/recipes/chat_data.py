"""What a chat model learns from: intents, answers and dialogues, read from files."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.records import JSON, JSON_LINES, Records, kind_of_file, read_records
from chainrule.data.text_files import read_text
from chainrule.errors import DataError, DependencyError

Pair = tuple[str, str]
Dialogue = list[Pair]  # who speaks, and what is said

YAML = (".yml", ".yaml")
TABLES = (".csv", ".tsv", ".tab", ".parquet", *JSON, *JSON_LINES)
USER, SYSTEM = "user", "system"
USERS = ("user", "human", "customer", "usr", "client", "caller", "person", "guest")
TURNS = ("turns", "dialogue", "dialog", "messages", "conversation", "conversations")
SPEAKERS = ("speaker", "role", "from", "author", "name")
WORDS = ("text", "utterance", "content", "value", "message")
QUESTIONS = ("question", "questions", "q", "prompt", "input", "instruction", "context")
ANSWERS = ("answer", "answers", "a", "response", "reply", "output", "completion")
TEXTS = ("text", "utterance", "sentence", "query", "message", "question")
LABELS = ("intent", "label", "class", "category", "target", "topic")
NOWHERE = frozenset(("oos", "out_of_scope", "out-of-scope", "out of scope", "ood"))
HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|dev|test)([^a-z]|$)")
HELD_SHARE = 0.1


@dataclass(frozen=True)
class Intents:
    """Texts and what was meant by them.

    Attributes:
        texts: what people said.
        names: what they meant; None for what is out of scope.
        held: true for what is kept from learning.
    """

    texts: list[str]
    names: list[str | None]
    held: np.ndarray[Any, Any]

    def rows(self, held: bool, inside: bool) -> list[int]:
        """Places of texts: held out or not, in scope or not."""
        return [
            place
            for place, name in enumerate(self.names)
            if self.held[place] == held and (name is not None) == inside
        ]


# ---- intents -------------------------------------------------------------------------


def read_intents(path: Path, seed: int = 0) -> Intents:
    """Texts with their intents, of a table or of JSON by parts.

    A part called `val`, `dev` or `test` is kept from learning; without one, a tenth of
    each intent is. An intent called `oos` or `out_of_scope` is none.

    Args:
        path: CSV, TSV, Parquet, JSON or JSON lines; see `read_records`.
        seed: decides what is kept from learning.

    Raises:
        DataError: when the file has no columns of texts and intents.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "some.json")
        >>> parts = {"train": [["hi", "greet"], ["bye", "go"]], "val": [["?", "oos"]]}
        >>> _ = path.write_text(json.dumps(parts))
        >>> found = read_intents(path)
        >>> found.names, found.held.tolist()
        (['greet', 'go', None], [False, False, True])
    """
    records = read_records(path)
    text, label = _text_and_label(records)
    texts, names, places = [], [], []
    rows = zip(records.columns[text], records.columns[label], strict=True)
    for place, (said, name) in enumerate(rows):
        if said and said.strip() and name and name.strip():
            outside = name.strip().lower() in NOWHERE
            texts.append(said.strip())
            names.append(None if outside else name.strip())
            places.append(place)
    if len({name for name in names if name is not None}) < 2:
        raise DataError(
            "there are fewer than two intents to tell apart",
            where=str(path),
            got=f"column {label!r}",
            expected="a text and its intent in every row",
        )
    return Intents(texts, names, _held_out(records.part, places, names, seed))


def _held_out(
    part: list[str] | None, places: list[int], names: Sequence[str | None], seed: int
) -> np.ndarray[Any, Any]:
    """What is kept from learning."""
    if part is not None:
        marks = [bool(HELD_OUT.search(part[place].lower())) for place in places]
        if any(marks) and not all(marks):
            return np.array(marks)
    held = np.zeros(len(names), bool)
    generator = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        groups.setdefault(name or "", []).append(place)
    for group in groups.values():
        count = int(len(group) * HELD_SHARE + 0.5)
        held[generator.permutation(group)[:count]] = True
    return held


def _text_and_label(records: Records) -> tuple[str, str]:
    """The columns of texts and of intents: by name, else the longer one is the text."""
    names = records.names
    label = _by_name(names, LABELS)
    text = _by_name([name for name in names if name != label], TEXTS)
    if len(names) < 2:
        raise DataError(
            "texts and intents are two columns",
            where=records.source,
            got=", ".join(names) or "none",
            expected="such as text, intent",
        )
    if text and label:
        return text, label
    lengths = {n: sum(len(c or "") for c in records.columns[n]) for n in names}
    longest = text or max((n for n in names if n != label), key=lambda n: lengths[n])
    others = [name for name in names if name != longest]
    return longest, label or others[-1]


def _by_name(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    lower = {name.strip().lower(): name for name in names}
    return next((lower[name] for name in wanted if name in lower), None)


# ---- answers -------------------------------------------------------------------------


def read_answers(path: Path) -> list[Pair]:
    """Questions with their answers, of a file or of all files of a folder.

    YAML of conversations as the ChatterBot corpus has them, in which every line answers
    the one before it, or YAML of questions and answers; tables and JSON with a column
    of each.

    Args:
        path: a file or a folder.

    Raises:
        DataError: when nothing of that kind is found.
        DependencyError: for YAML, when PyYAML is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "faq.csv")
        >>> _ = path.write_text("question,answer\\nAre you open?,From nine to five.\\n")
        >>> read_answers(path)
        [('Are you open?', 'From nine to five.')]
    """
    found: list[Pair] = []
    files = files_of(path, (*YAML, *TABLES))
    if path.is_dir():
        files = [file for file in files if kind_of_chat(file) == "answers"]
    for file in files:
        found += _answers_of(file)
    found = [(q.strip(), a.strip()) for q, a in found if q.strip() and a.strip()]
    if not found:
        raise DataError(
            "there are no questions with answers",
            where=str(path),
            expected="YAML of conversations, or a table with question and answer",
        )
    return list(dict.fromkeys(found))


def files_of(path: Path, endings: Sequence[str]) -> list[Path]:
    """A file, or the files of a folder that have one of these endings, in order.

    Raises:
        DataError: when there are none.
    """
    if path.is_file():
        return [path]
    inside = sorted(path.rglob("*")) if path.is_dir() else []
    found = [f for f in inside if f.is_file() and kind_of_file(f) in endings]
    if not found:
        raise DataError(
            "there is no such file, and no folder with files of this kind",
            where=str(path),
            expected=", ".join(endings),
        )
    return found


def _answers_of(file: Path) -> list[Pair]:
    if kind_of_file(file) in YAML:
        return list(_yaml_pairs(read_yaml(file), str(file)))
    records = read_records(file, known=("question", "answer"))
    question = _by_name(records.names, QUESTIONS)
    answer = _by_name(records.names, ANSWERS)
    if (question is None or answer is None) and len(records.names) == 2:
        if records.header and kind_of_file(file) not in (*JSON, *JSON_LINES):
            records = read_records(file, header=False)  # these names were none
        question, answer = records.names
    if question is None or answer is None:
        raise DataError(
            "it is not told which columns hold questions and answers",
            where=str(file),
            got=", ".join(records.names),
            expected="columns called question and answer, or two columns",
        )
    columns = records.columns[question], records.columns[answer]
    return [(q or "", a or "") for q, a in zip(*columns, strict=True)]


def read_yaml(file: Path) -> Any:
    """What a YAML file holds: numbers, text, lists and mappings, and never code.

    Raises:
        DependencyError: when PyYAML is not installed.
        DataError: when the file is no YAML.
    """
    try:
        import yaml  # noqa: PLC0415 - an optional package
    except ImportError:
        raise DependencyError(
            "files of YAML are read by PyYAML, which is not installed",
            where=str(file),
            fix="pip install 'chainrule[text]'",
        ) from None
    try:
        return yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise DataError(
            "this is no YAML", where=str(file), got=str(error)[:200]
        ) from None


def _yaml_pairs(data: Any, where: str) -> Iterator[Pair]:
    """Pairs of lines that follow one another; of questions and answers by name."""
    if isinstance(data, Mapping):
        nested = next((data[k] for k in ("conversations", *TURNS) if k in data), None)
        if nested is None:
            for question, answer in data.items():
                if isinstance(answer, str):
                    yield str(question), answer
            return
        data = nested
    for entry in data if isinstance(data, list) else ():
        if isinstance(entry, Mapping):
            question = _by_name([*map(str, entry)], QUESTIONS)
            answer = _by_name([*map(str, entry)], ANSWERS)
            if question and answer:
                yield str(entry[question]), str(entry[answer])
        elif isinstance(entry, list):
            lines = [str(line) for line in entry if isinstance(line, (str, int, float))]
            yield from itertools.pairwise(lines)


# ---- dialogues -----------------------------------------------------------------------


def read_dialogues(path: Path) -> list[Dialogue]:
    """Dialogues, turn by turn, of JSON or of JSON lines.

    A dialogue is a list of turns, or an object that holds one as `turns`, `messages`,
    `dialogue` or `conversation`. A turn is `[speaker, text]`, an object with both, or
    text, where user and system take turns.

    Args:
        path: a file or a folder.

    Raises:
        DataError: when there are no dialogues.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "some.jsonl")
        >>> _ = path.write_text('{"turns": [["USER", "Hi"], ["SYSTEM", "Hello!"]]}')
        >>> read_dialogues(path)
        [[('user', 'Hi'), ('system', 'Hello!')]]
    """
    found = []
    for file in files_of(path, (*JSON_LINES, *JSON)):
        for number, entry in enumerate(_entries(file), 1):
            turns = _turns(entry)
            if turns is None:
                raise DataError(
                    "this is no dialogue",
                    where=f"{file}, entry {number}",
                    got=json.dumps(entry, ensure_ascii=False)[:120],
                    expected='{"turns": [["USER", "Hi"], ["SYSTEM", "Hello!"]]}',
                )
            found.append(turns)
    found = [turns for turns in found if len(turns) > 1]
    if not found:
        raise DataError("there are no dialogues", where=str(path), got="no turns")
    return found


def _entries(file: Path) -> list[Any]:
    text = read_text(file)
    try:
        if kind_of_file(file) in JSON_LINES:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "this is no JSON", where=str(file), got=str(error)[:200]
        ) from None
    if isinstance(data, Mapping) and _turns(data) is None:
        nested = [
            each for part in data.values() if isinstance(part, list) for each in part
        ]
        return nested
    return data if isinstance(data, list) else [data]


def _turns(entry: Any) -> Dialogue | None:
    """The turns of a dialogue; None for what is none."""
    if isinstance(entry, Mapping):
        held = next((entry[key] for key in TURNS if key in entry), None)
        return None if held is None else _turns(held)
    if not isinstance(entry, list):
        return None
    turns: Dialogue = []
    first = None
    for number, turn in enumerate(entry):
        speaker, said = _turn(turn, number)
        if said is None:
            return None
        first = speaker if first is None else first
        told = speaker.lower()
        known = any(
            isinstance(turn, (list, Mapping)) and _turn(turn, 0)[0].lower() in USERS
            for turn in entry[:8]
        )
        is_user = told in USERS if known else speaker == first
        who = USER if is_user else SYSTEM
        if said.strip():
            turns.append((who, " ".join(said.split())))
    return turns


def _turn(turn: Any, number: int) -> tuple[str, str | None]:
    """Who speaks and what is said."""
    if isinstance(turn, str):
        return (USER, SYSTEM)[number % 2], turn
    if (
        isinstance(turn, list)
        and len(turn) == 2
        and all(isinstance(x, str) for x in turn)
    ):
        return turn[0], turn[1]
    if isinstance(turn, Mapping):
        names = {str(key).lower(): value for key, value in turn.items()}
        said = next((names[key] for key in WORDS if key in names), None)
        speaker = next((names[key] for key in SPEAKERS if key in names), None)
        if isinstance(said, str):
            return str((USER, SYSTEM)[number % 2] if speaker is None else speaker), said
    return "", None


# ---- which is which ------------------------------------------------------------------


def kind_of_chat(path: Path) -> str:
    """What a file holds: `intents`, `answers` or `dialogues`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "some.csv")
        >>> _ = path.write_text("text,intent\\nhi,greet\\nbye,leave\\n")
        >>> kind_of_chat(path)
        'intents'
    """
    kind = kind_of_file(path)
    if kind in YAML:
        return "answers"
    if kind in (*JSON, *JSON_LINES):
        entries = _entries(path)[:20]
        if entries and all(_is_dialogue(entry) for entry in entries):
            return "dialogues"
    names = read_records(path, known=("question", "answer")).names
    both = _by_name(names, ANSWERS) and _by_name(names, QUESTIONS)
    return "answers" if both and not _by_name(names, LABELS) else "intents"


def _is_dialogue(entry: Any) -> bool:
    if (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, str) for part in entry)
    ):
        return False  # a text and its intent
    return _turns(entry) is not None
