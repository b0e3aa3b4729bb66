"""How columns of tables become numbers: learnt from data, described in a config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from chainrule.data.columns import ISO, absent_in, to_numbers, to_text, to_times
from chainrule.errors import ArgumentError

Array = np.ndarray[Any, Any]

KINDS = ("number", "category", "date")
MOST_CATEGORIES = 1000
FEWEST_ROWS = 2  # of a category; rarer ones count as other
MISSING_CODE, OTHER_CODE, FIRST_CODE = 0, 1, 2
QUANTILES = 64
FURTHEST = 10.0  # standard deviations that a number may lie away
SKEWED = 1.0
LARGEST = 1e30  # beyond it, squares and cubes overflow
DAY = 86400.0


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: missing ones filled in, scaled, far ones brought in.

    `(x - center) / scale`, or where `points` are given the piecewise linear function
    from them to `scores`. The scores of a skewed column are those of a normal
    distribution at the same quantiles.

    Attributes:
        name: of the column.
        low: smaller numbers count as this one.
        high: larger numbers count as this one.
        center: what becomes 0.
        scale: what becomes 1 beyond it.
        fill: what a missing number becomes, after scaling.
        flag: whether the output says which numbers were missing.
        points: numbers between which the function is linear.
        scores: what they become.
        times: whether the column holds times.
    """

    name: str
    low: float = -np.inf
    high: float = np.inf
    center: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    flag: bool = False
    points: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    kind: str = "number"

    @classmethod
    def learn(cls, name: str, values: Array) -> NumberColumn:
        """The column that numbers like these need."""
        known = np.isfinite(values)
        found = np.clip(values[known], -LARGEST, LARGEST)
        flag = bool(np.isnan(values).any())
        if not len(found):
            return cls(name, 0.0, 0.0, flag=flag)
        low, high = float(found.min()), float(found.max())
        spread = float(found.std())
        plain = cls(
            name, low, high, float(found.mean()), spread if spread > 0 else 1.0, 0, flag
        )
        if spread > 0 and _skewness(found) > SKEWED and len(np.unique(found)) > 10:
            points, scores = normal_scores(found)
            plain = replace(plain, points=points, scores=scores)
        median = np.array([np.median(found)])
        return replace(plain, fill=float(plain.scaled(median)[0]))

    def scaled(self, values: Array) -> Array:
        """The numbers, scaled."""
        with np.errstate(invalid="ignore"):
            inside = np.clip(values, self.low, self.high)
        if self.points:
            return np.interp(inside, self.points, self.scores)
        return np.clip((inside - self.center) / self.scale, -FURTHEST, FURTHEST)

    def encode(self, values: Array) -> tuple[Array, Array | None]:
        """The numbers, scaled and whole; and which were missing, where that is told."""
        numbers = to_numbers(values)
        missing = np.isnan(numbers)
        scaled = np.where(missing, self.fill, self.scaled(numbers))
        return scaled, missing if self.flag else None


def _skewness(values: Array) -> float:
    centred = values - values.mean()
    return float(abs((centred**3).mean()) / max((centred**2).mean() ** 1.5, 1e-300))


def normal_scores(values: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Points of a distribution, and those of a normal one at the same quantiles.

    Equal values share the middle of their ranks. The scores of `values` have mean 0 and
    standard deviation 1.

    Example:
        >>> points, scores = normal_scores(np.array([0.0, 0.0, 1.0, 100.0]))
        >>> points
        (0.0, 1.0, 100.0)
        >>> [round(score, 2) for score in scores]
        [-0.92, 0.38, 1.47]
    """
    distinct, counts = np.unique(values, return_counts=True)
    middles = (np.cumsum(counts) - counts / 2) / len(values)
    if len(distinct) > QUANTILES:
        wanted = np.linspace(middles[0], middles[-1], QUANTILES)
        chosen = np.unique(np.searchsorted(middles, wanted).clip(0, len(distinct) - 1))
        distinct, middles = distinct[chosen], middles[chosen]
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(float(share)) for share in middles])
    found = np.interp(values, distinct, scores)
    spread = float(found.std())
    scores = (scores - found.mean()) / (spread if spread > 0 else 1.0)
    return tuple(distinct.tolist()), tuple(scores.tolist())


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories, numbered: 0 missing, 1 any other, then those known.

    Attributes:
        name: of the column.
        categories: as text, the commonest first.
    """

    name: str
    categories: tuple[str, ...] = ()
    kind: str = "category"

    @classmethod
    def learn(cls, name: str, values: Array) -> CategoryColumn:
        """The categories that recur, the commonest ones."""
        counts = Counter(text for text in to_text(values).tolist() if text is not None)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        fewest = FEWEST_ROWS if len(values) > 50 else 1
        known = [text for text, count in ranked if count >= fewest]
        return cls(name, tuple(known[:MOST_CATEGORIES]))

    @property
    def cardinality(self) -> int:
        """How many numbers there are."""
        return FIRST_CODE + len(self.categories)

    def encode(self, values: Array) -> Array:
        """The numbers of the categories."""
        codes: dict[str | None, int] = {None: MISSING_CODE}
        codes |= {text: FIRST_CODE + i for i, text in enumerate(self.categories)}
        texts = to_text(values).tolist()
        return np.array([codes.get(text, OTHER_CODE) for text in texts], np.int64)


# Parts of a time, with what a full turn is for those that come round again.
_CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
_PARTS = ("elapsed", "month", "day", "weekday", "hour")


@dataclass(frozen=True)
class DateColumn:
    """A column of times, in parts: days elapsed; month, weekday and hour as angles.

    Only parts that differ among the data it learnt from are used.

    Attributes:
        name: of the column.
        form: how it is written: `iso`, or a format of `strptime`.
        parts: the parts and how each is scaled.
    """

    name: str
    form: str = ISO
    parts: tuple[NumberColumn, ...] = ()
    kind: str = "date"

    @classmethod
    def learn(cls, name: str, values: Array, form: str = ISO) -> DateColumn:
        """The parts that differ."""
        parts = []
        flagged = False
        for part, numbers in time_parts(to_times(values, form)):
            found = numbers[~np.isnan(numbers)]
            if len(np.unique(found)) < 2:
                continue
            column = NumberColumn.learn(part, numbers)
            parts.append(replace(column, flag=column.flag and not flagged))
            flagged = flagged or column.flag
        return cls(name, form, tuple(parts))

    def encode(self, values: Array) -> Iterator[tuple[Array, Array | None]]:
        """Every part, scaled; and which were missing, with the first."""
        numbers = dict(time_parts(to_times(values, self.form)))
        for part in self.parts:
            yield part.encode(numbers[part.name])


def time_parts(times: Array) -> Iterator[tuple[str, Array]]:
    """The parts of times, as numbers by name.

    Example:
        >>> parts = dict(time_parts(np.array(["2024-03-15T12:00"], "datetime64[s]")))
        >>> parts["day"].tolist(), parts["hour_cos"].tolist()
        ([15.0], [-1.0])
    """
    absent = np.isnat(times)
    seconds = times.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    days = np.floor(seconds / DAY)
    months = times.astype("datetime64[M]")
    month = months.astype(np.int64) % 12
    found = {
        "elapsed": seconds / DAY,
        "month": month.astype(np.float64),
        "day": (times.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(
            np.float64
        )
        + 1,
        "weekday": (days + 3) % 7,
        "hour": (seconds - days * DAY) / 3600,
    }
    for part in _PARTS:
        numbers = np.where(absent, np.nan, found[part])
        if part not in _CYCLES:
            yield part, numbers
            continue
        angle = 2 * np.pi * numbers / _CYCLES[part]
        yield f"{part}_sin", np.round(np.sin(angle), 12)
        yield f"{part}_cos", np.round(np.cos(angle), 12)


Column = NumberColumn | CategoryColumn | DateColumn
_CLASSES: dict[str, Any] = {
    "number": NumberColumn,
    "category": CategoryColumn,
    "date": DateColumn,
}


def column_config(column: Column) -> dict[str, Any]:
    """A column as a dict fit for JSON, without what is as it is by default."""
    config = {}
    defaults = asdict(type(column)(column.name))
    for key, value in asdict(column).items():
        if key in ("name", "kind") or value != defaults[key]:
            config[key] = value
    if isinstance(column, DateColumn):
        config["parts"] = [column_config(part) for part in column.parts]
    return {key: list(v) if isinstance(v, tuple) else v for key, v in config.items()}


def column_from(config: Mapping[str, Any]) -> Column:
    """The column that `column_config` described.

    Raises:
        ArgumentError: when it describes none.
    """
    given = dict(config)
    owner = _CLASSES.get(str(given.get("kind")))
    try:
        if owner is None:
            raise TypeError(f"kind={given.get('kind')!r}")
        if "parts" in given:
            given["parts"] = tuple(column_from(part) for part in given["parts"])
        for key in ("points", "scores", "categories"):
            if key in given:
                given[key] = tuple(given[key])
        made: Column = owner(**given)
    except TypeError as error:
        raise ArgumentError(
            "this describes no column",
            where="columns",
            got=str(error),
            expected=f"name, kind ({', '.join(KINDS)}) and what belongs to the kind",
        ) from None
    return made


@dataclass
class Encoded:
    """The columns of a table as arrays, gathered part by part."""

    numbers: list[Array] = field(default_factory=list)
    flags: list[Array] = field(default_factory=list)
    codes: list[Array] = field(default_factory=list)

    def add(self, column: Column, values: Array) -> None:
        """Encode one more column."""
        if isinstance(column, CategoryColumn):
            self.codes.append(column.encode(values))
            return
        pairs = (
            column.encode(values)
            if isinstance(column, DateColumn)
            else [column.encode(values)]
        )
        for scaled, missing in pairs:
            self.numbers.append(scaled)
            if missing is not None:
                self.flags.append(missing)

    def matrix(self, rows: int) -> Array:
        """Numbers, flags and codes side by side, float32."""
        parts = [*self.numbers, *self.flags, *self.codes]
        if not parts:
            return np.zeros((rows, 0), np.float32)
        return np.stack(parts, axis=1).astype(np.float32)


def seen_missing(values: Array) -> bool:
    """Whether a column lacks a value somewhere."""
    return bool(absent_in(values).any())
