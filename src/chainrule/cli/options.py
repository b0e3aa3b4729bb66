"""Options that several tasks take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="What to learn, where the data do not say it: table, binary, classes or "
        "regression of a table; classify or detect of pictures; translate of pairs of "
        "sentences; chat; generate of a text.",
        show_default="found",
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
Output = Annotated[Path, typer.Option("-o", "--output", help="The CSV file to write.")]
Target = Annotated[
    str | None,
    typer.Option(
        help="Table: the column to predict, by name or place; -1 is last. "
        "Translation: the file, or the column of the table, with the translations."
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        help="Translation: the file, or the column of the table, with the sentences."
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        min=8,
        help="Translation, writing: numbers of a word or token in the network, a "
        "multiple of 64 best.",
        show_default="256; writing: 128",
    ),
]
MaxTime = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds that training may take.", show_default="any"),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        "--image",
        help="Table of pictures: the column with their files.",
        metavar="NAME",
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
Header = Annotated[
    bool | None,
    typer.Option(
        help="Table: whether the first row is headings.", show_default="found"
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Passes over the data.", show_default="by the data; mlp: 10"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Rows of a step; of sentences, tokens.",
        show_default="by the data; mlp: 32",
    ),
]
Hidden = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WIDTHS",
        help="Table, mlp: widths of the hidden layers, such as 128,64.",
        show_default="mlp: 128, table: by rows",
    ),
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
