"""Notebooks: whether this is one; tables and images as HTML that needs no other file."""

import base64
import html
import sys
from collections.abc import Sequence

import cv2
import numpy as np


def in_notebook() -> bool:
    """Whether output goes to a notebook's cell, which redraws a line as a terminal does."""
    return type(sys.stdout).__module__ == "ipykernel.iostream"


def html_image(image: np.ndarray | bytes) -> str:
    """An image, uint8 sRGB of shape (H, W, 3), or the bytes of a PNG."""
    if not isinstance(image, bytes):
        _, encoded = cv2.imencode(".png", image[..., ::-1])
        image = encoded.tobytes()
    return f'<img src="data:image/png;base64,{base64.b64encode(image).decode()}">'


def html_table(columns: Sequence[Sequence[str]]) -> str:
    """A table of text; the first row and column are headings, the other columns are figures."""
    rows = []
    for number, cells in enumerate(zip(*columns, strict=True)):
        heading, *figures = (html.escape(cell.strip()) for cell in cells)
        kind = "td" if number else "th"
        figures = [f'<{kind} style="text-align:right">{cell}</{kind}>' for cell in figures]
        rows.append(f'<tr><th style="text-align:left">{heading}</th>{"".join(figures)}</tr>')
    return f"<table>{''.join(rows)}</table>"
