"""A translator of a toy language: words, told in the reverse order."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule
from chainrule.cli import app
from chainrule.errors import ArgumentError, DataError
from chainrule.models import load_model
from chainrule.recipes import translation_measures as measures
from chainrule.recipes.translation import Plan, epochs_for, learn, pose
from chainrule.recipes.translation_data import Pairs
from chainrule.recipes.translation_network import Size, build
from chainrule.recipes.translator import Translator, middle_place
from chainrule.text import Tokenizer, keep_tokenizer

WORDS = ["ba", "do", "gi", "fu", "le", "mo"]
PLAN = Plan(
    width=64, blocks=1, inner=64, learning_rate=4e-3, dropout=0.0, epochs=24, tokens=512
)


def reversals(count, seed=0):
    random = np.random.default_rng(seed)
    # lengths of few batches, so that little is compiled
    sources = [
        " ".join(random.choice(WORDS, random.integers(1, 5))) for _ in range(count)
    ]
    targets = [" ".join(source.split()[::-1]) for source in sources]
    return Pairs("toy", sources, targets)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A translator that has learnt, in the folder of its run."""
    folder = tmp_path_factory.mktemp("toy")
    problem = pose(reversals(900), reversals(40, 1), PLAN)
    lines = []
    outcome = learn(problem, PLAN, folder / "run", lines.append)
    outcome.network.save(folder / "run" / "model.chainrule")
    return folder / "run", outcome, lines


@pytest.fixture(scope="module")
def translator(run):
    return Translator(load_model(run[0] / "model.chainrule"))


def test_it_learns(run, translator):
    _, outcome, lines = run
    losses = outcome.history.history["loss"]
    assert losses[-1] < losses[0] / 2
    assert len(lines) == len(losses) <= PLAN.epochs
    fresh = reversals(60, 2)
    said = translator.translate(fresh.sources)
    right = np.mean([a == b for a, b in zip(said, fresh.targets, strict=True)])
    assert right > 0.9


def test_caches_give_what_the_whole_network_gives(run, translator):
    network = translator.network
    sources = np.array([[9, 4, 7, 5], [6, 8, 0, 0]], np.int32)
    tokens = np.array([[2, 6, 4, 9], [2, 9, 9, 5]], np.int32)
    whole = network({"source": sources, "target": tokens}).numpy()
    state = translator._steps.begin(sources, 5)
    for place in range(tokens.shape[1]):
        column = chainrule.asarray(tokens[:, place])
        logits, state = translator._steps.step(state, column)
        np.testing.assert_allclose(logits.numpy(), whole[:, place], atol=2e-4)


def test_what_fills_up_changes_nothing(translator):
    network = translator.network
    source, target = np.array([[9, 4, 7]]), np.array([[2, 6]])
    plain = network({"source": source, "target": target}).numpy()
    filled = network(
        {
            "source": np.pad(source, [(0, 0), (0, 5)]),
            "target": np.pad(target, [(0, 0), (0, 3)]),
        }
    ).numpy()
    np.testing.assert_allclose(filled[:, :2], plain, atol=2e-5)


def test_the_loss_is_that_of_the_tokens(run):
    outcome = run[1]
    sources, targets = np.array([[9, 4, 7], [6, 0, 0]]), np.array([[2, 6], [2, 9]])
    labels = np.array([[6, 3], [9, 0]])
    inputs = {"source": sources, "target": targets}
    plain = outcome.network.evaluate(inputs, labels, verbose=0)
    more = [(0, 0), (0, 4)]
    inputs = {"source": np.pad(sources, more), "target": np.pad(targets, more)}
    filled = outcome.network.evaluate(inputs, np.pad(labels, more), verbose=0)
    assert filled == pytest.approx(plain, rel=1e-5)


def test_texts_of_any_length(translator):
    assert translator.translate([]) == []
    assert translator.translate(["", "  \t"]) == ["", ""]
    long = ". ".join(["ba do gi"] * 60)
    said = translator.translate([long, "", "fu"])
    assert len(said[0].split()) > 60
    assert said[1:] == ["", "fu"]
    assert isinstance(translator.translate(["x" * 500])[0], str)


def test_translations_do_not_depend_on_their_company(translator):
    sources = reversals(70, 3).sources
    together = translator.translate(sources)
    assert translator.translate(sources) == together
    assert [translator.translate([each])[0] for each in sources[:4]] == together[:4]


def test_several_translations(translator):
    found = translator.alternatives("ba do", 3)
    assert found[0][1] == "do ba"
    scores = [score for score, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert len({text for _, text in found}) == 3
    assert translator.alternatives(" ", 3) == [(0.0, "")]


def test_one_beam_is_the_likeliest_token(run, translator):
    greedy = Translator(translator.network, beams=1)
    sources = reversals(20, 4).sources
    same = zip(greedy.translate(sources), translator.translate(sources), strict=True)
    assert np.mean([a == b for a, b in same]) > 0.8


def test_a_run_that_is_resumed_is_the_run_that_never_ended(tmp_path):
    plan = Plan(width=32, blocks=1, inner=32, epochs=4, tokens=256)
    problem = pose(reversals(80), reversals(10, 1), plan)
    whole = learn(problem, plan)

    def stop(line):
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    stopped = learn(problem, plan, tmp_path, stop)
    assert stopped.history.interrupted
    again = learn(problem, plan, tmp_path)
    assert len(again.history.epoch) == 4
    for a, b in zip(whole.network.weights, again.network.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_pairs_that_cannot_be_learnt_from():
    pairs = Pairs("p", ["a", "", "b c " * 300], ["x", "y", "z"])
    problem = pose(pairs, None, Plan(vocabulary=300, longest=50))
    assert len(problem.train) == 2
    assert sorted(problem.left_out.values()) == [1, 1]
    with pytest.raises(DataError, match="no pairs"):
        pose(Pairs("p", ["a"], [""]), None, PLAN)


def test_passes_by_the_number_of_tokens():
    assert epochs_for(1) > epochs_for(400_000) > epochs_for(10**9) > 0


def test_other_models_do_not_translate():
    with pytest.raises(ArgumentError, match="does not translate"):
        Translator(build(10, Size(8, 1, 1, 8), 0.0))


# ---- scripts without spaces ----------------------------------------------------------


def test_scripts_without_spaces():
    sources = ["一 二", "二 一", "一 一"] * 8
    targets = ["ひに", "にひ", "ひひ"] * 8
    plan = Plan(width=32, blocks=1, inner=32, epochs=1, tokens=256)
    problem = pose(Pairs("p", sources, targets), None, plan)
    network = learn(problem, plan).network
    said = Translator(network, beams=1).translate(["一 二"])
    assert isinstance(said[0], str)


def test_long_texts_are_divided_where_it_hurts_least():
    text = "Eins, zwei. Drei, vier, fünf."
    assert text[: middle_place(text)] == "Eins, zwei. "
    assert "一二。三四。"[: middle_place("一二。三四。")] == "一二。"
    assert middle_place("x" * 10) == 5
    assert "aa bb cc"[: middle_place("aa bb cc")] in ("aa ", "aa bb ")


# ---- measures ------------------------------------------------------------------------


def test_measures_are_those_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    said, true = ["a big cat sat there .", "no"], ["a big cat sat here .", "yes"]
    bleu, chrf = measures.score(said, true)
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(said, [true]).score)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(said, [true]).score)
    assert "tok:13a" in bleu.signature
    assert "BLEU" in str(bleu)
    assert measures.score(["一二三四五"], ["一二三四五"])[0].value == pytest.approx(100)


# ---- commands ------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    pairs = reversals(60)
    for name, lines in (("de", pairs.sources), ("en", pairs.targets)):
        text = "".join(f"{line}\n" for line in lines)
        (tmp_path / f"toy.{name}").write_text(text)
    return tmp_path


def invoke(*arguments, **options):
    found = CliRunner().invoke(app, list(map(str, arguments)), **options)
    assert found.exit_code == 0, found.output
    return found.output


def test_training_from_the_command_line(files):
    both = ("--source", files / "toy.de", "--target", files / "toy.en")
    out = files / "run"
    shown = invoke(
        *("train", "--task", "translate", *both, "--epochs", 1, "--out", out),
        *("--seed", 3, "--width", 32, "--blocks", 1),
    )
    assert "BLEU" in shown
    assert {"model.chainrule", "report.md", "run.json", "validation.tsv"} <= {
        path.name for path in out.iterdir()
    }
    assert json.loads((out / "run.json").read_text())["plan"]["seed"] == 3
    report = (out / "report.md").read_text()
    assert "chrF" in report
    assert "seed 3" in report
    shown = invoke("evaluate", out, *both, "--beams", 2)
    assert "60 sentences" in shown
    assert "BLEU" in shown


def test_translating_from_the_command_line(run, files):
    folder = run[0]
    assert invoke("translate", folder, "ba do").strip() == "do ba"
    lines = invoke("translate", folder, input="ba do\n\nle\n").splitlines()
    assert lines == ["do ba", "", "le"]
    out = files / "out.txt"
    invoke("translate", folder, "--file", files / "toy.de", "--out", out, "--beams", 2)
    assert len(out.read_text().splitlines()) == 60
    several = invoke("translate", folder, "ba do", "--n-best", 2).splitlines()
    assert len(several) == 2
    assert several[0].endswith("\tdo ba")


def test_wrong_commands(run):
    folder = run[0]
    for arguments in (("--file", "x"), ("text", "--file", "x", "--out", "y")):
        found = CliRunner().invoke(app, ["translate", str(folder), *arguments])
        assert found.exit_code == 1
    found = CliRunner().invoke(app, ["predict", str(folder), "ba"])
    assert "chainrule translate" in found.output


def test_tokenizers_are_kept_in_the_model(run):
    model = load_model(run[0] / "model.chainrule")
    again = Tokenizer.train(["x"], kind="characters")
    keep_tokenizer(model, again, "other")
    assert Translator(model).tokenizer.vocabulary_size > again.vocabulary_size


def test_without_sacrebleu_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['sacrebleu'] = None\n"
        "from chainrule.recipes.translation_measures import score\n"
        "try:\n    score(['a'], ['a'])\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "DependencyError" in found.stdout
    assert "chainrule[text]" in found.stdout
