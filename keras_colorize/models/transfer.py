"""Copies the weights of one network to another of the same kind."""

import keras

from keras_colorize.errors import ColorizeError

# Weights that a recipe sets and training leaves alone: `generator.vivid_chroma` and `vividness`.
_SETTINGS = ("vivid_ab/kernel", "vividness/kernel")


def copy_weights(source: keras.Model, target: keras.Model, name: str) -> None:
    """Copies all weights, matched by name and shape; image sizes may differ.

    Args:
        source: a functional model, or its copy by `models.plain`.
        target: changed in place.
        name: of the source, for messages.

    Raises:
        ColorizeError: the networks differ; nothing is changed then.
    """
    theirs, mine = _weights(source), _weights(target)
    # In copies of plain Keras layers, models of constant weights stand for layers without any.
    weightless = {layer.name for layer in target.layers if not layer.weights}
    for layer in source.layers:
        if isinstance(layer, keras.Model) and layer.name in weightless:
            for weight in layer.weights:
                theirs.pop(weight.path, None)
    if missing := sorted(mine.keys() - theirs.keys()):
        raise ColorizeError(f"{name}: is another network: has no {_first(missing)}")
    if unknown := sorted(theirs.keys() - mine.keys()):
        raise ColorizeError(f"{name}: is another network: has {_first(unknown)} besides")
    for path, weight in mine.items():
        if theirs[path].shape != weight.shape:
            raise ColorizeError(
                f"{name}: is another network: {path} has the shape {tuple(theirs[path].shape)}, "
                f"not {tuple(weight.shape)}"
            )
    for path, weight in mine.items():
        weight.assign(theirs[path])


def _weights(model: keras.Model) -> dict[str, keras.Variable]:
    return {weight.path: weight for weight in model.weights if weight.path not in _SETTINGS}


def _first(names: list[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
