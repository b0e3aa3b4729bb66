"""The command line: train, evaluate, predict, detect, summary, demo."""

from __future__ import annotations

import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

import chainrule
from chainrule.errors import ArgumentError, ChainruleError
from chainrule.models import load_model
from chainrule.recipes import demo as demonstration
from chainrule.recipes import (
    detection_command,
    images_command,
    images_data,
    tabular_command,
    use_model,
)
from chainrule.recipes.detection import Plan as DetectionPlan
from chainrule.recipes.detection_network import is_detector
from chainrule.recipes.detection_use import Suppression
from chainrule.recipes.images import Plan as PicturesPlan
from chainrule.recipes.images_network import TASK as CLASSIFY
from chainrule.recipes.images_network import is_classifier
from chainrule.recipes.options import (
    read_names,
    read_picture_options,
    read_size,
    read_training,
)
from chainrule.recipes.perceptron import Plan, build, load_images
from chainrule.recipes.perceptron import train as train_images
from chainrule.recipes.pictures import shades_for
from chainrule.recipes.run_folder import MODEL, choose_folder, find_model, write_run
from chainrule.recipes.tabular import Plan as TablePlan

DETECTION = {each.name for each in fields(DetectionPlan)}  # the options that it takes
PICTURES = {each.name for each in fields(PicturesPlan)}
DENSE = "mlp"  # the model without convolutions
INTERRUPTED = 130  # what a shell reports for Ctrl-C


class Lessons(TyperGroup):
    """Commands whose errors are printed as they are, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of the library ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except ChainruleError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


class Data(StrEnum):
    """A data set of small images, for networks of dense layers."""

    digits = "digits"
    mnist = "mnist"


DATA_SETS = ["digits", *images_data.DATA_SETS]

app = typer.Typer(
    cls=Lessons,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ModelPath = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model's file, or the folder of a run."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Train neural networks by backpropagation, and see how they learn."""


# ---- options -------------------------------------------------------------------------

Target = Annotated[
    str | None,
    typer.Option(help="Table: the column to predict, by name or place; -1 is last."),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        "--image",
        help="Table of pictures: the column with their files.",
        metavar="NAME",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="Table: binary, classes or regression. Pictures: classify or detect.",
        show_default="found",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="Pictures: auto, cnn, lenet5, resnet20, resnet32, resnet18, mobilenet; "
        "mlp for digits and mnist.",
    ),
]
PictureSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|HEIGHTxWIDTH",
        help="Pictures: the size that the network sees.",
        show_default="by the pictures",
    ),
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        help="Pictures: changes while training, such as crop,flip; or none.",
        show_default="by the pictures",
    ),
]
Start = Annotated[
    Path | None,
    typer.Option("--from", help="Pictures: a run whose network gets new classes."),
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="With --from: only the last layer learns.")
]
Damaged = Annotated[
    str, typer.Option(help="Pictures: skip damaged files, or refuse them.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Table: columns not to learn from, such as a,b."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(help="Table: columns to learn from, whatever they look like."),
]
Header = Annotated[
    bool | None,
    typer.Option(
        help="Table: whether the first row is headings.", show_default="found"
    ),
]
Missing = Annotated[
    list[str] | None,
    typer.Option(help="Table: texts that stand for a missing value, beyond '?', NA."),
]
Budget = Annotated[
    float, typer.Option(min=1, help="Table: seconds that the network may train.")
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Passes over the data.", show_default="by the data; mlp: 10"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Rows of a step.", show_default="by the data; mlp: 32"),
]
Hidden = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WIDTHS",
        help="Table, mlp: widths of the hidden layers, such as 128,64.",
        show_default="mlp: 128, table: by rows",
    ),
]
Activation = Annotated[str, typer.Option(help="mlp: of the hidden layers.")]
OptimizerName = Annotated[
    str, typer.Option("--optimizer", help="mlp: such as sgd, adamw, muon.")
]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Size of a step.", show_default="the optimizer's own"),
]
Dropout = Annotated[
    float | None,
    typer.Option(
        help="Table, mlp: share of hidden units dropped in each step.",
        show_default="mlp: 0, table: by rows",
    ),
]
FlipVertical = Annotated[
    bool,
    typer.Option(
        "--flip-vertical",
        help="Detection: learn from pictures turned upside down as well.",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same bits.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the run. [default: runs/NAME, runs/NAME-2, ...]"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was cut short.")
]


Overlap = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Detection: of two boxes of a class that may be of two objects.",
        show_default=str(Suppression().overlap),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--suppression",
        help="Detection: what becomes of boxes that overlap a better one more: hard "
        "drops them, linear and gaussian lower their scores.",
        show_default=Suppression().method,
    ),
]
AcrossClasses = Annotated[
    bool,
    typer.Option(
        "--across-classes",
        help="Detection: boxes of different classes rule out one another, too.",
    ),
]


def read_suppression(
    overlap: float | None, method: str | None, across_classes: bool
) -> Suppression | None:
    """How boxes of the same object are told apart; None where nothing is said."""
    if overlap is None and method is None and not across_classes:
        return None
    usual = Suppression()
    return Suppression(
        usual.overlap if overlap is None else overlap,
        cast(Any, usual.method if method is None else method),
        not across_classes,
    )


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Pictures: a folder or zip with a folder for every class, or with "
            "annotations of VOC or COCO; mnist, fashion_mnist, cifar10 or digits. A "
            "table: a CSV or Parquet file.",
        ),
    ],
    target: Target = None,
    image: ImageColumn = None,
    task: Task = None,
    model: ModelName = "auto",
    size: PictureSize = None,
    augment: Augment = None,
    damaged: Damaged = "skip",
    start: Start = None,
    freeze: Freeze = False,
    exclude: Exclude = None,
    keep: Keep = None,
    header: Header = None,
    missing: Missing = None,
    time_budget: Budget = 120.0,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    hidden: Hidden = None,
    activation: Activation = "relu",
    optimizer_name: OptimizerName = "adam",
    learning_rate: LearningRate = None,
    dropout: Dropout = None,
    flip_vertical: FlipVertical = False,
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train a network on pictures or on a table of your own.

    A folder with the model and its History is left behind.
    """
    chosen = read_training(epochs, batch_size, hidden, learning_rate, dropout)
    dense = data == "digits" or model == DENSE or (data == "mnist" and hidden)
    task = choose_task(data, task, image)
    if task == detection_command.TASK:
        found = {**chosen, "flip_vertical": flip_vertical, "seed": seed}
        interrupted = _train_detector(data, found, out, resume, size)
    elif task == CLASSIFY and dense:
        chosen |= {"activation": activation, "optimizer": optimizer_name, "seed": seed}
        interrupted = _train_images(read_data(data), Plan(**chosen), out, resume)
    elif task == CLASSIFY:
        found = {**chosen, "damaged": damaged, "seed": seed}
        found |= read_picture_options(model, size, augment, start)
        found["freeze"] = freeze
        interrupted = _train_classifier(data, found, out, resume, (image, target))
    else:
        names = (read_names(exclude), read_names(keep), read_names(missing))
        plan = TablePlan(target, task, chosen, seed, time_budget, *names, header)
        interrupted = tabular_command.train(data, plan, out, resume)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def choose_task(data: str, task: str | None, image: str | None) -> str | None:
    """What is to be learnt: as it is told, or by what the data are.

    Returns:
        `classify` or `detect` for pictures; for tables what was told.

    Raises:
        BadParameter: when the data are neither known nor there.
    """
    if task in (CLASSIFY, detection_command.TASK):
        return task
    if data in DATA_SETS or image is not None:
        return CLASSIFY
    if images_data.is_folder_of_pictures(data):
        boxes = images_data.holds_annotations(data)
        return detection_command.TASK if boxes else CLASSIFY
    if detection_command.is_annotations(data):
        return detection_command.TASK
    if tabular_command.is_table(data):
        return task
    raise typer.BadParameter(
        f"there is no such data set, and no such file or folder: {data!r}; give "
        f"{', '.join(DATA_SETS)}, or the path of pictures or of a table"
    )


def _train_classifier(
    data: str,
    chosen: dict[str, Any],
    out: Path | None,
    resume: bool,
    columns: tuple[str | None, str | None],
) -> bool:
    """Train on labelled pictures; says whether that was interrupted."""
    kept = {name: value for name, value in chosen.items() if name in PICTURES}
    return images_command.train(data, PicturesPlan(**kept), out, resume, columns)


def _train_detector(
    data: str,
    chosen: dict[str, Any],
    out: Path | None,
    resume: bool,
    size: str | None,
) -> bool:
    """Train on annotated pictures; says whether that was interrupted."""
    kept = {name: value for name, value in chosen.items() if name in DETECTION}
    plan = DetectionPlan(**kept, size=read_size(size))
    return detection_command.train(data, plan, out, resume)


def _train_images(data: Data, plan: Plan, out: Path | None, resume: bool) -> bool:
    """Train on images; says whether that was interrupted."""
    images = load_images(data.value)
    model = build(plan, images)
    folder = choose_folder(data.value, out, resume=resume)
    rows, tests = len(images.x_train), len(images.x_test)
    typer.echo(
        f"{data.value}: {rows:,} images to train on, {tests:,} to test with; "
        f"{model.count_params():,} weights"
    )
    history = train_images(model, images, plan, resume=folder)
    results = model.evaluate(images.x_test, images.y_test, verbose=0, return_dict=True)
    drawn = write_run(
        folder, model, history, plan, {"data": data.value, "test": results}
    )
    typer.echo(f"test loss {results['loss']:.4f}, accuracy {results['accuracy']:.2%}")
    _show_folder(folder, drawn)
    return bool(history.interrupted)


def _show_folder(folder: Path, drawn: bool) -> None:
    """What the run has left behind."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    typer.echo(f"the run is in {folder}: {', '.join(names)}")
    if not drawn:
        typer.echo("no loss curve was drawn: it needs matplotlib")
        typer.echo("  pip install 'chainrule[plots]'")


def read_data(name: str) -> Data:
    """The data set of this name.

    Raises:
        BadParameter: when there is none.
    """
    names = [each.value for each in Data]
    if name not in names:
        raise typer.BadParameter(
            f"a network of dense layers takes {' or '.join(names)}, not {name!r}"
        )
    return Data(name)


@app.command()
def evaluate(
    model: ModelPath,
    data: Annotated[
        str | None,
        typer.Argument(
            help="A table with the target, pictures by class, annotated pictures, or "
            "a data set by name.",
            show_default="the images that the model takes",
        ),
    ] = None,
    image: ImageColumn = None,
    target: Target = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Detection: write the boxes to this file, as COCO does."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Detection: folder for a report with pictures of mistakes."),
    ] = None,
    overlap: Overlap = None,
    suppression: Method = None,
    across_classes: AcrossClasses = False,
) -> None:
    """Measure a saved model on a table, or on pictures."""
    loaded = load_model(find_model(model))
    how = read_suppression(overlap, suppression, across_classes)
    if is_detector(loaded):
        detection_command.evaluate(loaded, data, how, results, out)
        return
    if results or out or how:
        raise ArgumentError(
            "the options --results, --out, --overlap, --suppression and "
            "--across-classes are for models that find objects",
            where=str(model),
        )
    if tabular_command.table_encoder(loaded) is not None:
        tabular_command.evaluate(loaded, data)
        return
    if is_classifier(loaded):
        images_command.evaluate(loaded, data, (image, target))
        return
    wanted = None if data is None else read_data(data).value
    name, rows, measured = use_model.evaluate(loaded, wanted)
    typer.echo(f"{name}: {rows:,} test images")
    for metric, number in measured.items():
        typer.echo(f"{metric:<10}{number:.4f}")


@app.command()
def predict(
    model: ModelPath,
    rows: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            exists=True,
            help="Rows: a table as it was trained on; a picture, or a folder or zip of "
            "them; or for other models a .npy file, or numbers separated by commas.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to write.")
    ] = Path("predictions.csv"),
) -> None:
    """Write what a saved model says about the rows of a file, or about pictures."""
    loaded = load_model(find_model(model))
    if is_classifier(loaded):
        typer.echo(images_command.predict(loaded, rows, output))
        return
    if is_detector(loaded):
        raise ArgumentError(
            "this model finds objects in pictures",
            where=str(model),
            fix=f"chainrule detect {model} {rows} --json found.json",
        )
    if rows.is_dir():
        raise typer.BadParameter(
            f"the model takes rows of a file, not a folder: {rows}"
        )
    if tabular_command.table_encoder(loaded) is not None:
        count = tabular_command.predict(loaded, str(rows), output)
        typer.echo(f"{count:,} predictions in {output}")
        return
    shape = use_model.sample_shape(loaded)
    x = use_model.fit_rows(use_model.read_rows(rows), shape, str(rows))
    outputs = loaded.predict(x, verbose=0)
    use_model.write_predictions(output, outputs)
    typer.echo(f"{len(outputs):,} predictions in {output}")


@app.command()
def detect(
    model: ModelPath,
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE", exists=True, help="A picture, or a folder of them."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The picture to write, or for a folder the folder for them.",
            show_default="NAME-found.png",
        ),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            help="The least score of a box.", show_default="the model's, by class"
        ),
    ] = None,
    numbers: Annotated[
        Path | None, typer.Option("--json", help="Write the boxes to this file.")
    ] = None,
    overlap: Overlap = None,
    suppression: Method = None,
    across_classes: AcrossClasses = False,
) -> None:
    """Find objects in pictures, and draw them."""
    how = read_suppression(overlap, suppression, across_classes)
    loaded = load_model(find_model(model))
    detection_command.detect(loaded, picture, output, score, numbers, how)


@app.command()
def summary(model: ModelPath) -> None:
    """Show the layers of a saved model, with shapes and numbers of weights."""
    load_model(find_model(model)).summary(print_fn=typer.echo)


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/demo")
    ] = None,
) -> None:
    """Open one training step, then learn real handwritten digits."""
    typer.echo("PART 1. One step of backpropagation, in numbers\n")
    typer.echo(demonstration.open_one_step())
    typer.echo("\n\nPART 2. Real digits\n")
    shades = shades_for(sys.stdout.encoding)
    outcome = demonstration.learn_digits(shades, out, show=typer.echo)
    typer.echo("\n" + "\n".join(demonstration.describe(outcome)))
    typer.echo("\nTry next:")
    typer.echo(f"  chainrule summary {outcome.folder / MODEL}")
    typer.echo("  chainrule train mnist --epochs 2")
    if outcome.history.interrupted:
        raise typer.Exit(INTERRUPTED)


def main() -> None:
    """Run the command line."""
    app(prog_name="chainrule")


if __name__ == "__main__":
    main()
