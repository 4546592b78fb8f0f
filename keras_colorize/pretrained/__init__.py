"""The models that come with the package: trained here, by an installed recipe."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from keras_colorize.errors import ColorizeError


@dataclass(frozen=True)
class PretrainedModel:
    """A model that comes with the package.

    Attributes:
        name: what `load` and `--model` take.
        sha256: of the `.keras` file, in hexadecimal.
        onnx_sha256: of the `.onnx` file.
        summary: what it is for, in a line.
        scores: how it does on images it never saw, in a line.
        license: of the weights.
    """

    name: str
    sha256: str
    onnx_sha256: str
    summary: str
    scores: str
    license: str

    @property
    def path(self) -> Path:
        """Its `.keras` file."""
        return Path(__file__).parent / f"{self.name}.keras"

    @property
    def card(self) -> Path:
        """Its model card: data, recipe, scores, limits, license."""
        return Path(__file__).parent / f"{self.name}.md"

    @property
    def onnx(self) -> Path:
        """The same model for ONNX Runtime, up to the blend of vividness."""
        return Path(__file__).parent / f"{self.name}.onnx"

    def check(self) -> None:
        """Raises a ColorizeError unless the files are those that were shipped."""
        for path, sha256 in ((self.path, self.sha256), (self.onnx, self.onnx_sha256)):
            try:
                digest = _sha256(path, path.stat().st_mtime_ns)
            except OSError as error:
                raise ColorizeError(
                    f"{path}: {error.strerror}; install the package again"
                ) from None
            if digest != sha256:
                raise ColorizeError(f"{path}: is damaged; install the package again")


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, modified: int) -> str:
    """Of a file, computed once as long as it stays the same."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


DEFAULT = "paintings_and_photos"

MODELS = {
    model.name: model
    for model in (
        PretrainedModel(
            name="paintings_and_photos",
            sha256="208a2f9b605bf63759df10f5ee185711ef2fe761767030bbb7e1bdd3a92324ed",
            onnx_sha256="06d3216f6d307c81271fbc97a601463002171ebb6c4dc90b3b2c478f644dc5c1",
            summary="Paintings and photographs, any size",
            scores=(
                "CIEDE2000 / gray's at vividness 0: paintings by unseen artists 0.735, "
                "by seen artists 0.708, photographs of scenes 0.677"
            ),
            license="MIT; encoder weights EfficientNet-Lite0, Apache-2.0",
        ),
    )
}
