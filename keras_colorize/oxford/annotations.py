"""The annotation file: spreadsheet rows -> paintings to download, and a line for each bad row."""

import csv
import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from keras_colorize.errors import ColorizeError, shorten

SUBSETS = ("train", "validation", "test")

INSTALL = "pip install 'keras-colorize[oxford]'"
"""Brings the packages that only this folder needs."""

_URL, _SUBSET, _LABELS = "Image URL", "Subset", "Labels"

_LONGEST_URL = 2000

# Of an .xlsx file: bytes unpacked, XML tags (openpyxl takes 300 bytes for an empty cell), and what
# is read of the first sheet. 100,000 rows of four cells stay below.
_MAX_BYTES, _MAX_TAGS = 32 * 2**20, 2**21
_MAX_ROWS, _MAX_COLUMNS = 2**20, 256


@dataclass(frozen=True)
class Painting:
    """An image to download.

    Attributes:
        url: http or https, without a fragment; scheme and host in lower case.
        subset: one of `SUBSETS`.
        labels: what is shown, of all the rows with this URL.
        row: the first row that names it, as the spreadsheet counts (the header is row 1).
    """

    url: str
    subset: str
    labels: tuple[str, ...]
    row: int


@dataclass(frozen=True)
class Annotations:
    """The content of an annotation file.

    Attributes:
        paintings: one for each URL, in the order first named.
        rows: rows read, without the header and blank ones.
        bad_rows: one line for each row left out, naming file, sheet and row.
    """

    paintings: tuple[Painting, ...]
    rows: int
    bad_rows: tuple[str, ...]


def read_annotations(path: Path) -> Annotations:
    """Reads the first sheet of an .xlsx file, or a .csv file in UTF-8.

    Columns are found by their names in the first row: `Image URL`, `Subset` and `Labels`; values
    may be quoted inside the cell. A URL named by several rows is one painting: it stays in
    the subset that names it first, so that no test image is trained on, and has the labels of
    all of them.

    Args:
        path: the annotation file.

    Returns:
        The paintings, and what is wrong with the rows left out.

    Raises:
        ColorizeError: the file cannot be read, or has no column of URLs or subsets.
    """
    path = Path(path)
    sheet, table = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    header = [_text(cell) for cell in next(table, ())]
    for name in (_URL, _SUBSET):
        if name not in header:
            got = shorten(str(list(filter(None, header))))
            raise ColorizeError(f"{sheet}, row 1: no column {name!r}; got {got}")
    bad_rows = []
    if _LABELS not in header:
        bad_rows.append(f"{sheet}, row 1: no column {_LABELS!r}; images go without labels")

    rows = 0
    paintings: dict[str, Painting] = {}
    labels: dict[str, dict[str, None]] = {}  # In order, each once.
    for number, cells in enumerate(table, start=2):
        if not any(cells):
            continue
        values = dict(zip(header, map(_text, cells), strict=False))
        if not any(values.values()):
            continue
        rows += 1
        try:
            painting = _painting(values, number)
        except ValueError as error:
            bad_rows.append(f"{sheet}, row {number}: {error}")
            continue
        paintings.setdefault(painting.url, painting)
        labels.setdefault(painting.url, {}).update(dict.fromkeys(painting.labels))
    merged = (replace(one, labels=tuple(labels[one.url])) for one in paintings.values())
    return Annotations(tuple(merged), rows, tuple(bad_rows))


def _painting(values: dict[str, str], row: int) -> Painting:
    """The painting of one row; a ValueError says what is wrong with it."""
    url = _checked_url(values.get(_URL, ""))
    subset = values.get(_SUBSET, "").lower()
    if subset not in SUBSETS:
        raise ValueError(f"unknown subset {shorten(subset)!r}; use one of {' '.join(SUBSETS)}")
    return Painting(url, subset, tuple(values.get(_LABELS, "").split()), row)


def _checked_url(text: str) -> str:
    """A URL in normal form; a ValueError says what is wrong with it."""
    shown = f"bad URL {shorten(text)!r}"
    if len(text) > _LONGEST_URL:
        raise ValueError(f"{shown} (longer than {_LONGEST_URL} characters)")
    try:
        parts = urlsplit(text)
        host = parts.hostname if parts.port != 0 else None
    except ValueError as error:
        raise ValueError(f"{shown} ({shorten(str(error))})") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{shown} (only http and https are supported)")
    # `urlsplit` drops line ends silently, so the text is searched for them.
    if not host or "@" in parts.netloc or " " in text or not text.isprintable():
        raise ValueError(shown)
    return parts._replace(netloc=parts.netloc.lower(), fragment="").geturl()


def _text(cell: Any) -> str:
    """A cell as text, without blanks and quotes around: `"' cow'"` becomes `"cow"`."""
    text = "" if cell is None else str(cell).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _read_xlsx(path: Path) -> tuple[str, Iterator[Sequence[Any]]]:
    """The name of the first sheet, for messages, and its rows."""
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise ColorizeError(f"{path}: openpyxl, which reads it, is missing; {INSTALL}") from error

    def rows() -> Iterator[Sequence[Any]]:
        with _damage_named(path):
            yield from sheet.iter_rows(max_row=_MAX_ROWS, max_col=_MAX_COLUMNS, values_only=True)

    try:
        with path.open("rb") as opened:
            file = io.BytesIO(opened.read(_MAX_BYTES + 1))
    except OSError as error:
        raise ColorizeError(f"{path}: cannot be read ({error.strerror})") from error
    with _damage_named(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of styles and such, which are not read.
        if _is_too_large(file):
            raise ColorizeError(
                f"{path}: unpacks to more than {_MAX_BYTES // 2**20} MiB, or {_MAX_TAGS:,} tags; "
                "save it as .csv"
            )
        sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
        return f"{path}, sheet {shorten(sheet.title)}", rows()


def _is_too_large(file: io.BytesIO) -> bool:
    """Whether an archive would take much memory, computed without unpacking it."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        # No more is unpacked than the headers say.
        size = sum(entry.file_size for entry in entries) + file.getbuffer().nbytes
        if size > _MAX_BYTES:
            return True
        tags = 0
        for entry in entries:
            with archive.open(entry) as part:
                tags += sum(chunk.count(b"<") for chunk in iter(lambda: part.read(2**16), b""))
        return tags > _MAX_TAGS


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns any error from a damaged spreadsheet into a ColorizeError of one line."""
    try:
        yield
    except ColorizeError:
        raise
    except Exception as error:
        reason = shorten(str(error) or type(error).__name__)
        raise ColorizeError(f"{path}: not an .xlsx spreadsheet ({reason})") from error


def _read_csv(path: Path) -> tuple[str, Iterator[Sequence[Any]]]:
    """The name of the file, for messages, and its rows."""

    def rows() -> Iterator[Sequence[Any]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.reader(file, strict=True)
        except OSError as error:
            raise ColorizeError(f"{path}: cannot be read ({error.strerror})") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise ColorizeError(f"{path}: neither .xlsx nor CSV in UTF-8 ({error})") from error

    return str(path), rows()
