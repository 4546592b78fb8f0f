import asyncio
import csv
import gc
import hashlib
import io
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections import Counter
from email.utils import formatdate

import openpyxl
import pytest
from image_server import ImageServer, image

from keras_colorize.data.sources import load_folder
from keras_colorize.errors import ColorizeError
from keras_colorize.images import SUFFIXES, read_rgb
from keras_colorize.oxford import download, fetch_oxford_paintings
from keras_colorize.oxford.annotations import read_annotations

HEADER = ("Image URL", "Web page URL", "Subset", "Labels")


@pytest.fixture
def server():
    with ImageServer() as running:
        yield running


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Waits of hundredths of a second between tries; the rules stay."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.02)


def annotate(path, rows):
    """Writes rows (address, subset, labels) as the real file has them; returns `path`."""
    table = [
        HEADER,
        *((address, "", f"'{subset}'", f"' {labels}'") for address, subset, labels in rows),
    ]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)
    else:
        book = openpyxl.Workbook()
        for row in table:
            book.active.append(row)
        book.save(path)
    return path


def fetch(annotations, output, **options):
    """As the tests mostly want it: from loopback and fast."""
    return fetch_oxford_paintings(
        annotations, output, **{"allow_private": True, "rate": 500.0, **options}
    )


def manifest(output):
    """The rows of manifest.csv by the path part of their address."""
    with (output / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["address"].split("/", 3)[3]: row for row in csv.DictReader(file)}


def image_files(output):
    """Every file in the subset folders, hidden ones too."""
    return sorted(path for path in output.glob("*/*") if path.is_file())


def check_whole(output):
    """Each file is listed once, lies under its subset, decodes, and has the bytes listed."""
    done = [row for row in manifest(output).values() if row["status"] == "done"]
    assert sorted(output / row["file"] for row in done) == image_files(output)
    for row in done:
        data = (output / row["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(row["bytes"]), row["sha256"])
        assert row["file"].startswith(row["subset"] + "/")
        read_rgb(data)


# The annotation file.


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_annotations_are_unquoted_and_merged(tmp_path, name):
    file = annotate(
        tmp_path / name,
        [
            ("https://Example.org/a.jpg", "test", "cow"),
            ("http://example.org/b.jpg?w=3", "train", "boat dog"),
            ("https://example.org/a.jpg#top", "train", "cow horse"),
        ],
    )
    read = read_annotations(file)
    first, second = read.paintings
    assert (first.url, first.subset, first.row) == ("https://example.org/a.jpg", "test", 2)
    assert first.labels == ("cow", "horse")
    assert (second.subset, second.labels) == ("train", ("boat", "dog"))
    assert (read.rows, read.bad_rows) == (3, ())


@pytest.mark.parametrize(
    ("address", "subset", "reason"),
    [
        ("ftp://example.org/a.jpg", "test", "only http and https"),
        ("file:///etc/passwd", "test", "only http and https"),
        ("", "test", "bad URL ''"),
        ("example.org/a.jpg", "test", "bad URL"),
        ("http:///a.jpg", "test", "bad URL"),
        ("http://example.org:99999/a.jpg", "test", "bad URL"),
        ("http://[::1/a.jpg", "test", "bad URL"),
        ("http://user:secret@example.org/a.jpg", "test", "bad URL"),
        ("http://example.org/a b.jpg", "test", "bad URL"),
        ("http://example.org/a\tb.jpg", "test", "bad URL"),
        ("http://example.org/a.jpg", "trian", "unknown subset 'trian'; use one of train"),
        ("http://example.org/a.jpg", "", "unknown subset ''"),
    ],
)
def test_bad_row_is_named_and_the_rest_goes_on(tmp_path, address, subset, reason):
    rows = [("http://example.org/1.jpg", "train", "cow"), (address, subset, "dog")]
    read = read_annotations(annotate(tmp_path / "a.xlsx", rows))
    assert [painting.row for painting in read.paintings] == [2]
    (line,) = read.bad_rows
    assert line.startswith(f"{tmp_path / 'a.xlsx'}, sheet Sheet, row 3: ")
    assert reason in line and "\n" not in line


def test_strict_refuses_a_bad_row_and_fetches_nothing(tmp_path, server):
    file = annotate(
        tmp_path / "a.csv", [(f"{server.address}/ok/1.jpg", "train", ""), ("x", "test", "")]
    )
    with pytest.raises(ColorizeError, match=r"a\.csv, row 3: bad URL 'x'"):
        fetch(file, tmp_path / "out", strict=True)
    assert not server.log and not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["Image URL", "Subset"])
def test_missing_column_is_named(tmp_path, missing):
    file = tmp_path / "a.csv"
    file.write_text(",".join(name for name in HEADER if name != missing))
    with pytest.raises(ColorizeError, match=f"row 1: no column '{missing}'"):
        read_annotations(file)


def test_without_labels_the_rest_goes_on(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("Subset,Image URL\ntest,http://example.org/1.jpg\n")
    read = read_annotations(file)
    assert read.paintings[0].labels == ()
    assert "row 1: no column 'Labels'" in read.bad_rows[0]


@pytest.mark.parametrize(
    ("name", "content"), [("a.xlsx", b"PK\x03\x04"), ("a.xlsx", b""), ("a.csv", b"\xff\xfe\x00")]
)
def test_unreadable_annotations_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ColorizeError, match=f"{name}: n"):
        read_annotations(tmp_path / name)
    with pytest.raises(ColorizeError, match="cannot be read"):
        read_annotations(tmp_path / ("none" + name))


def test_damaged_spreadsheets_are_one_line(tmp_path):
    """Flipped bytes in the archive; changed text in its parts."""
    rows = [(f"http://example.org/{number}.jpg", "train", "cow") for number in range(20)]
    whole = annotate(tmp_path / "whole.xlsx", rows).read_bytes()
    random_number = random.Random(0)
    damaged = tmp_path / "damaged.xlsx"
    refused = 0
    for number in range(120):
        content = bytearray(whole)
        if number % 2:
            for _ in range(8):
                content[random_number.randrange(len(content))] ^= 1 << random_number.randrange(8)
        else:
            content = rewrite_parts(whole, random_number)
        damaged.write_bytes(content)
        try:
            read_annotations(damaged)
        except ColorizeError as error:
            refused += 1
            message = str(error)
            assert message.startswith(str(damaged))
            assert "\n" not in message and len(message) < len(str(damaged)) + 200
    assert refused > 50


def rewrite_parts(xlsx, random_number):
    """An archive with digits, names and tags of its parts changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            text = bytearray(old.read(name))
            if name.startswith(("xl/work", "xl/shared")):
                text[random_number.randrange(len(text))] = random_number.choice(b'<>"/0 :&')
            new.writestr(name, bytes(text))
    return file.getvalue()


# Cells without content; 40 million bytes in a cell and in a part that is not read.
@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("xl/worksheets/sheet1.xml", b"</sheetData>", b"<row>" + b"<c/>" * 3 * 10**6 + b"</row>"),
        ("xl/worksheets/sheet1.xml", b"<t>", b"<t>" + b"x" * 4 * 10**7),
        ("docProps/core.xml", b"</", b" " * 4 * 10**7 + b"</"),
    ],
)
def test_a_spreadsheet_that_unpacks_to_much_is_refused(tmp_path, part, old, new):
    whole = annotate(tmp_path / "a.xlsx", [("http://example.org/1.jpg", "train", "")])
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for name in before.namelist():
            text = before.read(name)
            file.writestr(name, text.replace(old, new, 1) if name == part else text)
    assert bomb.stat().st_size < 10**6
    tracemalloc.start()
    with pytest.raises(
        ColorizeError, match=r"bomb\.xlsx: unpacks to more than 32 MiB, or .*\.csv$"
    ):
        read_annotations(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 10**7


def test_long_cells_are_cut_in_messages(tmp_path):
    long = "x" * 100_000
    rows = [
        (long[:100], "train", ""),
        ("http://a.org/1", long, ""),
        (f"http://a.org/{long}", "test", ""),
    ]
    address, subset, too_long = read_annotations(annotate(tmp_path / "a.csv", rows)).bad_rows
    assert address.endswith(
        "row 2: bad URL '" + 80 * "x" + "...' (only http and https are supported)"
    )
    assert subset.endswith(
        "row 3: unknown subset '" + 80 * "x" + "...'; use one of train validation test"
    )
    assert too_long.endswith("xxx...' (longer than 2000 characters)")
    (tmp_path / "b.csv").write_text(long)
    with pytest.raises(ColorizeError, match=r"row 1: no column 'Image URL'; got \['x{78}\.\.\.$"):
        read_annotations(tmp_path / "b.csv")


def test_far_away_cells_take_no_memory(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active["XFD200000"] = "far away"
    book.save(tmp_path / "a.xlsx")
    assert read_annotations(tmp_path / "a.xlsx").rows == 0


def test_many_rows_of_one_address(tmp_path):
    """Once a matter of minutes."""
    address = "http://example.org/1.jpg"
    rows = [(address, "train", f"label{number}") for number in range(30_000)]
    (painting,) = read_annotations(annotate(tmp_path / "a.csv", rows)).paintings
    assert painting.labels == tuple(f"label{number}" for number in range(30_000))


# One run against everything a server may do.

BEHAVIORS = {
    "ok/1.jpg": "done",
    "as/png/1.jpg": "done",
    "slow/1.jpg": "done",
    "busy/1.jpg": "done",
    "flaky/1.jpg": "done",
    "hang-up/1.jpg": "done",
    "drop/1.jpg": "done",
    "moved//ok/2.jpg": "done",
    "gone-404/1.jpg": "gone",
    "gone-410/1.jpg": "gone",
    "forbidden/1.jpg": "HTTP 403",
    "broken/1.jpg": "HTTP 500 (5 tries)",
    "silent/1.jpg": "Server disconnected (5 tries)",
    "truncated/1.jpg": "image of ",
    "html/1.jpg": "not a JPEG",
    "gzip/1.jpg": "not a JPEG",
    "large/1.jpg": "larger than 100000 bytes",
    "endless/1.jpg": "larger than 100000 bytes",
    "bomb/1.png": "81 megapixels; at most 67 are taken",
    "circle/1.jpg": "more than 5 redirects",
    "moved/file:///etc/passwd": "only http and https",
    "moved/ftp://127.0.0.1/1.jpg": "only http and https",
}
REQUESTS = {
    "busy/1.jpg": 2,
    "flaky/1.jpg": 3,
    "hang-up/1.jpg": 3,
    "drop/1.jpg": 3,
    "broken/1.jpg": 5,
    "silent/1.jpg": 5,
    "circle/1.jpg": 6,
}


def test_every_behavior_of_a_server(tmp_path, server):
    rows = [(f"{server.address}/{path}", "train", "cow") for path in BEHAVIORS]
    rows.insert(3, rows[0])
    seen = []
    summary = fetch(
        annotate(tmp_path / "a.xlsx", rows),
        tmp_path / "out",
        max_bytes=100_000,
        progress=lambda *counts: seen.append(counts),
    )

    listed = manifest(tmp_path / "out")
    for path, expected in BEHAVIORS.items():
        if expected in ("done", "gone"):
            assert listed[path]["status"] == expected, listed[path]
        else:
            assert listed[path]["status"] == "failed"
            assert expected in listed[path]["reason"]
    for path in BEHAVIORS:
        assert len(server.requests("/" + path)) == REQUESTS.get(path, 1), path
    check_whole(tmp_path / "out")
    ok = tmp_path / "out" / listed["ok/1.jpg"]["file"]
    assert ok.read_bytes() == image("/ok/1.jpg")

    assert (summary.rows, summary.images) == (23, 22)
    with pytest.warns(DeprecationWarning, match=r"FetchSummary\.pictures is now"):
        assert summary.pictures == 22
    assert (summary.done, summary.gone, summary.failed, summary.already_there) == (8, 2, 12, 0)
    assert seen == [(count, 22) for count in range(23)]
    first, second = server.requests("/busy/1.jpg")
    assert second.start - first.end >= 1.0
    assert server.most_at_a_time <= 4
    assert {request.agent.split("/")[0] for request in server.log} == {"keras-colorize"}


def test_second_run_asks_only_for_what_failed(tmp_path, server):
    paths = ["ok/1.jpg", "gone-404/1.jpg", "forbidden/1.jpg", "ok/2.jpg"]
    file = annotate(
        tmp_path / "a.csv", [(f"{server.address}/{path}", "test", "") for path in paths]
    )
    fetch(file, tmp_path / "out", limit=3)
    assert Counter(row["status"] for row in manifest(tmp_path / "out").values()) == Counter(
        ("done", "gone", "failed", "pending")
    )
    summary = fetch(file, tmp_path / "out")
    assert (summary.already_there, summary.done, summary.gone, summary.failed) == (1, 1, 1, 1)
    assert server.attempts == {"/" + path: 1 for path in paths} | {"/forbidden/1.jpg": 2}


def test_lost_or_cut_file_is_fetched_again(tmp_path, server):
    paths = ["ok/lost.jpg", "ok/cut.jpg", "once/cut.jpg", "ok/whole.jpg"]
    rows = [(f"{server.address}/{path}", "test", "") for path in paths]
    file = annotate(tmp_path / "a.csv", rows)
    fetch(file, tmp_path / "out")
    for path in image_files(tmp_path / "out"):
        if path.name.startswith("lost"):
            path.unlink()
        elif path.name.startswith("cut"):
            path.write_bytes(path.read_bytes()[:100])
    summary = fetch(file, tmp_path / "out")
    assert (summary.already_there, summary.done, summary.gone) == (1, 2, 1)
    gone = manifest(tmp_path / "out")["once/cut.jpg"]
    assert (gone["file"], gone["bytes"], gone["sha256"]) == ("", "", "")
    check_whole(tmp_path / "out")


def test_a_slow_server_holds_a_connection_only_so_long(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "SECONDS_PER_URL", 0.3)
    paths = ["drip/1.jpg", "drip-body/1.jpg", "continue/1.jpg", "ok/1.jpg"]
    rows = [(f"{server.address}/{path}", "test", "") for path in paths]
    fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out", connections=1)
    *slow, last = manifest(tmp_path / "out").values()
    assert last["status"] == "done"
    assert {row["reason"] for row in slow} == {"not there after 0 s"}
    assert server.attempts == {"/" + path: 1 for path in paths}


def test_an_unexpected_answer_costs_its_address_alone(tmp_path, server, monkeypatch):
    def fail(retry_after):
        raise LookupError("no such\ncodec")

    monkeypatch.setattr(download, "_seconds", fail)
    rows = [(f"{server.address}/{path}", "test", "") for path in ("busy/1.jpg", "ok/1.jpg")]
    summary = fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 1)
    assert manifest(tmp_path / "out")["busy/1.jpg"]["reason"] == "LookupError: no such codec"


def test_headers_that_never_end_time_out(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", download.aiohttp.ClientTimeout(total=0.3))
    monkeypatch.setattr(download, "TRIES", 2)
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/drip/1.jpg", "test", "")])
    assert fetch(file, tmp_path / "out").failed == 1
    assert manifest(tmp_path / "out")["drip/1.jpg"]["reason"] == "timed out (2 tries)"


def test_host_that_asks_to_wait_for_long_is_left_alone(tmp_path, server):
    paths = ["ok/1.jpg", "closed/1.jpg", "ok/2.jpg", "ok/3.jpg"]
    file = annotate(
        tmp_path / "a.csv", [(f"{server.address}/{path}", "test", "") for path in paths]
    )
    summary = fetch(file, tmp_path / "out", connections=1)
    assert (summary.done, summary.failed) == (1, 3)
    assert len(server.log) == 2
    assert "requires a wait of 86" in manifest(tmp_path / "out")["ok/3.jpg"]["reason"]


def test_dead_host_fails_after_its_tries(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/1.jpg"
        fetch(annotate(tmp_path / "a.csv", [(address, "test", "")]), tmp_path / "out")
    assert "(5 tries)" in manifest(tmp_path / "out")["1.jpg"]["reason"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("9" * 5000, 1e9),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999999999", None),
    ],
)
def test_retry_after_in_all_forms(text, seconds):
    assert download._seconds(text) == pytest.approx(seconds)


def test_retry_after_as_a_date(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_792_000_000.0)
    date = formatdate(time.time() + 3600, usegmt=True)
    assert download._seconds(date) == 3600.0


# Which addresses are connected to.


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0.0.0.0", "2130706433", "[::1]"]
)
def test_private_addresses_are_refused(tmp_path, server, host):
    rows = [(f"http://{host}:{server.server_port}/ok/1.jpg", "train", "")]
    summary = fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out", allow_private=False)
    assert summary.failed == 1 and not server.log
    reason = manifest(tmp_path / "out")["ok/1.jpg"]["reason"]
    assert "is not a public address" in reason or "is not a canonical IPv4 address" in reason


def test_redirect_to_a_private_address_is_refused(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "_is_public", lambda ip: ip == "127.0.0.1")
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.settimeout(0.2)
        port = inside.getsockname()[1]
        rows = [(f"{server.address}/moved/http://127.0.0.2:{port}/ok/1.jpg", "train", "")]
        summary = fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out", allow_private=False)
        with pytest.raises(TimeoutError):
            inside.accept()
    assert summary.failed == 1 and len(server.log) == 1
    (row,) = manifest(tmp_path / "out").values()
    assert row["reason"].startswith("127.0.0.2 is not a public address")


def test_name_that_resolves_to_another_address_later_is_refused(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "_is_public", lambda ip: ip == "127.0.0.1")
    answers = iter(["127.0.0.1", "127.0.0.2"])
    real = socket.getaddrinfo

    def rebinding(host, *rest, **options):
        return real(next(answers) if host == "rebinding.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    address = f"http://rebinding.test:{server.server_port}/ok/1.jpg"
    file = annotate(tmp_path / "a.csv", [(address, "train", "")])
    with socket.create_server(("127.0.0.2", server.server_port)) as inside:
        inside.settimeout(0.2)
        assert fetch(file, tmp_path / "first", allow_private=False).done == 1
        assert fetch(file, tmp_path / "later", allow_private=False).failed == 1
        with pytest.raises(TimeoutError):
            inside.accept()
    assert len(server.log) == 1


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        (["127.0.0.2", "127.0.0.3"], "failed"),
        (["::1", "127.0.0.2"], "failed"),
        (["127.0.0.2", "127.0.0.1"], "done"),
    ],
)
def test_name_of_several_addresses_is_refused_alone(tmp_path, server, monkeypatch, answers, status):
    monkeypatch.setattr(download, "_is_public", lambda ip: ip == "127.0.0.1")
    resolve, connect = socket.getaddrinfo, socket.socket.connect
    connected = set()

    def resolve_name(host, *rest, **options):
        hosts = answers if host == "several.test" else [host]
        return [found for host in hosts for found in resolve(host, *rest, **options)]

    def connect_to_loopback(self, address):
        connected.add(address[0])
        assert address[0].startswith("127.0.0.")
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_name)
    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback)
    name = f"http://several.test:{server.server_port}"
    paths = [f"{name}/ok/1.jpg", f"{server.address}/moved/{name}/ok/2.jpg"]
    file = annotate(
        tmp_path / "a.csv",
        [(path, "train", "") for path in (*paths, f"{server.address}/ok/3.jpg")],
    )
    fetch(file, tmp_path / "out", allow_private=False)
    *several, public = manifest(tmp_path / "out").values()
    assert public["status"] == "done"
    for row in several:
        assert row["status"] == status
        if status == "failed":
            assert row["reason"].startswith("several.test is not a public address; allow it with")
    assert connected == {"127.0.0.1"}


# Reference: the IANA registries of special-purpose addresses.
@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        *(
            (ip, True)
            for ip in ("1.0.0.1", "11.0.0.0", "100.63.255.255", "172.32.0.0", "192.0.1.0")
        ),
        *((ip, False) for ip in ("0.1.2.3", "127.255.255.254", "192.0.0.8", "192.0.0.9")),
        *((ip, False) for ip in ("192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1")),
        *((ip, False) for ip in ("192.175.48.1", "198.19.255.255", "198.51.100.1", "203.0.113.1")),
        *((ip, False) for ip in ("::", "::1", "::8.8.8.8", "::ffff:8.8.8.8", "64:ff9b:1::1")),
        *((ip, False) for ip in ("100::1", "2001::1", "2001:1::1", "2001:20::1", "2001:db8::1")),
        *((ip, False) for ip in ("2620:4f:8000::1", "3fff::1", "3fff:fff::1", "5f00::1")),
        *((ip, True) for ip in ("2001:200::1", "2620:4f:8001::1", "3fff:1000::1")),
    ],
)
def test_public_addresses(ip, public):
    assert download._is_public(ip) == public


# The folder.


def test_image_of_two_subsets_stays_in_the_first(tmp_path, server):
    url = f"{server.address}/ok/1.jpg"
    rows = [(url, "test", "cow"), (url, "train", "cow"), (url, "validation", "dog")]
    summary = fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out")
    assert (summary.rows, summary.images, summary.done) == (3, 1, 1)
    assert [path.parent.name for path in image_files(tmp_path / "out")] == ["test"]
    assert len(server.log) == 1
    assert manifest(tmp_path / "out")["ok/1.jpg"]["labels"] == "cow dog"


def test_same_bytes_under_other_addresses_stay_in_the_first_subset(tmp_path, server):
    subsets = ["test", "train", "test", "validation"]
    rows = [
        (f"{server.address}/same/{number}.jpg", subset, "") for number, subset in enumerate(subsets)
    ]
    file = annotate(tmp_path / "a.csv", [*rows, (f"{server.address}/ok/1.jpg", "train", "")])
    summary = fetch(file, tmp_path / "out")
    assert (summary.done, summary.duplicates) == (3, 2)
    listed = manifest(tmp_path / "out")
    assert listed["same/1.jpg"]["status"] == "duplicate"
    assert listed["same/1.jpg"]["reason"] == f"the same bytes as {rows[0][0]}"
    check_whole(tmp_path / "out")
    again = fetch(file, tmp_path / "out")
    assert (again.done, again.already_there, again.duplicates) == (0, 3, 2)
    assert len(server.log) == 5


def test_resize_shrinks_by_area_and_never_enlarges(tmp_path, server):
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/as/png/1.png", "train", "")])
    fetch(file, tmp_path / "out", resize=18)
    (shrunk,) = image_files(tmp_path / "out")
    assert shrunk.suffix == ".jpg"
    original = read_rgb(image("/as/png/1.png", kind="PNG"))
    mean_of_2x2 = original.reshape(18, 2, 24, 2, 3).mean(axis=(1, 3))
    assert abs(read_rgb(shrunk) - mean_of_2x2).mean() < 5
    check_whole(tmp_path / "out")

    fetch(file, tmp_path / "small", resize=36)
    (small,) = image_files(tmp_path / "small")
    assert small.read_bytes() == image("/as/png/1.png", kind="PNG")


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES) - {".jpeg", ".tiff"}))
def test_suffix_is_that_of_the_true_format(tmp_path, server, suffix):
    kind = {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:])
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/as/{kind}/1.gif", "train", "")])
    fetch(file, tmp_path / "out")
    assert [path.suffix for path in image_files(tmp_path / "out")] == [suffix]


def test_file_names_are_readable_and_stay_inside(tmp_path, server):
    paths = [
        "ok/NID/NID_QUB_264.jpg",
        "ok/../../../../up.jpg",
        "ok/%2e%2e%2fup.jpg",
        "ok/",
        "?id=1",
    ]
    rows = [
        (f"{server.address}/{path}", "train", "") for path in [*paths, "ok/" + 300 * "a" + ".jpg"]
    ]
    assert fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out").done == 6
    names = [path.name for path in image_files(tmp_path / "out")]
    assert len(names) == 6
    assert sum(name.startswith("NID_QUB_264-") for name in names) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out"]


def test_fit_reads_the_folder(tmp_path, server):
    rows = [
        (f"{server.address}/ok/{number}.jpg", ("train", "test", "validation")[number % 3], "")
        for number in range(12)
    ]
    fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out")
    splits = load_folder(tmp_path / "out", 32, train_images=10_000, validation_images=2_000)
    assert [len(images) for images in (splits.train, splits.validation, splits.test)] == [4, 4, 4]


def test_folder_made_otherwise_is_refused(tmp_path, server):
    rows = [(f"{server.address}/ok/{number}.jpg", "train", "") for number in range(3)]
    out = tmp_path / "out"
    gone = (f"{server.address}/gone-404/1.jpg", "train", "")
    fetch(annotate(tmp_path / "a.csv", [*rows[:2], gone]), out)
    # With corrected rows it resumes; with another size, another subset or other URLs it does not.
    assert fetch(annotate(tmp_path / "more.csv", rows), out).done == 1
    assert len(manifest(out)) == 3
    with pytest.raises(ColorizeError, match="was made with resize None, not 32"):
        fetch(tmp_path / "more.csv", out, resize=32)
    with pytest.raises(ColorizeError, match=r"holds 1 images that .*fewer\.csv does not name"):
        fetch(annotate(tmp_path / "fewer.csv", rows[1:]), out)
    moved = [(rows[0][0], "test", ""), *rows[1:]]
    with pytest.raises(ColorizeError, match="or in another subset"):
        fetch(annotate(tmp_path / "moved.csv", moved), out)
    (out / "manifest.sqlite").unlink()
    with pytest.raises(ColorizeError, match="holds images but no manifest"):
        fetch(tmp_path / "more.csv", out)
    (out / "manifest.sqlite").write_text("This is no database." * 100)
    with pytest.raises(ColorizeError, match="manifest cannot be used"):
        fetch(tmp_path / "more.csv", out)
    assert len(server.log) == 4
    gc.collect()  # Python 3.13 warns here of a database that was left open.


def test_output_that_is_a_file_is_one_line(tmp_path, server):
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/ok/1.jpg", "train", "")])
    with pytest.raises(ColorizeError, match=r"a\.csv"):
        fetch(file, file)


@pytest.mark.parametrize(
    "options",
    [{"resize": 0}, {"limit": -1}, {"connections": 0}, {"rate": 0.0}, {"rate": float("nan")}],
)
def test_bad_arguments_are_named(tmp_path, options):
    (name,) = options
    with pytest.raises(ColorizeError, match=f"{name} must be"):
        fetch(tmp_path / "a.csv", tmp_path / "out", **options)


# Other processes, interruptions, limits.


HASTE = "from keras_colorize.oxford import download; download.BACKOFF_SECONDS = 0.02\n"


def start(file, output, *options, before=HASTE):
    """The command in a process of its own."""
    program = before + "from keras_colorize.cli import main; main()"
    command = [sys.executable, "-c", program, "data", "oxford-paintings"]
    return subprocess.Popen(
        [*command, "--annotations", file, "-o", output, "--allow-private", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command(tmp_path, server):
    paths = ["ok/1.jpg", "gone-404/1.jpg", "html/1.jpg", "ok/1.jpg", "ok/2.jpg"]
    rows = [(f"{server.address}/{path}", "test", "") for path in paths]
    bad = [("ftp://127.0.0.1/1.jpg", "train", "")] * 23
    file = annotate(tmp_path / "a.xlsx", [*rows, *bad])
    process = start(file, tmp_path / "out", "--rate", "500")
    output, errors = process.communicate()
    assert process.returncode == 1
    assert f"{tmp_path / 'out'}: 2 done, 0 already there, 1 gone (404), 1 failed" in output
    assert str(tmp_path / "out" / "manifest.csv") in output
    assert errors.startswith(f"keras-colorize: {file}, sheet Sheet, row 7: bad URL")
    assert errors.count("\n") == 21
    assert errors.endswith(f"keras-colorize: {file}: 3 further bad rows\n")

    process = start(file, tmp_path / "out", "--rate", "500", "--limit", "2")
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "0 done, 1 already there, 1 gone (404), 0 failed" in output


@pytest.mark.parametrize(
    ("option", "code"),
    [("--strict", 1), ("--connections=0", 2), ("--rate=0", 2), ("--resize=x", 2)],
)
def test_command_refuses_in_one_line(tmp_path, option, code):
    process = start(annotate(tmp_path / "a.csv", [("x", "test", "")]), tmp_path / "out", option)
    output, errors = process.communicate()
    assert process.returncode == code
    assert output == "" and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("package", "name"), [("aiohttp", "a.csv"), ("openpyxl", "a.xlsx")])
def test_missing_package_names_the_remedy(tmp_path, package, name):
    file = annotate(tmp_path / name, [("http://example.org/1.jpg", "train", "")])
    hidden = f"import sys; sys.modules[{package!r}] = None\n"
    process = start(file, tmp_path / "out", before=hidden)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert package in errors and errors.endswith("pip install 'keras-colorize[oxford]'\n")


def wait_for(condition):
    """Waits until something has happened; fails after a minute."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def check_rate(log, rate, connections, runs=1):
    """No stretch of the log holds more requests than the rate allows.

    A request arrives later than it was let go, but of those at most as many as there are
    connections are under way at a time; and each run lets its first request go at once.
    """
    times = sorted(request.start for request in log)
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = rate * (times[last] - times[first]) + runs + connections
            assert last - first + 1 <= allowed


def test_rate_and_connections_are_limited(tmp_path, server):
    rows = [(f"{server.address}/slow/{number}.jpg", "train", "") for number in range(24)]
    fetch(annotate(tmp_path / "a.csv", rows), tmp_path / "out", connections=6, rate=20.0)
    check_rate(server.log, 20.0, 6)
    assert 1 < server.most_at_a_time <= 6


def test_second_process_is_refused_and_a_reader_is_not(tmp_path, server):
    rows = [(f"{server.address}/ok/{number}.jpg", "train", "") for number in range(30)]
    file = annotate(tmp_path / "a.csv", rows)
    with start(file, tmp_path / "out", "--rate=10") as first:
        wait_for(lambda: server.log)
        with pytest.raises(ColorizeError, match="another process is downloading into it"):
            fetch(file, tmp_path / "out")
        with sqlite3.connect(tmp_path / "out" / "manifest.sqlite") as database:
            assert database.execute("SELECT COUNT(*) FROM pictures").fetchone() == (30,)
        database.close()
        first.kill()
    assert fetch(file, tmp_path / "out").failed == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_is_one_line_and_resumes(tmp_path, server, number):
    rows = [(f"{server.address}/ok/{number}.jpg", "train", "") for number in range(60)]
    file = annotate(tmp_path / "a.csv", rows)
    with start(file, tmp_path / "out", "--rate=20") as process:
        wait_for(lambda: len(server.log) > 4)
        process.send_signal(number)
        output, errors = process.communicate()
    assert process.returncode == 130 and output == ""
    assert errors == "keras-colorize: interrupted\n"
    finished = sum(row["status"] == "done" for row in manifest(tmp_path / "out").values())
    assert 0 < finished < 60
    assert fetch(file, tmp_path / "out").already_there >= finished
    check_whole(tmp_path / "out")


def test_works_inside_a_running_loop(tmp_path, server):
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/ok/1.jpg", "train", "")])

    async def cell():
        return fetch(file, tmp_path / "out")

    assert asyncio.run(cell()).done == 1


@pytest.mark.parametrize(
    ("moment", "requests"),
    [
        ("pathlib.Path.replace", 2),  # Written beside, not yet renamed: fetched again.
        ("keras_colorize.oxford.manifest.Manifest.record_done", 1),  # Renamed: finished.
    ],
)
def test_killed_at_the_worst_moment(tmp_path, server, moment, requests):
    file = annotate(tmp_path / "a.csv", [(f"{server.address}/ok/1.jpg", "train", "cow")])
    kill = "import os, pathlib, keras_colorize.oxford\n"
    kill += f"{moment} = lambda *_: os.kill(os.getpid(), 9)\n"
    with start(file, tmp_path / "out", before=kill) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert len(image_files(tmp_path / "out")) == 1
    assert fetch(file, tmp_path / "out").failed == 0
    assert len(server.log) == requests
    check_whole(tmp_path / "out")


def test_killed_at_random_moments_nothing_is_lost_or_fetched_twice(tmp_path, server):
    behaviors = ["ok", "ok", "slow", "ok", "flaky", "as/png", "drop", "ok", "gone-404", "html"] * 8
    paths = [f"{how}/{number}.jpg" for number, how in enumerate(behaviors)]
    subsets = ["train", "test", "validation"] * 27
    rows = [
        (f"{server.address}/{path}", subset, "cow")
        for path, subset in zip(paths, subsets, strict=False)
    ]
    file = annotate(tmp_path / "a.xlsx", rows)
    out = tmp_path / "out"
    moments = random.Random(2018)
    finished: dict[str, int] = {}  # The requests for an image when its file was first seen.
    kills = 7
    for kill in range(kills):
        with start(file, out, "--rate=60") as process:
            if kill == 0:
                time.sleep(moments.uniform(0.3, 0.8))  # While it starts.
            else:
                wanted = len(server.log) + moments.randrange(4, 16)
                wait_for(lambda wanted=wanted: len(server.log) >= wanted)
                time.sleep(moments.uniform(0.0, 0.03))
            process.kill()
        for image_file in image_files(out):
            if not image_file.name.startswith("."):
                read_rgb(image_file)
                path = "/" + paths[int(image_file.name.split("-")[0])]
                finished.setdefault(path, server.attempts[path])
        if (out / "manifest.sqlite").exists():
            with sqlite3.connect(out / "manifest.sqlite") as database:
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            database.close()
    assert 0 < len(finished) < 64

    summary = fetch(file, out, rate=60.0)
    assert summary.already_there == len(finished)
    assert (summary.done, summary.gone, summary.failed) == (64 - len(finished), 8, 8)
    assert {path: server.attempts[path] for path in finished} == finished
    check_whole(out)
    check_rate(server.log, 60.0, 4, runs=kills + 1)
    assert fetch(file, out, rate=60.0).already_there == 64
