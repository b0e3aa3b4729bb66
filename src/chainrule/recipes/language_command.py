"""The commands for language models: train, generate and evaluate."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.data.text_files import read_text
from chainrule.errors import ArgumentError, DataError
from chainrule.generation import TextGenerator, beam_search, steps_of
from chainrule.recipes.language import (
    BEST,
    Measures,
    Outcome,
    Plan,
    indented,
    is_writer,
    learn,
    measure,
    start_network,
)
from chainrule.recipes.language_data import (
    Corpus,
    encode,
    find_files,
    known_part,
    read_corpus,
)
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular_command import make_console
from chainrule.text import kept_tokenizer
from chainrule.training.files import write_atomically

__all__ = ["Writing", "evaluate", "is_writer", "train", "write"]

REPORT = "report.md"
TEMPERATURES = (0.5, 0.8, 1.0)  # of the samples in the report
SAMPLE = 300  # tokens of each
BEAM_TOKENS = 32  # tokens of beam search, by default


def train(path: str, plan: Plan, out: Path | None, resume: bool = False) -> bool:
    """Learn to write as a text does, show what came out, leave the folder of a run.

    Args:
        path: a file of text, several with commas between them, or a folder.
        plan: how to train.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()

    def show(line: str) -> None:
        console.print(line, markup=False)

    corpus = read_corpus(path, plan.tokenizer, plan.vocabulary_size)
    network = start_network(corpus, plan)
    show("\n".join(describe_corpus(corpus, network)) + "\n")
    folder = choose_folder(corpus.name, out, resume=resume)
    outcome = learn(corpus, plan, folder, show, network)
    show(f"\n{describe_outcome(outcome)}")
    samples = write_samples(outcome)
    show(indented(samples[1][1]))
    write_outcome(folder, path, corpus, plan, outcome, samples)
    show(f"the run is in {folder}, the model in {folder / MODEL}")
    show(f'  chainrule generate {folder} --prompt "..."')
    return bool(outcome.history.interrupted)


def describe_corpus(corpus: Corpus, network: Any) -> list[str]:
    """What there is to learn from, line by line."""
    size = corpus.tokenizer.vocabulary_size
    kinds = {"characters": "different characters", "byte_pair": "parts of words"}
    files = f" in {corpus.files:,} files" if corpus.files > 1 else ""
    kind = kinds[corpus.tokenizer.kind]
    return [
        f"{corpus.name}: {sum(corpus.characters):,} characters{files}, as tokens of "
        f"{size:,} {kind}",
        f"{len(corpus.train):,} tokens to learn from, the last "
        f"{len(corpus.validation):,} held out",
        f"{network.count_params():,} weights; the network sees "
        f"{network.notes['context']} tokens",
    ]


def describe_outcome(outcome: Outcome) -> str:
    """How training went, and how well the end of the text is foreseen."""
    steps = outcome.pace.steps
    done = len(outcome.history.epoch) * steps
    return (
        f"{done:,} steps in {outcome.seconds:,.0f} seconds; the best after "
        f"{outcome.best * steps:,}\n{describe_measures(outcome.measures)}"
    )


def describe_measures(measures: Measures) -> str:
    """The figures in a line."""
    return (
        f"held out: loss {measures.loss:.4f}, perplexity {measures.perplexity:.2f} a "
        f"token, {measures.bits_per_character:.3f} bits a character"
    )


def write_samples(outcome: Outcome) -> list[tuple[float, str]]:
    """What the network writes at several temperatures."""
    writer = TextGenerator(outcome.network)
    return [
        (degree, writer.generate("", SAMPLE, temperature=degree, seed=0))
        for degree in TEMPERATURES
    ]


def write_outcome(
    folder: Path,
    path: str,
    corpus: Corpus,
    plan: Plan,
    outcome: Outcome,
    samples: Sequence[tuple[float, str]],
) -> None:
    """Write the model, the History, figures, samples and the report."""
    numbers = {
        "data": [str(each.resolve()) for each in find_files(path)],
        "tokenizer": corpus.tokenizer.kind,
        "vocabulary": corpus.tokenizer.vocabulary_size,
        "tokens": {"train": len(corpus.train), "validation": len(corpus.validation)},
        "iterations": outcome.pace.iterations,
        "best_iteration": outcome.best * outcome.pace.steps,
        "seconds": outcome.seconds,
        "held_out": outcome.measures.figures(),
    }
    drawn = write_run(folder, outcome.network, outcome.history, plan, numbers)
    (folder / BEST).unlink(missing_ok=True)  # the model has these weights
    lines = [f"# {corpus.name}", "", *describe_corpus(corpus, outcome.network), ""]
    lines += [describe_outcome(outcome), ""]
    lines += ["![loss](loss.png)", ""] if drawn else []
    for degree, text in samples:
        lines += [f"## Written at temperature {degree}", indented(text)]
    write_atomically(folder / REPORT, "\n".join(lines).encode("utf-8", "replace"))


# ---- saved models --------------------------------------------------------------------


def check_writer(model: Any, source: Path) -> None:
    """Refuse a model that writes no text.

    Raises:
        ArgumentError: for such a one.
    """
    if not is_writer(model):
        raise ArgumentError(
            "this model writes no text",
            where=str(source),
            got=model.name,
            fix="chainrule train book.txt --task generate makes one that does",
        )


def evaluate(model: Any, path: str | None) -> None:
    """Measure how well a model foresees a text."""
    if path is None:
        raise ArgumentError(
            "say on which text to measure",
            where="DATA",
            fix="chainrule evaluate MODEL other.txt",
        )
    tokenizer = kept_tokenizer(model)
    text, strange = known_part(tokenizer, read_text(find_files(path)))
    tokens = encode(tokenizer, text)
    context = int(model.notes["context"])
    if len(tokens) <= context:
        raise DataError(
            "the text is too short to measure on",
            where=path,
            got=f"{len(tokens)} tokens",
            expected=f"more than the {context} that the model sees",
        )
    console = make_console()
    if strange:
        console.print(describe_strange(strange), markup=False)
    found = measure(model, tokens, len(text))
    console.print(f"{path}: {len(text):,} characters", markup=False)
    console.print(describe_measures(found), markup=False)


def describe_strange(strange: Sequence[str]) -> str:
    """Which characters were left out."""
    shown = " ".join(map(ascii, strange[:10])) + (" ..." if len(strange) > 10 else "")
    return f"left out, as the model does not know them: {shown}"


@dataclass(frozen=True)
class Writing:
    """How to write; see `chainrule.generation.Options`.

    Attributes:
        max_tokens: how many tokens at most; None for 500, of beam search 32.
        samples: how many texts.
        beams: follow so many texts and take the likeliest, without chance; None draws.
        seed: None for another text each time.
        stop: texts before which it ends.
        options: `temperature`, `top_k`, `top_p`, `repetition_penalty`.
    """

    max_tokens: int | None = None
    samples: int = 1
    beams: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    options: Any = None


def write(model: Any, prompt: str, how: Writing) -> Iterator[str]:
    """What a model writes behind a prompt, the prompt first, piece by piece.

    Args:
        model: see `check_writer`.
        prompt: the text to continue.
        how: how to write.

    Raises:
        ArgumentError: for options that make no sense together.
    """
    writer = TextGenerator(model)
    prompt, strange = known_part(writer.tokenizer, prompt)
    if strange:
        print(describe_strange(strange), file=sys.stderr)
    if how.beams is not None:
        yield from _by_beams(writer, prompt, how)
        return
    seed = secrets.randbits(32) if how.seed is None else how.seed
    most = 500 if how.max_tokens is None else how.max_tokens
    for number in range(how.samples):
        if how.samples > 1:
            yield f"--- {number + 1}\n"
        yield prompt
        # each sample is streamed by itself, and has a seed of its own
        yield from writer.stream(
            prompt, most, stop=how.stop, seed=seed + number, **(how.options or {})
        )
        yield "\n"


def _by_beams(writer: TextGenerator, prompt: str, how: Writing) -> Iterator[str]:
    """The likeliest texts that beam search finds."""
    given = [name for name, value in (how.options or {}).items() if value is not None]
    if given:
        raise ArgumentError(
            "beam search leaves nothing to chance",
            where="--beams",
            got=", ".join(f"--{name.replace('_', '-')}" for name in given),
        )
    beams = how.beams or 1
    steps = steps_of(writer.model)
    tokens = writer.tokenizer.encode(prompt or "\n").tolist()
    most = BEAM_TOKENS if how.max_tokens is None else how.max_tokens
    room = steps.length + 1 - most
    if room < 1 or most < 1:
        raise ArgumentError(
            "beam search stays within what the model sees",
            where="--max-tokens",
            got=most,
            expected=f"1 to {steps.length}",
        )
    if how.samples > beams:
        raise ArgumentError(
            "there are no more texts than beams",
            where="--samples",
            got=how.samples,
            fix=f"--beams {how.samples}",
        )
    end = writer.tokenizer.end
    (found,) = beam_search(
        steps,
        [tokens[-room:]],
        -1 if end is None else end,
        most,
        beams,
        n_best=how.samples,
    )
    for number, each in enumerate(found):
        if how.samples > 1:
            yield f"--- {number + 1}\n"
        yield f"{prompt}{writer.tokenizer.decode(each.tokens)}\n"
