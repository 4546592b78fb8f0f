"""The manifest of an output folder: the status of each URL."""

import csv
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.files import whole_file
from keras_colorize.oxford.annotations import SUBSETS, Painting

PENDING, DONE, GONE, FAILED, DUPLICATE = "pending", "done", "gone", "failed", "duplicate"

_TABLES = """
BEGIN;
CREATE TABLE IF NOT EXISTS settings (resize INTEGER);
CREATE TABLE IF NOT EXISTS pictures (
  address TEXT PRIMARY KEY,
  subset TEXT NOT NULL,
  labels TEXT NOT NULL,
  status TEXT NOT NULL,
  bytes INTEGER,
  sha256 TEXT,
  file TEXT,
  reason TEXT,
  row INTEGER NOT NULL
);
COMMIT;
"""

_TAKE_IN = """
INSERT INTO pictures (address, subset, labels, status, row) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (address) DO UPDATE SET labels = excluded.labels, row = excluded.row
"""

_SAME_BYTES_IN_ANOTHER_SUBSET = """
SELECT address, first_address FROM (
  SELECT
    address,
    subset,
    FIRST_VALUE(address) OVER same_bytes AS first_address,
    FIRST_VALUE(subset) OVER same_bytes AS first_subset
  FROM pictures WHERE status = ?
  WINDOW same_bytes AS (PARTITION BY sha256 ORDER BY row)
) WHERE subset != first_subset
"""


class Manifest:
    """`manifest.sqlite` in an output folder: a row for each URL of the annotation file.

    SQLite, because a change is then made whole or not at all, whenever the process is killed,
    and costs as little with 8,325 rows as with one. `manifest.csv` is a copy to read.

    Columns: `address`, which is the URL, `subset`, `labels` (separated by blanks), `status`
    (pending, done, gone, failed, or duplicate: the same bytes as an image of another subset),
    `bytes` and `sha256` of the stored file, `file` relative to the folder, `reason` why there is
    none, and the `row` of the annotation file that names the URL first.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the manifest of a folder, or makes one where there are no images yet.

        Raises:
            ColorizeError: the folder holds subsets that were not downloaded by this command.
        """
        self._folder = folder
        path = folder / "manifest.sqlite"
        if not path.exists() and any((folder / subset).exists() for subset in SUBSETS):
            raise ColorizeError(f"{folder}: holds images but no {path.name}; use a new folder")
        # One thread at a time, though not always the one that opens it.
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        try:
            self._database.executescript(_TABLES)
        except sqlite3.Error:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def take_in(self, paintings: Sequence[Painting], resize: int | None, source: Path) -> None:
        """Adds what an annotation file names, if the folder can be completed from it.

        New rows and changed labels are accepted, so that a corrected file can be used to resume.

        Args:
            paintings: all that the file names.
            resize: short side that larger images are shrunk to; None for the files as served.
            source: the annotation file, for messages.

        Raises:
            ColorizeError: the folder was made with another size, or holds images that the
                file does not name, or names in another subset.
        """
        with self._database as database:
            setting = database.execute("SELECT resize FROM settings").fetchone()
            if setting is None:
                database.execute("INSERT INTO settings VALUES (?)", (resize,))
            elif setting["resize"] != resize:
                raise ColorizeError(
                    f"{self._folder}: was made with resize {setting['resize']}, not {resize}; "
                    "use that or another folder"
                )
            subsets = {painting.url: painting.subset for painting in paintings}
            strangers = [row for row in self.rows() if subsets.get(row["address"]) != row["subset"]]
            held = [row["address"] for row in strangers if row["status"] in (DONE, DUPLICATE)]
            if held:
                raise ColorizeError(
                    f"{self._folder}: holds {len(held)} images that {source} does not name, or "
                    f"in another subset (first {held[0]}); use another folder"
                )
            database.executemany(
                "DELETE FROM pictures WHERE address = ?", [(row["address"],) for row in strangers]
            )
            database.executemany(
                _TAKE_IN,
                [(p.url, p.subset, " ".join(p.labels), PENDING, p.row) for p in paintings],
            )

    def rows(self) -> list[sqlite3.Row]:
        """All rows, in the order of the annotation file."""
        return self._database.execute("SELECT * FROM pictures ORDER BY row").fetchall()

    def record_done(self, url: str, file: str, size: int, sha256: str) -> None:
        """Records an image that is in the folder."""
        with self._database as database:
            database.execute(
                "UPDATE pictures SET status = ?, file = ?, bytes = ?, sha256 = ?, reason = NULL "
                "WHERE address = ?",
                (DONE, file, size, sha256, url),
            )

    def record_missing(self, url: str, status: str, reason: str) -> None:
        """Records an image that was not downloaded, and why."""
        with self._database as database:
            database.execute(
                "UPDATE pictures SET status = ?, bytes = NULL, sha256 = NULL, file = NULL, "
                "reason = ? WHERE address = ?",
                (status, reason, url),
            )

    def drop_duplicates(self) -> None:
        """Removes images whose bytes another subset named first under another URL."""
        with self._database as database:
            database.executemany(
                "UPDATE pictures SET status = ?, reason = 'the same bytes as ' || ? "
                "WHERE address = ?",
                [
                    (DUPLICATE, row["first_address"], row["address"])
                    for row in database.execute(_SAME_BYTES_IN_ANOTHER_SUBSET, (DONE,)).fetchall()
                ],
            )
        # Recorded first: if the process is killed here, the next run removes the files.
        for row in self.rows():
            if row["status"] == DUPLICATE and row["file"] is not None:
                (self._folder / row["file"]).unlink(missing_ok=True)
                with self._database as database:
                    database.execute(
                        "UPDATE pictures SET file = NULL WHERE address = ?", (row["address"],)
                    )

    def write_csv(self) -> None:
        """Writes manifest.csv, one line for each row."""
        with (
            whole_file(self._folder / "manifest.csv") as beside,
            beside.open("w", encoding="utf-8", newline="") as file,
        ):
            rows = self._database.execute("SELECT * FROM pictures ORDER BY row")
            writer = csv.writer(file)
            writer.writerow(column[0] for column in rows.description)
            writer.writerows(rows)
