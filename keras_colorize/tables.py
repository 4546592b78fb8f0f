"""The tables of a recipe: every key with its type, range, default and meaning."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import (
    Discriminator as PydanticDiscriminator,
)

SOURCES = ("folder", "cifar10", "painted_scenes", "given")
RECONSTRUCTION_LOSSES = ("l1", "l2", "huber", "delta_e")
OPTIMIZERS = ("adam", "adamw", "sgd", "lion")
SCHEDULES = ("exponential", "cosine", "constant")
"""What the package itself has; recipes may name functions of their own instead."""

_OWN_PART = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


def is_own_part(name: str) -> bool:
    """Whether a name is `module:function`, a part that is not of this package."""
    return re.fullmatch(_OWN_PART, name) is not None


def _one_of(names: tuple[str, ...]) -> BeforeValidator:
    """Lets these names pass, and `module:function`."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and (value in names or is_own_part(value)):
            return value
        listed = ", ".join(map(repr, names))
        raise ValueError(f"should be {listed} or 'module:function' (got {show(value)})")

    return BeforeValidator(check, json_schema_input_type=Literal[*names, "module:function"])


Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Filters = Annotated[int, Field(ge=1, le=512)]
FirstFilters = Annotated[
    Filters,
    Field(description="Channels of the first block; the deepest have eight times as many."),
]
InitialWeights = Annotated[
    Literal["normal", "keras"],
    Field(description="Random initial weights: N(0, 0.02), or Keras's defaults."),
]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0 - 2.0**-25)]  # In float32 the rest is 1.

DOWNSAMPLING = {"unet": 16, "efficientnet": 32}
"""How many times smaller each network's deepest features are; image sizes are multiples of it."""

BEST_BY = "val_l1_loss"
"""The figure of a history that is least in a run's best epoch."""

NETWORK_TAGS = {"generator": (*DOWNSAMPLING, "own"), "discriminator": ("patch", "own")}
"""The networks of each table, as pydantic names them."""


class Table(BaseModel):
    """A table of a recipe: unknown keys are errors, values never change.

    The docstring below a key is its description in the reference of recipes.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


_TEST_KEYS = {
    "folder": ("path", "test_share", "split_by", "test_images"),
    "cifar10": ("validation_images", "test_images"),
    "painted_scenes": ("test_images",),
}
"""Keys of a source that determine which images are kept for testing; of others all may."""


class Data(Table):
    """Where the images come from, and how many go where."""

    source: Annotated[str, _one_of(SOURCES)]
    """Where the images come from; `given`: passed to `fit` as `data`; or `module:function`, a
    function of your own."""
    path: str | None = None
    """Folder of the images, for `folder` and functions of your own."""
    # Below 32 the discriminator's last convolution has no input left.
    image_size: Annotated[int, Field(ge=32, le=512, multiple_of=min(DOWNSAMPLING.values()))] = 32
    """Height and width to which images are cropped and resized, in pixels."""
    train_images: Count | None = None
    """Train on at most this many images; unset: all."""
    validation_images: Count | None = None
    """Validate on at most this many images; unset: all."""
    test_images: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Keep at most this many images for testing; unset: all."""
    validation_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of a folder's images to validate on, unless it has `validation/`."""
    test_share: Share = 0.1
    """Share of a folder's images kept for testing, unless it has `test/`."""
    split_by: Literal["file", "folder"] = "file"
    """Whether each file of a folder is split by itself, or subfolders as a whole."""
    flip: bool = True
    """Mirror half of the training images, drawn every epoch."""
    crop: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Smallest side of random training crops, as a share; 1: no crops."""
    degraded_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of training images that the generator sees as old photographs are: blurred, faded or
    darkened, and grainy."""
    memory_gib: Annotated[float, Field(gt=0.0)] | None = None
    """Hold Lab of the images in memory up to this size, in GiB, and on disk above; unset: a quarter
    of the machine's memory."""
    cache: str | None = None
    """Folder of Lab on disk; unset: `keras-colorize` in `$XDG_CACHE_HOME` or `~/.cache`."""

    @field_validator("path")
    @classmethod
    def _path_is_of_a_folder(cls, path: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source", "folder")
        if path is not None and source != "folder" and not is_own_part(source):
            raise ValueError(f'is for source = "folder", not "{source}" (got {show(path)})')
        return _one_spelling(path)

    @field_validator("cache")
    @classmethod
    def _cache_is_a_folder(cls, path: str | None) -> str | None:
        return _one_spelling(path)

    @model_validator(mode="after")
    def _shares_leave_training_images(self) -> "Data":
        if self.validation_share + self.test_share >= 1.0:
            raise ValueError(
                "validation_share + test_share must leave some images to train on "
                f"(got {self.validation_share} + {self.test_share})"
            )
        return self

    def for_testing(self, image_size: int = 32) -> "Data":
        """The same test images, at another size and with as few others as there can be.

        Two tables that have the same test images become equal.
        """
        if self.source not in _TEST_KEYS:
            unused = ("flip", "crop", "degraded_share", "memory_gib", "cache")
            changes = {key: Data.model_fields[key].default for key in unused}
            return self.model_copy(update={"image_size": image_size, **changes})
        few = Data(source=self.source, train_images=1, validation_images=1)
        kept = {key: getattr(self, key) for key in _TEST_KEYS[self.source]}
        return few.model_copy(update={"image_size": image_size, **kept})


class UNet(Table):
    """The original's U-Net, which predicts ab from lightness."""

    network: Literal["unet"] = "unet"
    """Which generator."""
    normalization: Literal["batch", "instance"] = "batch"
    """Normalization of the blocks."""
    filters: FirstFilters = 64
    dropout: Share = 0.5
    """Dropout rate of the two deepest decoder blocks."""
    initial_weights: InitialWeights = "normal"


class EfficientNet(Table):
    """A pretrained EfficientNet-Lite0 encoder with a decoder that predicts ab and ab classes."""

    network: Literal["efficientnet"]
    """Which generator."""
    encoder_weights: Literal["imagenet", "none"] = "imagenet"
    """Pretrained weights of the encoder, or random ones."""
    frozen_stages: Annotated[int, Field(ge=0, le=7)] = 3
    """Stages of the encoder, from the first on, that are never trained."""
    decoder_filters: Annotated[
        tuple[Filters, ...], Field(min_length=4, max_length=4, strict=False)
    ] = (192, 128, 64, 64)
    """Channels of the decoder at strides 32, 16, 8, 4."""
    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Temperature of the ab classes; below 1 likely colors count more: more vivid."""
    vivid_chroma: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    """Factor on the chroma of the ab classes."""
    vivid_regression: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the regression in the vivid colors; the rest: classes."""
    vivid_contrast: Annotated[float, Field(gt=0.0, le=3.0)] = 1.0
    """Exponent on chroma in the vivid colors; above 1 strong colors gain most."""
    vivid_pivot: Annotated[float, Field(gt=0.0, le=100.0)] = 16.0
    """Chroma that `vivid_contrast` leaves as it is, in units of a and b."""
    vividness: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """The saved model's default: 0 faithful, 1 vivid."""


class OwnNetwork(Table):
    """A network of your own; the keys of its table are arguments of its function."""

    model_config = ConfigDict(extra="allow")

    network: Annotated[str, Field(pattern=f"^{_OWN_PART}$")]
    """`module:function`, which builds the network."""


class Discriminator(Table):
    """The network that distinguishes real ab from predicted ab. Without this table: a plain CNN."""

    network: Literal["patch"] = "patch"
    """Which discriminator."""
    normalization: Literal["batch", "instance", "spectral", "none"] = "batch"
    """Normalization of the blocks."""
    filters: FirstFilters = 64
    initial_weights: InitialWeights = "normal"


def _by_network(default: str) -> PydanticDiscriminator:
    """Which table a network's is; recipes without the key mean the default."""

    def tag(table: Any) -> str:
        if isinstance(table, dict):
            network = str(table.get("network", default))
        else:
            network = getattr(table, "network", default)
        return "own" if is_own_part(network) else network

    return PydanticDiscriminator(tag)


Generator = Annotated[
    Annotated[UNet, Tag("unet")]
    | Annotated[EfficientNet, Tag("efficientnet")]
    | Annotated[OwnNetwork, Tag("own")],
    _by_network("unet"),
]
AnyDiscriminator = Annotated[
    Annotated[Discriminator, Tag("patch")] | Annotated[OwnNetwork, Tag("own")],
    _by_network("patch"),
]


class Losses(Table):
    """What the generator is trained on: `weight * reconstruction + (1 - weight) * adversarial`."""

    reconstruction: Annotated[str, _one_of(RECONSTRUCTION_LOSSES)] = "l1"
    """Loss of predicted ab, or `module:function`."""
    reconstruction_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.99
    """Weight of the reconstruction loss beside the adversarial one."""
    adversarial: Literal["bce", "least_squares"] = "bce"
    """Adversarial loss of generator and discriminator: binary cross-entropy, as in the original, or
    least squares."""
    real_target: Annotated[float, Field(gt=0.5, le=1.0)] = 1.0
    """Target of the discriminator for real images; below 1: label smoothing."""
    class_weight: Annotated[float, Field(ge=0.0)] = 0.02
    """Weight of the loss of ab classes (`efficientnet`)."""
    class_rebalancing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """How strongly rare ab classes count more (`efficientnet`); 0: all alike."""


class Optimizers(Table):
    """The optimizers of both networks."""

    name: Annotated[str, _one_of(OPTIMIZERS)] = "adam"
    """Which optimizer, or `module:function`."""
    generator_learning_rate: LearningRate = 3e-4
    """Base learning rate of the generator."""
    discriminator_learning_rate: LearningRate = 6e-5
    """Base learning rate of the discriminator."""
    beta_1: Beta = 0.5
    """Decay of the first moment (`adam`, `adamw`, `lion`)."""
    beta_2: Beta = 0.999
    """Decay of the second moment (`adam`, `adamw`, `lion`)."""
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-8
    """Added to the root of the second moment (`adam`, `adamw`)."""
    momentum: Beta = 0.9
    """Momentum (`sgd`)."""
    weight_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decoupled weight decay, of all but biases and normalizations; `adam` with it is `adamw`."""
    encoder_learning_rate_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on the learning rate of a pretrained encoder (`adam`, `adamw`). With 0.3 of 1e-3 the
    last blocks of EfficientNet-Lite0 end up constant; with 0.05 they do not."""


class Schedule(Table):
    """Learning rate of a step.

    "exponential" is `base * decay_rate ** (step / decay_steps)`. "cosine" falls along half a
    cosine from base to zero over all epochs. Both have a floor. "constant" is base. Over the
    first `warmup_steps` the rate rises along a line.
    """

    shape: Annotated[str, _one_of(SCHEDULES)] = "exponential"
    """How the learning rate falls, or `module:function`."""
    warmup_steps: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Steps in which the learning rate first rises from zero."""
    decay_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Factor after each `decay_steps` (`exponential`)."""
    decay_steps: Count = 60_000
    """Steps in which the rate falls by `decay_rate` (`exponential`)."""
    minimum_learning_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-6
    """Floor of the learning rate (`exponential`, `cosine`)."""

    @property
    def is_assignable(self) -> bool:
        """Whether callbacks can set the learning rate: nothing computes it from the step."""
        return self.shape == "constant" and not self.warmup_steps


class Training(Table):
    """How long, in what portions, how precisely, and what is kept."""

    epochs: Count
    """Epochs of the whole training; may grow later."""
    batch_size: Count = 32
    """Images a step, over all devices."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initial weights, dropout, order, flips, crops and degraded images."""
    initial_weights: str | None = None
    """Model whose generator's weights to start from: a run, a `.keras` file, the original's `.pt`,
    the name of a pretrained model, or `hf://user/name`."""
    frozen_epochs: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """First epochs in which a pretrained encoder is not trained."""
    weight_average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of the moving average of weights that is saved; 0: no average."""
    keep_epochs: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """Epochs after which the model is kept under a name of its own."""
    sample_images: Annotated[int, Field(ge=1, le=64)] = 8
    """Validation images in the sample grids."""
    checkpoint_minutes: Annotated[float, Field(gt=0.0)] = 5.0
    """Save the state this often within an epoch, in minutes."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """What the networks compute in; weights are float32. `mixed_float16`, with scaled losses, is
    for GPUs that compute slowly in bfloat16."""
    strategy: Literal["none", "mirrored", "multi_worker"] | None = None
    """How devices train together: `none`, one device; `mirrored`, all GPUs of this machine;
    `multi_worker`, the machines that TF_CONFIG names. Unset: `multi_worker` where TF_CONFIG names
    several, else `mirrored` on several GPUs, else `none`."""
    jit_compile: bool = False
    """Compile the training step with XLA."""
    steps_per_execution: Count = 1
    """Steps in one call of TensorFlow."""

    @model_validator(mode="after")
    def _steps_can_be_divided(self) -> "Training":
        if self.jit_compile and self.strategy in ("mirrored", "multi_worker"):
            raise ValueError(
                f'jit_compile: is for strategy = "none", not {show(self.strategy)} (got true)'
            )
        return self

    @field_validator("initial_weights")
    @classmethod
    def _model(cls, model: str | None) -> str | None:
        return _one_spelling(model)


def network_names(table: str) -> str:
    """The networks that the package itself has for a table."""
    return ", ".join(map(repr, NETWORK_TAGS.get(table, ())[:-1]))


def _one_spelling(path: str | None) -> str | None:
    """One spelling of each path, so that a run resumes by any."""
    if path is None or path.startswith("hf://"):
        return path
    if not path:  # It would be the current folder.
        raise ValueError('must not be empty (got "")')
    if "\0" in path:
        raise ValueError(f"must hold no NUL character (got {show(path)})")
    return str(Path(path).expanduser() if path.startswith("~/") else Path(path))


def show(value: Any) -> str:
    """A value on one line, about as it would stand in TOML; a missing one as `unset`."""
    if value is None:
        return "unset"
    try:
        if isinstance(value, str | bool | list | dict):
            return json.dumps(value, ensure_ascii=False, default=str)
        return str(value)
    except (ValueError, RecursionError):  # Thousands of digits or of tables in one another.
        return f"a value of type {type(value).__name__} that is too large to show"
