"""The commands for translators: train, translate and evaluate."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes.images_report import as_markdown
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular_command import make_console
from chainrule.recipes.translation import Outcome, Plan, Problem, learn, pose
from chainrule.recipes.translation_data import Pairs, read_lines, read_pairs
from chainrule.recipes.translation_measures import Score, score
from chainrule.recipes.translator import Translator
from chainrule.training.files import write_atomically

REPORT, TRANSLATIONS = "report.md", "validation.tsv"
SHOWN = 5  # translations on the terminal
SAMPLES = 20  # in the report
MOST_MEASURED = 1000  # sentences that are translated after training


def train(
    data: str | None,
    source: str | None,
    target: str | None,
    validation: tuple[str | None, str | None],
    plan: Plan,
    out: Path | None,
    resume: bool = False,
) -> bool:
    """Learn from pairs of sentences, show what came out, leave the folder of a run.

    Args:
        data: see `read_pairs`.
        source: see `read_pairs`.
        target: see `read_pairs`.
        validation: two files of sentences to choose by; some of the others by default.
        plan: how to train.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    pairs = read_pairs(data, source, target)
    held_out = None
    if any(validation):
        held_out = read_pairs(None, *validation)
    problem = pose(pairs, held_out, plan)

    def show(line: str) -> None:
        console.print(line, markup=False)

    show("\n".join(describe_problem(problem)) + "\n")
    folder = choose_folder(pairs.name, out, resume=resume)
    outcome = learn(problem, plan, folder, show)
    show(f"\n{describe_training(problem, outcome)}")
    judged = judge(problem, outcome)
    for line in judged.lines(SHOWN):
        show(line)
    write_outcome(folder, problem, plan, outcome, judged)
    show(f"\nthe run is in {folder}, the model in {folder / MODEL}")
    show(f'  chainrule translate {folder} "{problem.train.sources[0]:.60}"')
    return bool(outcome.history.interrupted)


def describe_problem(problem: Problem) -> list[str]:
    """What there is to learn from, line by line."""
    batches, tokenizer = problem.batches, problem.tokenizer
    lines = [
        f"{problem.train.name}: {len(problem.train):,} pairs of sentences to learn "
        f"from, {len(problem.validation):,} to choose by",
        *(f"  - {count:,} left out: {why}" for why, count in problem.left_out.items()),
        f"a vocabulary of {tokenizer.vocabulary_size:,} parts of words, of both "
        "languages together",
        f"{len(batches):,} steps a pass; sentences of up to {batches.limits[-1]} "
        f"tokens in batches of {len(batches.limits)} lengths, {batches.filled:.0%} "
        "filled up",
    ]
    return lines


def describe_training(problem: Problem, outcome: Outcome) -> str:
    """The network and how it was trained, in a sentence."""
    network, epochs = outcome.network, len(outcome.history.epoch)
    return (
        f"{network.count_params():,} weights; {epochs} "
        f"epoch{'s' * (epochs != 1)} in {outcome.seconds / 60:.1f} minutes"
    )


class Judged:
    """Translations of sentences that were held out.

    Args:
        pairs: the sentences, and how people translated them.
        translations: those of the model.
        seconds: how long it took.

    Attributes:
        scores: BLEU and chrF.
    """

    def __init__(
        self, pairs: Pairs, translations: Sequence[str], seconds: float
    ) -> None:
        self.pairs = pairs
        self.translations = list(translations)
        self.seconds = seconds
        self.scores: list[Score] = score(translations, pairs.targets) if pairs else []

    def samples(self, count: int) -> list[tuple[str, str, str]]:
        """The first sentences, their translations, and those of people."""
        parts = self.pairs.sources, self.translations, self.pairs.targets
        return list(zip(*parts, strict=True))[:count]

    def lines(self, count: int) -> list[str]:
        """What to show: some translations, then the scores."""
        if not self.translations:
            return ["no sentences were held out, so that nothing was measured"]
        found = []
        for source, said, reference in self.samples(count):
            found += [f"\n  {source}", f"  -> {said}", f"     ({reference})"]
        return [*found, "", self.speed(), *map(str, self.scores)]

    def speed(self) -> str:
        """How many sentences were translated, and how fast."""
        count = len(self.translations)
        return f"{count:,} sentences translated in {self.seconds:.1f} seconds"


def judge(problem: Problem, outcome: Outcome) -> Judged:
    """Translate sentences that were held out, and measure that."""
    count = min(len(problem.validation), MOST_MEASURED)
    return measure(Translator(outcome.network), problem.validation.rows(range(count)))


def measure(translator: Translator, pairs: Pairs) -> Judged:
    """Translate sentences, and measure that."""
    started = time.monotonic()
    translations = translator.translate(pairs.sources)
    return Judged(pairs, translations, time.monotonic() - started)


def write_outcome(
    folder: Path, problem: Problem, plan: Plan, outcome: Outcome, judged: Judged
) -> None:
    """Write the model, the History, translations and the report."""
    numbers = {
        "data": problem.train.name,
        "pairs": {"train": len(problem.train), "validation": len(problem.validation)},
        "left_out": problem.left_out,
        "epochs": problem.epochs,
        "steps": len(problem.batches),
        "seconds": outcome.seconds,
        "held_out": [asdict(each) for each in judged.scores],
    }
    write_run(folder, outcome.network, outcome.history, plan, numbers)
    rows = judged.samples(len(judged.translations))
    text = "".join("\t".join(row) + "\n" for row in rows)
    write_atomically(folder / TRANSLATIONS, text.encode())
    report = "\n\n".join(report_parts(folder, problem, plan, outcome, judged))
    write_atomically(folder / REPORT, (report + "\n").encode())


def report_parts(
    folder: Path, problem: Problem, plan: Plan, outcome: Outcome, judged: Judged
) -> list[str]:
    """The paragraphs of the report."""
    best = "".join(f"- **{each.name} {each.value:.2f}**  `{each.signature}`\n"
                   for each in judged.scores)  # fmt: skip
    table = [["sentence", "translation", "by people"]]
    table += [list(row) for row in judged.samples(SAMPLES)]
    parts = [
        f"# {problem.train.name}",
        f"Sentences held out, {plan.beams} beams, penalty for length {plan.alpha}:",
        best.rstrip(),
        judged.speed() + "." if judged.translations else "",
        "## The sentences",
        "\n".join(f"- {line.strip(' -')}" for line in describe_problem(problem)),
        "## The network",
        describe_training(problem, outcome) + f"; seed {plan.seed}.",
        "![loss](loss.png)" if (folder / "loss.png").exists() else "",
        "## Translations",
        as_markdown(table) if judged.translations else "None: nothing was held out.",
    ]
    return [part for part in parts if part]


# ---- saved models --------------------------------------------------------------------


def evaluate(
    network: Any,
    data: str | None,
    source: str | None,
    target: str | None,
    beams: int | None = None,
    alpha: float | None = None,
) -> None:
    """Measure a saved translator on pairs of sentences.

    Raises:
        DataError: when there are none.
    """
    pairs = read_pairs(data, source, target)
    if not len(pairs):
        raise DataError("there are no sentences to measure on", where=pairs.name)
    console = make_console()
    judged = measure(Translator(network, beams, alpha), pairs)
    console.print(f"{pairs.name}: {judged.speed()}", markup=False)
    for each in judged.scores:
        console.print(str(each), markup=False)


def translate_file(translator: Translator, source: Path, out: Path) -> int:
    """Translate a file line by line; how many lines there were.

    Raises:
        ArgumentError: when the file cannot be written.
    """
    lines = read_lines(source)
    text = "".join(f"{line}\n" for line in translator.translate(lines))
    try:
        write_atomically(out, text.encode())
    except OSError as error:
        raise ArgumentError(
            "the translations cannot be written", where=str(out), got=error.strerror
        ) from None
    return len(lines)


def say(translator: Translator, text: str, n_best: int) -> Iterable[str]:
    """What to show as the translation of a text: one line, or several with scores."""
    if n_best == 1:
        return translator.translate([text])
    found = translator.alternatives(text, n_best)
    return [f"{score:.3f}\t{translation}" for score, translation in found]
