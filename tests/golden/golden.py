"""The golden values of the PyTorch original, and the weights they were computed from."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ARRAYS = dict(np.load(HERE / "seed_parity.npz"))
NAMES = json.loads((HERE / "seed_parity.json").read_text())

lab = ARRAYS["batch_lab_nchw"].transpose(0, 2, 3, 1)
LIGHTNESS, AB = lab[..., :1], lab[..., 1:]


def weights(order: str, seed: int) -> dict[str, np.ndarray]:
    """The reference's state_dict of a network, drawn as the golden run drew it."""
    random = np.random.default_rng(seed)
    state = {}
    for name, shape in NAMES[order]:
        if name.endswith("running_mean"):
            state[name] = np.zeros(shape, "float32")
            continue
        if name.endswith("running_var"):
            state[name] = np.ones(shape, "float32")
            continue
        draw = random.standard_normal(shape)
        if name.endswith(("_u", "_v")):
            draw /= np.linalg.norm(draw)
        elif name.endswith("model.1.weight"):
            draw = 1 + 0.02 * draw
        else:
            draw *= 0.02
        state[name] = draw.astype("float32")
    return state
