"""The annotation file: spreadsheet rows -> paintings to fetch, and a line for each bad row."""

import csv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from keras_colorize.errors import ColorizeError

SUBSETS = ("train", "validation", "test")

INSTALL = "pip install 'keras-colorize[oxford]'"
"""Brings the packages that only this folder needs."""

_ADDRESS, _SUBSET, _LABELS = "Image URL", "Subset", "Labels"


@dataclass(frozen=True)
class Painting:
    """A picture to fetch.

    Attributes:
        address: http or https, without a fragment; scheme and host in lower case.
        subset: one of `SUBSETS`.
        labels: what is shown, of all the rows with this address.
        row: the first row that names it, as the spreadsheet counts (the header is row 1).
    """

    address: str
    subset: str
    labels: tuple[str, ...]
    row: int


@dataclass(frozen=True)
class Annotations:
    """What an annotation file says.

    Attributes:
        paintings: one for each address, in the order first named.
        rows: rows read, without the header and blank ones.
        bad_rows: one line for each row left out, naming file, sheet and row.
    """

    paintings: tuple[Painting, ...]
    rows: int
    bad_rows: tuple[str, ...]


def read_annotations(path: Path) -> Annotations:
    """Reads the first sheet of an .xlsx file, or a .csv file in UTF-8.

    Columns are found by their names in the first row: `Image URL`, `Subset` and `Labels`; values
    may be quoted inside the cell. An address named by several rows is one painting: it stays in
    the subset that names it first, so that no test picture is trained on, and has the labels of
    all of them.

    Args:
        path: the annotation file.

    Returns:
        The paintings, and what is wrong with the rows left out.

    Raises:
        ColorizeError: the file cannot be read, or has no column of addresses or subsets.
    """
    path = Path(path)
    sheet, table = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    header = [_text(cell) for cell in table[0]] if table else []
    for name in (_ADDRESS, _SUBSET):
        if name not in header:
            raise ColorizeError(f"{sheet}, row 1: no column {name!r}; got {header}")
    bad_rows = []
    if _LABELS not in header:
        bad_rows.append(f"{sheet}, row 1: no column {_LABELS!r}; pictures go without labels")

    rows = 0
    paintings: dict[str, Painting] = {}
    for number, cells in enumerate(table[1:], start=2):
        values = dict(zip(header, map(_text, cells), strict=False))
        if not any(values.values()):
            continue
        rows += 1
        try:
            painting = _painting(values, number)
        except ValueError as error:
            bad_rows.append(f"{sheet}, row {number}: {error}")
            continue
        first = paintings.setdefault(painting.address, painting)
        labels = tuple(dict.fromkeys(first.labels + painting.labels))
        paintings[painting.address] = replace(first, labels=labels)
    return Annotations(tuple(paintings.values()), rows, tuple(bad_rows))


def _painting(values: dict[str, str], row: int) -> Painting:
    """The painting of one row; a ValueError says what is wrong with it."""
    address = _checked_address(values.get(_ADDRESS, ""))
    subset = values.get(_SUBSET, "").lower()
    if subset not in SUBSETS:
        raise ValueError(f"unknown subset {subset!r}; use one of {' '.join(SUBSETS)}")
    return Painting(address, subset, tuple(values.get(_LABELS, "").split()), row)


def _checked_address(text: str) -> str:
    """An address in the form that tells equal ones; a ValueError says what is wrong with it."""
    try:
        parts = urlsplit(text)
        host = parts.hostname if parts.port != 0 else None
    except ValueError as error:
        raise ValueError(f"bad address {text!r} ({error})") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"bad address {text!r} (only http and https are fetched)")
    # `urlsplit` drops line ends unasked, so they are looked for in the text.
    if not host or "@" in parts.netloc or " " in text or not text.isprintable():
        raise ValueError(f"bad address {text!r}")
    return parts._replace(netloc=parts.netloc.lower(), fragment="").geturl()


def _text(cell: Any) -> str:
    """A cell as text, without blanks and quotes around: `"' cow'"` becomes `"cow"`."""
    text = "" if cell is None else str(cell).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _read_xlsx(path: Path) -> tuple[str, list[Sequence[Any]]]:
    """The name of the first sheet, for messages, and its rows."""
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise ColorizeError(f"{path}: openpyxl, which reads it, is missing; {INSTALL}") from error
    try:
        with path.open("rb") as file:
            sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
            return f"{path}, sheet {sheet.title}", list(sheet.iter_rows(values_only=True))
    except OSError as error:
        raise ColorizeError(f"{path}: cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, ParseError) as error:
        raise ColorizeError(f"{path}: not an .xlsx spreadsheet ({error})") from error


def _read_csv(path: Path) -> tuple[str, list[Sequence[Any]]]:
    """The name of the file, for messages, and its rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines: Iterable[Sequence[Any]] = csv.reader(file, strict=True)
            return str(path), list(lines)
    except OSError as error:
        raise ColorizeError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ColorizeError(f"{path}: neither .xlsx nor CSV in UTF-8 ({error})") from error
