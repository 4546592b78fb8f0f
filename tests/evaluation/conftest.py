import numpy as np
import pytest
import skimage.data


@pytest.fixture(scope="session")
def photographs():
    """192 real images of 32x32: the tiles of a photograph."""
    tiles = skimage.data.astronaut()[:384].reshape(12, 32, 16, 32, 3)
    return np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(-1, 32, 32, 3))
