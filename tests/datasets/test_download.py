from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chainrule.datasets import download
from chainrule.datasets.download import Remote, fetch, replacing
from chainrule.errors import DataError, DownloadError

CONTENT = b"the right content" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves what the path names: right, wrong, cut, endless, or an error."""

    requests: list[str]

    def do_GET(self) -> None:
        type(self).requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/flaky" and self.requests.count("/flaky") == 1:
            self.send_error(503)
            return
        body = {"/wrong": b"<html>log in</html>", "/cut": CONTENT[:100]}.get(
            self.path, CONTENT
        )
        self.send_response(200)
        if self.path != "/unannounced":
            length = len(CONTENT) if self.path == "/cut" else len(body)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def remote(*mirrors: str, max_bytes: int = len(CONTENT)) -> Remote:
    return Remote("data.bin", mirrors, max_bytes)


def check(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError("this is another content")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["/right", "/unannounced", "/flaky"])
def test_a_good_mirror_delivers(server: str, path: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "data.bin"
    fetch(remote(server + path), target, check)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["data.bin"]


@pytest.mark.parametrize("bad", ["/missing", "/wrong", "/cut"])
def test_the_next_mirror_is_tried(server: str, bad: str, tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    fetch(remote(server + bad, server + "/right"), target, check)
    assert target.read_bytes() == CONTENT
    assert Handler.requests == [bad, "/right"]


def test_a_file_address_works(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(CONTENT)
    target = tmp_path / "data.bin"
    fetch(remote(source.as_uri()), target, check)
    assert target.read_bytes() == CONTENT


def test_when_all_fail_each_reason_is_told_and_nothing_is_left(
    server: str, tmp_path: Path
) -> None:
    target = tmp_path / "data.bin"
    addresses = [server + path for path in ("/missing", "/wrong", "/cut")]
    with pytest.raises(DownloadError) as caught:
        fetch(remote(*addresses), target, check)
    told = str(caught.value)
    assert f"{addresses[0]}: Not Found" in told
    assert f"{addresses[1]}: this is another content" in told
    assert f"{addresses[2]}: broke off after 100 of 17,000 bytes" in told
    assert f"save it as {target}" in told
    assert names(tmp_path) == []
    assert len(Handler.requests) == 2 * len(addresses)


def test_more_than_expected_is_not_stored(server: str, tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    with pytest.raises(DownloadError, match="more came than the 10 bytes"):
        fetch(remote(server + "/right", max_bytes=10), target, check)
    assert names(tmp_path) == []


def test_an_old_file_survives_a_failed_download(server: str, tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(remote(server + "/wrong"), target, check)
    assert target.read_bytes() == b"old"


def test_no_server_is_a_download_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch(remote("http://127.0.0.1:9/data.bin"), tmp_path / "data.bin", check)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be made") as caught:
        fetch(remote("file:///none"), tmp_path / "file" / "data.bin", check)
    assert "CHAINRULE_CACHE" in str(caught.value)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "data.bin") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
