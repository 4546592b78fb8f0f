import re
from pathlib import Path

import pytest

from keras_colorize.recipe import Recipe, load_recipe
from keras_colorize.recipe_reference import recipe_reference

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"


def test_the_page_is_fresh():
    """If this fails: keras-colorize recipes --keys > docs/recipes.md."""
    assert PAGE.read_text() == recipe_reference()


def test_every_key_of_a_resolved_recipe_is_there():
    for name in ("quickstart", "paintings_and_photos"):
        tables = load_recipe(name).model_dump()
        assert tables.keys() == Recipe.model_fields.keys()
        for table, values in tables.items():
            sections = re.findall(
                rf"^### `\[{table}\]`.*?(?=^### |\Z)", recipe_reference(), re.MULTILINE | re.DOTALL
            )
            for key in values or ():
                assert any(f"- **`{key}" in section for section in sections), f"{table}.{key}"


@pytest.mark.parametrize(
    "line",
    [
        '- **`source`** ("folder", "cifar10", "painted_scenes", "given" or "module:function"): ',
        "- **`path`** (text; or unset): ",
        "- **`image_size = 32`** (integer, at least 32, at most 512, a multiple of 16): ",
        "- **`train_images`** (integer, at least 1; or unset): ",
        "- **`crop = 1.0`** (number, above 0, at most 1): ",
        "- **`flip = true`** (true or false): ",
        '- **`network`** ("efficientnet"): ',
        "- **`decoder_filters = [192, 128, 64, 64]`** (array of 4, each integer, at least 1, at ",
        "- **`keep_epochs = []`** (array, each integer, at least 1): ",
        "- **`epsilon = 1e-08`** (number, above 0, at most 1): ",
    ],
)
def test_defaults_and_ranges(line):
    text = re.sub(r"\s+", " ", recipe_reference())
    assert line in text
