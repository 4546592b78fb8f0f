"""Files of several images: pages of a TIFF, frames of an animation."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from keras_colorize.files import whole_file
from keras_colorize.images import tiff
from keras_colorize.images.arrays import to_uint8
from keras_colorize.images.formats import kind_of, suffix_of
from keras_colorize.images.opening import RefusedError, named_errors, open_stream
from keras_colorize.images.pillow import open_image
from keras_colorize.images.rgb_image import Metadata, RgbImage
from keras_colorize.images.writing import (
    JPEG_QUALITY,
    join,
    kind_to_write,
    named_write_errors,
    write_image,
    write_tiff_page,
)

_ANIMATED = ("GIF", "PNG", "WEBP")


def count_pages(path: Path | str) -> int:
    """Counts the pages of a TIFF, or the frames of a GIF, PNG or WebP.

    Thumbnails and masks in a TIFF do not count; the default image of a PNG does.

    Returns:
        The number, 1 for all other kinds.

    Raises:
        ColorizeError: the file cannot be read.
    """
    with named_errors(path), open_stream(path) as (stream, start):
        kind = kind_of(start)
        if kind == "TIFF":
            with tiff.open_tiff(stream) as file:
                return sum(1 for _ in tiff.pages(file))
        return getattr(open_image(kind, stream), "n_frames", 1) if kind in _ANIMATED else 1


def frame_durations(path: Path | str) -> list[int]:
    """Reads how long each frame of an animation is shown.

    Returns:
        Milliseconds, one number for each of `count_pages`; 0 where there is none, as for the
        pages of a TIFF and for a default image beside the animation.

    Raises:
        ColorizeError: the file cannot be read.
    """
    with named_errors(path), open_stream(path) as (stream, start):
        kind = kind_of(start)
        if kind not in _ANIMATED:
            return [0] * count_pages(path)
        image = open_image(kind, io.BytesIO(stream.read()))  # Whose frames it seeks back and forth.
        durations = []
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            image.load()
            is_default = frame == 0 and image.info.get("default_image")
            durations.append(0 if is_default else round(image.info.get("duration", 0)))
        return durations


def write_pages(
    path: Path,
    images: Iterable[RgbImage],
    *,
    durations: Sequence[int] | None = None,
    quality: int = JPEG_QUALITY,
) -> None:
    """Writes several images to one file, which appears whole or not at all.

    Args:
        path: file to write, replaced if it is there: a TIFF, whose pages keep their sizes, depths
            and metadata, or a GIF, PNG or WebP, an animation without end of 8 bits. With a single
            image it may be any file that `write_image` writes.
        images: the images, one or more; those of an animation have one size.
        durations: how long each frame is shown, in milliseconds; 100 by default.
        quality: 1 to 100, of WebP.

    Raises:
        ColorizeError: as `write_image`; or the format holds a single image, or the images of an
            animation differ in size.
    """
    with named_write_errors(path):
        kind = kind_to_write(suffix_of(path))
        if kind == "TIFF":
            _write_tiff(Path(path), images)
            return
        frames = list(images)
        if len(frames) == 1:
            only = frames[0]
            write_image(path, only.rgb, only.alpha, metadata=only.metadata, quality=quality)
            return
        if kind not in _ANIMATED:
            raise RefusedError(f"{kind} holds a single image; write a .tif, .gif or .png")
        if len({frame.rgb.shape for frame in frames}) > 1:
            raise RefusedError("frames must have one size; write a .tif instead")
        durations = [100] * len(frames) if durations is None else [*durations]
        if len(durations) != len(frames):
            raise RefusedError(f"{len(frames)} frames, but {len(durations)} durations")
        encoded = _animation(kind, frames, durations, quality)
        with whole_file(Path(path)) as beside:
            beside.write_bytes(encoded)


def _write_tiff(path: Path, images: Iterable[RgbImage]) -> None:
    import tifffile

    with whole_file(path) as beside, tifffile.TiffWriter(beside) as writer:
        for image in images:
            metadata = image.metadata or Metadata()
            kept = replace(metadata, exif=b"")
            write_tiff_page(writer, join(image.rgb, image.alpha), kept)


def _animation(
    kind: str, images: Sequence[RgbImage], durations: Sequence[int], quality: int
) -> bytes:
    """Encodes an animation without end."""
    has_alpha = any(image.alpha is not None for image in images)
    opaque = np.full(images[0].rgb.shape[:2], 255, np.uint8) if has_alpha else None
    frames = []
    for image in images:
        alpha = opaque if image.alpha is None else to_uint8(image.alpha)
        frames.append(Image.fromarray(join(to_uint8(image.rgb), alpha)))
    options: dict[str, object] = {"quality": quality} if kind == "WEBP" else {}
    if kind == "GIF":
        options["disposal"] = 2  # Else what is transparent shows the frame before.
    stream = io.BytesIO()
    frames[0].save(
        stream,
        kind,
        save_all=True,
        append_images=frames[1:],
        duration=list(durations),
        loop=0,
        **options,
    )
    return stream.getvalue()
