"""Downloads: several mirrors, checked content, no half-written files."""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chainrule.errors import ChainruleError, DownloadError

CHUNK = 1 << 16
TIMEOUT_SECONDS = 20.0
ROUNDS = 2
PAUSE_SECONDS = 0.5

Report = Callable[[int], None]
Check = Callable[[Path], Any]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the network.

    Attributes:
        name: its name, shown while it comes and in messages.
        mirrors: addresses, tried in this order.
        max_bytes: the most that is accepted.
    """

    name: str
    mirrors: Sequence[str]
    max_bytes: int


def fetch(remote: Remote, target: Path, check: Check, fix: str | None = None) -> None:
    """Download `remote` to `target`, from the first mirror that delivers it whole.

    The content goes to a temporary name beside the target, is checked there, flushed
    and renamed: a file named `target` is complete and right, whenever the power fails.

    Args:
        remote: what to get.
        target: where to put it; folders are made.
        check: is called with the path of the temporary file; raises a `ChainruleError`
            when the content is not right, and the next mirror is tried.
        fix: what the reader of the error can do instead.

    Raises:
        DownloadError: when no mirror delivered the file, with the reason for each.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            "the folder for downloads cannot be made",
            where=str(target.parent),
            got=_reason(error),
            fix="name another one: export CHAINRULE_CACHE=/path/to/folder",
        ) from None
    reasons: dict[str, str] = {}
    for attempt in range(ROUNDS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        for address in remote.mirrors:
            try:
                _fetch_from(address, remote, target, check)
            except (OSError, http.client.HTTPException, ChainruleError) as error:
                reasons[address] = _reason(error)
            else:
                return
    raise DownloadError(
        "no mirror delivered the file",
        where=remote.name,
        got="\n".join(f"{address}: {why}" for address, why in reasons.items()),
        fix=fix or f"download it elsewhere and save it as {target}",
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, ChainruleError):
        return error.problem
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "strerror", None) or str(reason)
    return text or type(reason).__name__


def _fetch_from(address: str, remote: Remote, target: Path, check: Check) -> None:
    with (
        urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response,
        replacing(target) as file,
    ):
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdecimal() else None
        with progress(remote.name, total) as report:
            _copy(response, file, remote.max_bytes, report)
        if total is not None and file.tell() != total:
            raise DownloadError(f"broke off after {file.tell():,} of {total:,} bytes")
        file.flush()
        check(Path(file.name))


def _copy(source: IO[bytes], file: IO[bytes], limit: int, report: Report) -> None:
    received = 0
    while chunk := source.read(CHUNK):
        received += len(chunk)
        if received > limit:
            raise DownloadError(f"more came than the {limit:,} bytes expected")
        file.write(chunk)
        report(received)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the name `target` when the block ends well."""
    with tempfile.NamedTemporaryFile(
        prefix=f".{target.name}.", dir=target.parent, delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def progress(name: str, total: int | None) -> Iterator[Report]:
    """A progress bar on the terminal; nothing where the output is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - importing chainrule loads NumPy
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda received: bar.update(task, completed=received)
