from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.checksum import canonical_checksum
from fedcredit.data.download import DownloadError, download
from fedcredit.data.sources import Source, taiwan_table
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

NAMES = ["ID", *(f"X{i}" for i in range(1, 24)), "Y"]
ROWS = [[i, 20000 + i, 1, 2, 1, 30, *([0] * 6), *([100] * 6), *([50] * 6), i % 2] for i in range(1, 40)]
RAW = "\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)]).encode() + b"\n"
CHECKSUM = canonical_checksum(taiwan_table(RAW))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404, "Not Found")
            return
        body = {"/changed": RAW.replace(b"20001", b"20002"), "/page": b"<html>moved</html>"}.get(self.path, RAW)
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def source(*addresses: str, checksum: str = CHECKSUM) -> Source:
    return Source(
        file_name="toy.parquet", checksum=checksum, addresses=addresses, convert=taiwan_table, origin="a test server"
    )


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("path", ["/good", "/unsized"])
def test_a_table_is_fetched_converted_verified_and_kept(path: str, address: str, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    kept = download("toy", source(address + path), tmp_path / "new", progress=lambda *step: seen.append(step))
    assert kept == tmp_path / "new" / "toy.parquet"
    assert canonical_checksum(pq.read_table(kept)) == CHECKSUM
    assert [entry.name for entry in kept.parent.iterdir()] == ["toy.parquet"]
    total = len(RAW) if path == "/good" else 0
    assert seen[0] == ("toy", 0, total)
    assert seen[-1] == ("toy", len(RAW), total)


def test_without_a_listener_a_bar_is_drawn_and_nothing_is_printed_on_standard_output(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download("toy", source(f"{address}/good"), tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/changed", "checksum"),
        ("/page", "not the table it should be"),
        ("/cut", "cut short"),
        ("/missing", "answers 404"),
    ],
)
def test_what_is_not_the_table_is_not_kept(path: str, says: str, address: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=says) as caught:
        download("toy", source(address + path), tmp_path, progress=lambda *_: None)
    assert address + path in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_connection_and_a_strange_address_are_told(tmp_path: Path) -> None:
    addresses = (f"http://127.0.0.1:{closed_port()}/x", "file:///etc/hostname")
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        download("toy", source(*addresses), tmp_path, progress=lambda *_: None)
    assert "only http and https" in str(caught.value)


def test_the_next_address_is_tried(address: str, tmp_path: Path) -> None:
    kept = download("toy", source(f"{address}/missing", f"{address}/good"), tmp_path, progress=lambda *_: None)
    assert kept.is_file()


def test_a_failed_download_leaves_the_file_that_was_there(address: str, tmp_path: Path) -> None:
    (tmp_path / "toy.parquet").write_bytes(b"mine")
    with pytest.raises(DownloadError):
        download("toy", source(f"{address}/changed"), tmp_path, progress=lambda *_: None)
    assert (tmp_path / "toy.parquet").read_bytes() == b"mine"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FEDCREDIT_DATA", raising=False)
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


TAIWAN = spec.PublicTable(table="taiwan")


def test_a_public_table_is_downloaded_once_and_then_read_from_the_cache(address: str, home: Path) -> None:
    loans = load_portfolio(TAIWAN, sources={"taiwan": source(f"{address}/good")}, progress=lambda *_: None)
    assert loans.num_loans == len(ROWS)
    again = load_portfolio(TAIWAN, sources={"taiwan": source("http://127.0.0.1:1/never")})
    assert again.borrower.tolist() == loans.borrower.tolist()


def test_the_named_folder_comes_before_the_cache_and_needs_no_network(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "mine").mkdir()
    pq.write_table(taiwan_table(RAW).cast(pa.schema([(name, pa.int32()) for name in taiwan_table(RAW).column_names])),
                   home / "mine" / "toy.parquet")  # fmt: skip
    monkeypatch.setenv("FEDCREDIT_DATA", str(home / "mine"))
    loans = load_portfolio(TAIWAN, sources={"taiwan": source("http://127.0.0.1:1/never")})
    assert loans.num_loans == len(ROWS)
    assert not (home / "cache").exists()


def test_without_file_and_network_one_message_says_what_to_put_where(home: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}/x"
    with pytest.raises(InputError, match=r"toy\.parquet is not in .*cache") as caught:
        load_portfolio(TAIWAN, sources={"taiwan": source(address)}, progress=lambda *_: None)
    for words in (address, "set FEDCREDIT_DATA", "a test server"):
        assert words in str(caught.value)


def test_a_file_with_other_content_is_told_and_left_alone(home: Path) -> None:
    folder = home / "cache" / "tables"
    folder.mkdir(parents=True)
    pq.write_table(taiwan_table(RAW.replace(b"20001", b"20002")), folder / "toy.parquet")
    before = (folder / "toy.parquet").read_bytes()
    with pytest.raises(InputError, match="Nothing was changed"):
        load_portfolio(TAIWAN, sources={"taiwan": source("http://127.0.0.1:1/never")})
    assert (folder / "toy.parquet").read_bytes() == before


def test_a_named_folder_that_is_not_there_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA", str(home / "nowhere"))
    with pytest.raises(InputError, match=r"FEDCREDIT_DATA is .*nowhere, which is not a folder"):
        load_portfolio(TAIWAN, sources={"taiwan": source("http://127.0.0.1:1/never")})
