"""The benchmarks run, end to end, on a little of each workload."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import limits, page, report, sparse_rows, verdicts
from benchmarks.joining import joined
from benchmarks.measure import (
    Contest,
    Setup,
    Worker,
    measure_kernels,
    measure_startup,
)
from benchmarks.networks import Conv, Dropout, Residual, count_weights, walk
from benchmarks.results import Measured, Report, Startup, Trained
from benchmarks.systems import OURS, PEERS, REPOSITORY, SYSTEMS
from benchmarks.transport import workload_from, workload_text
from benchmarks.workloads import (
    DENSE,
    PICTURES,
    SEQUENCES,
    WORKLOADS,
    Workload,
    make_data,
)


def _little(name: str) -> Workload:
    """A few steps, the last one on fewer rows; of pictures a step or two."""
    workload = WORKLOADS[name]
    if name in PICTURES or name in SEQUENCES:
        size = min(workload.batch_size, 4)
        return replace(workload, batch_size=size, rows=(1 + workload.infers) * size)
    rows = workload.batch_size + workload.batch_size // 2
    few = (("keras", 1),) if workload.fits else ()
    fits = min(workload.fits, 2)
    return replace(workload, rows=rows, epochs=1, fits=fits, few_fits=few)


def _setup(environments: Path = REPOSITORY) -> Setup:
    return Setup(2, 1, 0.0, environments, lambda line: None)


# the same network three times, with a compilation of seconds each
LONG_TEXTS = [name for name in SEQUENCES if name.startswith("gpt_long")]


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in LONG_TEXTS])
def test_ours_trains_every_workload(name: str, tmp_path: Path) -> None:
    result = Contest(_setup(), _little(name), tmp_path).run([])
    ours = result.systems[OURS]
    assert ours.missing is None
    assert len(ours.seconds) == 1
    assert ours.warmup_seconds is not None
    assert ours.beyond_data_bytes is not None
    assert ours.beyond_data_bytes > 0
    assert ours.parameters == _parameters(WORKLOADS[name])
    assert WORKLOADS[name].infers or np.isfinite(ours.loss or np.nan)
    assert any(tmp_path.rglob("*")), "the cache of compiled code was not used"


@pytest.mark.parametrize("peer", [name for name in PEERS if SYSTEMS[name].trains])
def test_every_peer_trains(peer: str, tmp_path: Path) -> None:
    setup = _setup()
    missing = setup.missing(SYSTEMS[peer])
    if missing:
        pytest.skip(missing)
    result = Contest(setup, _little("tiny"), tmp_path).run([peer])
    measured = result.systems[peer]
    assert measured.missing is None
    assert measured.ratios == [measured.seconds[0] / result.systems[OURS].seconds[0]]
    assert measured.loss is not None
    assert np.isfinite(measured.loss)
    assert measured.parameters == result.systems[OURS].parameters


@pytest.mark.parametrize("name", [*PICTURES, *SEQUENCES])
@pytest.mark.parametrize("peer", ["torch", "keras", "jax", "onnxruntime"])
def test_networks_are_the_same_everywhere(peer: str, name: str, tmp_path: Path) -> None:
    setup, entry, workload = _setup(), SYSTEMS[peer], _little(name)
    if not entry.has_layers_of(workload):
        pytest.skip("has no such layers")
    if not (entry.trains or workload.infers):
        pytest.skip("only answers")
    if setup.missing(entry):
        pytest.skip(f"{setup.missing(entry)}")
    for array, letter in zip(make_data(workload), "xy", strict=True):
        np.save(tmp_path / f"{letter}.npy", array)
    worker = Worker(setup, entry, workload, tmp_path, tmp_path / "cache")
    worker.hello()
    found = worker.ask("parameters")["count"]
    worker.close()
    assert found == _parameters(workload)


def _parameters(workload: Workload) -> int:
    return count_weights(workload.layers, workload.shape)


def test_peers_see_the_loss_fall(tmp_path: Path) -> None:
    setup = _setup()
    present = [p for p in ("torch", "keras", "jax") if not setup.missing(SYSTEMS[p])]
    if not present:
        pytest.skip("no peer is there: make bench")
    workload = replace(WORKLOADS["cnn"], rows=256, batch_size=32, few_steps=())
    result = Contest(setup, workload, tmp_path).run(present)
    for name in present:
        assert result.systems[name].loss == pytest.approx(1.0, abs=0.9), name


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    result = Contest(_setup(tmp_path), _little("tiny"), tmp_path).run(["jax"])
    assert result.systems["jax"].missing == ".venv-bench-jax is not there: make bench"
    assert result.systems[OURS].missing is None


def test_a_peer_without_the_layers_is_left_out(tmp_path: Path) -> None:
    assert not SYSTEMS["sklearn"].has_layers_of(WORKLOADS["mlp_wide"])
    assert not SYSTEMS["sklearn"].has_layers_of(WORKLOADS["resnet20"])
    assert SYSTEMS["sklearn"].has_layers_of(WORKLOADS["mlp"])


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    broken = tmp_path / ".venv-bench-jax" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    broken.chmod(0o755)
    result = Contest(_setup(tmp_path), _little("tiny"), tmp_path).run(["jax"])
    assert result.systems["jax"].missing == "no such luck"


def test_who_only_answers_sits_training_out(tmp_path: Path) -> None:
    result = Contest(_setup(tmp_path), _little("cnn"), tmp_path).run(["onnxruntime"])
    assert list(result.systems) == [OURS]
    result = Contest(_setup(tmp_path), _little("resnet20_infer_1"), tmp_path).run(
        ["onnxruntime"]
    )
    assert result.systems["onnxruntime"].missing


def test_who_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    workload = replace(_little("tiny"), left_out=(("jax", "takes a minute"),))
    result = Contest(_setup(), workload, tmp_path).run(["jax"])
    assert result.systems["jax"].missing == "takes a minute"


def test_fewer_steps_are_told_at_the_pace_of_a_whole_run(tmp_path: Path) -> None:
    workload = replace(_little("tiny"), rows=96, few_steps=((OURS, 1),))
    ours = Contest(_setup(), workload, tmp_path).run([]).systems[OURS]
    assert ours.steps == 1
    trained = Trained("a network", 96, 3, 1.0, {OURS: ours})
    assert "runs of 1 of the 3 steps" in report.shortened(trained)[0]


def test_kernels_of_a_step_are_listed() -> None:
    text = measure_kernels(_setup(), _little("cnn"))
    assert "conv2d:contract" in text
    assert "of the limit" in text


def test_time_to_the_first_step() -> None:
    result = measure_startup(_setup(), [OURS])[OURS]
    assert result.missing is None
    assert len(result.cold) == len(result.warm) == 1
    assert result.warm[0] > 0


def test_workloads_survive_the_way_to_another_process() -> None:
    for workload in WORKLOADS.values():
        for sent in (workload, workload.quick(), _little(workload.name)):
            assert workload_from(workload_text(sent)) == sent


def test_data_are_the_same_each_time() -> None:
    for first, second in zip(*(make_data(_little("mlp")) for _ in "ab"), strict=True):
        np.testing.assert_array_equal(first, second)


def test_flops_of_a_step_are_counted() -> None:
    workload = replace(WORKLOADS["mlp"], rows=32)
    assert workload.flops() == 32 * (4 * 784 * 128 + 6 * 128 * 10)


def test_flops_of_convolutions_are_counted() -> None:
    workload = replace(WORKLOADS["cnn"], rows=1)
    first, second = 26 * 26 * 9 * 32, 11 * 11 * 9 * 32 * 64
    assert workload.flops() == 4 * first + 6 * second + 6 * 1600 * 10
    answers = replace(WORKLOADS["resnet20_infer_1"], rows=1)
    assert answers.flops() == pytest.approx(82e6, rel=0.02)


def test_networks_have_the_parameters_that_papers_tell() -> None:
    assert _parameters(WORKLOADS["cnn"]) == 320 + 18_496 + 16_010
    # He et al. round to 0.27 million
    assert _parameters(WORKLOADS["resnet20"]) == 269_722
    blocks = [x for x in WORKLOADS["resnet20"].layers if isinstance(x, Residual)]
    assert len(blocks) == 9


def test_pictures_can_be_learnt_mirrored() -> None:
    x, y = make_data(_little("unet"))
    assert x.shape[:-1] == y.shape
    x, y = make_data(replace(WORKLOADS["resnet20"], rows=400))
    means = np.stack([x[y == label].mean(0) for label in range(10)])
    both = np.concatenate([means, means[:, :, ::-1]])
    apart = np.abs(both[:, None] - both[None]).mean((2, 3, 4))
    assert apart[~np.eye(20, dtype=bool)].min() > 0.5


def test_flops_of_sequences_are_counted() -> None:
    workload = replace(WORKLOADS["lstm"], rows=1)
    state, inputs, last = 100 * 128 * 512, 100 * 32 * 512, 128 * 10
    assert workload.flops() == 6 * state + 4 * inputs + 6 * last
    network = replace(WORKLOADS["gpt_long"], rows=1)
    dense, scores = 12 * 128 * 128, 1_024 * 128
    products = 1_024 * (4 * (dense + scores) + 128 * 65)
    assert network.flops() == 6 * products


def test_words_are_those_of_texts() -> None:
    x, y = make_data(replace(WORKLOADS["encoder"], rows=50))
    lengths = (x != 0).sum(axis=1)
    assert x.max() < 10_000
    assert lengths.min() < 20
    assert lengths.max() > 100
    assert all((row[:n] != 0).all() for row, n in zip(x, lengths, strict=True))
    assert set(y) == {0, 1}
    x, y = make_data(replace(WORKLOADS["gpt"], rows=50))
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert x.max() < 65


def test_the_gpt_is_as_large_as_nanogpt() -> None:
    block = 12 * 128**2 + 13 * 128
    around = 65 * 128 + 64 * 128 + 2 * 128 + 128 * 65 + 65
    assert _parameters(WORKLOADS["gpt"]) == 4 * block + around


def test_memory_is_linear_or_not() -> None:
    def given(*held: int) -> Report:
        names = ("gpt_long_512", "gpt_long", "gpt_long_2048")
        measured = {
            name: Trained("a network", 1, 1, 1.0, {OURS: Measured("fit", [1.0])})
            for name in names
        }
        for name, size in zip(names, held, strict=True):
            measured[name].systems[OURS].beyond_data_bytes = size << 20
        return replace(_report(), workloads=measured, startup={})

    (linear,) = verdicts.verdicts(given(100, 150, 250))
    assert (linear.measured, linear.reached) == ("100, 150, 250 MiB", True)
    (square,) = verdicts.verdicts(given(100, 150, 350))
    assert not square.reached


def test_shapes_of_maps_are_those_of_padded_kernels() -> None:
    made = {
        layer: layer.result(shape)
        for layer, shape in walk(WORKLOADS["mobile"].layers, (96, 96, 3))
        if isinstance(layer, Conv)
    }
    assert [shape for shape in made.values() if shape[0] == 6] == [(6, 6, 512)] * 1


def test_dropout_is_what_the_wide_network_has() -> None:
    layers = WORKLOADS["mlp_wide"].layers
    assert [layer.rate for layer in layers if isinstance(layer, Dropout)] == [0.2] * 3


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ([], "rows used"),
        (["--dense"], "all rows"),
        (["--single"], "rows used, single batches"),
    ],
)
def test_steps_by_the_size_of_a_vocabulary(
    options: list[str],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sparse_rows.measure, "__defaults__", (1, 0.01))
    sparse_rows.main(["chainrule", "50", *options])
    name, _, milliseconds = capsys.readouterr().out.partition(": ")
    assert name == f"chainrule 50 {kind}"
    assert 0 < float(milliseconds.removesuffix(" ms\n")) < 1000


def test_limits_are_those_of_a_machine() -> None:
    found = limits.measure_limits(2, turns=20_000, elements=1 << 16)
    assert found["fma_gflops_one_thread"] > 0.1
    assert found["fma_gflops"] > 0.1
    assert found["triad_gbytes"] > 0.1


def _report() -> Report:
    ours = Measured("fit", [1.0, 3.0, 2.0], loss=0.5, beyond_data_bytes=100)
    jax = Measured("scan", [3.0], [1.4], loss=0.5, beyond_data_bytes=200)
    torch = Measured("eager", [12.0], [6.0], loss=0.5, beyond_data_bytes=300)
    keras = Measured("fit", missing="is not there")
    systems = {OURS: ours, "jax": jax, "torch": torch, "keras": keras}
    mlp = Trained("a network", 60_000, 1_875, 4e9, systems)
    wide = Trained("a wide one", 20_000, 157, 2e9, dict(systems))
    return Report(
        command="python -m benchmarks mlp",
        date="2026-01-02T03:04:05+00:00",
        quick=False,
        threads=2,
        repeats=3,
        machine={
            "processor": "a processor",
            "architecture": "x86_64",
            "cores": 2,
            "memory_gib": 8.0,
            "system": "Linux",
            "python": "3.11",
        },
        limits={
            "fma_gflops": 1.25,
            "fma_gflops_one_thread": 1.0,
            "triad_gbytes": 10.0,
        },
        load_average=0.1,
        workloads={"mlp": mlp, "mlp_wide": wide},
        startup={
            OURS: Startup([2.0], [0.9]),
            "jax": Startup([1.5], [1.0]),
            "torch": Startup([], [4.0]),
        },
    )


def test_verdicts_are_drawn_from_medians_and_ratios() -> None:
    found = {(v.workload, v.wanted): v for v in verdicts.verdicts(_report())}
    assert not found["mlp", "1.5 times as fast as jax"].reached
    assert found["mlp", "5 times as fast as torch"].reached
    assert ("mlp", "15 times as fast as keras") not in found
    nearest = found["mlp_wide", "1.2 times as fast as the fastest peer"]
    assert (nearest.measured, nearest.reached) == ("1.40 times jax", True)
    share = found["mlp_wide", "70% of the multiply-add limit"]
    assert (share.measured[:3], share.reached) == ("80%", True)
    assert found["mlp_wide", "less memory than any peer"].reached
    assert found["startup", "1 s, cache warm"].reached
    first = found["startup", "ahead of every peer, all caches cold"]
    assert (first.measured, first.reached) == ("2.00 s; jax: 1.50 s", False)


def test_the_page_holds_the_command_and_every_figure() -> None:
    text = page.page_text(_report())
    command = "$ .venv/bin/python -m benchmarks mlp --page docs/performance.md\n"
    assert command in text
    row = "| **chainrule** | 2.0000 | 1 | 1066.7 | - | 0 | 0.5000 |"
    assert row in text
    assert "| keras | - | - | - | - | - | - |\n\nkeras: is not there." in text
    assert "**missed**" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_command_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    status = command.main(
        ["sweep", "--peers", "", "--quick", "--repeats", "1", "--json", str(file)]
    )
    figures = json.loads(file.read_text())
    assert status == 0
    assert figures["schema"] == 1
    ours = figures["workloads"]["sweep"]["systems"][OURS]
    assert len(ours["seconds"]) == 1
    assert ours["time_growth"] is not None


def test_reports_of_several_calls_are_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _report()
    files = []
    for number, name in enumerate(whole.workloads, start=1):
        part = replace(
            whole,
            command=f"python -m benchmarks {name}",
            load_average=float(number),
            workloads={name: whole.workloads[name]},
            startup=whole.startup if number == 1 else {},
        )
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(asdict(part)))
    found = joined(files)
    assert found.load_average == 2.0
    assert replace(found, command="", load_average=0.1) == replace(whole, command="")
    sheet = tmp_path / "page.md"
    command.main(["--join", *map(str, files), "--page", str(sheet)])
    text = sheet.read_text()
    assert "$ .venv/bin/python -m benchmarks mlp --json 1.json\n" in text
    assert "--join 1.json 2.json --page docs/page.md\n" in text
    assert page.workloads_of(sheet) == ["mlp", "mlp_wide", "startup"]
    capsys.readouterr()
    for wrong, said in (([files[0], files[0]], "more than one"), ([sheet], "")):
        with pytest.raises(SystemExit):
            command.parse(["--join", *map(str, wrong)])
        assert said in capsys.readouterr().err


def test_names_stand_for_several() -> None:
    assert command.parse(["pictures"]).workloads == list(PICTURES)
    assert command.parse(["dense"]).workloads == [*DENSE, "startup"]
    chosen = command.parse(["resnet20_infer", "cnn"])
    assert chosen.workloads == ["resnet20_infer_1", "resnet20_infer_64", "cnn"]
    assert command._command(chosen).endswith(
        "benchmarks resnet20_infer cnn --repeats 5"
    )


def test_a_page_does_not_lose_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.md"
    file.write_text(page.page_text(_report(), file.name))
    assert page.workloads_of(file) == ["mlp", "mlp_wide", "startup"]
    with pytest.raises(SystemExit):
        command.parse(["cnn", "mlp", "--page", str(file)])
    assert "has the figures of mlp_wide, startup" in capsys.readouterr().err
    assert command.parse(["dense", "--page", str(file)]).page == file


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["mpl"], ["--peers", "jex"]):
        with pytest.raises(SystemExit):
            command.parse(arguments)
        assert arguments[-1] in capsys.readouterr().err


def test_the_command_is_told_without_folders() -> None:
    chosen = command.parse(["mlp", "--json", "some/file", "--repeats", "3"])
    expected = "python -m benchmarks mlp --repeats 3"
    assert command._command(chosen) == expected


def test_torch_comes_with_both_its_ways() -> None:
    assert command.parse(["--peers", "torch"]).peers == ["torch", "torch-compile"]


def test_rows_of_tables_fit_their_columns() -> None:
    for trained in _report().workloads.values():
        for name, measured in trained.systems.items():
            assert len(report.cells(name, trained, measured)) == len(report.COLUMNS)
