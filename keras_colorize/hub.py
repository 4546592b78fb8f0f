"""Models on the Hugging Face Hub, through its own library: extra `hub`.

A repository is what Keras itself writes there, `config.json` and `model.weights.h5`, so that
`keras.saving.load_model("hf://user/name")` takes it, too; beside them README.md, which is the card,
and recipe.toml.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.recipe import RECIPE_NAME

# As a path, too, which has one slash left.
_URL = re.compile(r"hf:/{1,2}(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>[^/@]+))?")

FILES = ["config.json", "metadata.json", "model.weights.h5", RECIPE_NAME, "README.md"]
"""What a repository has, and what is downloaded of it."""

TAGS = ("keras-colorize", "image-colorization")


def is_url(model: str | Path) -> bool:
    """Whether a MODEL argument is meant to be a model on the Hub."""
    return str(model).startswith("hf:/")


def download(url: str | Path) -> Path:
    """Downloads a model, unless it is in the library's cache.

    Without network the cached one is taken, as the library does it.

    Args:
        url: `hf://user/name`, or `hf://user/name@revision` for a branch, tag or commit.

    Returns:
        The folder of the model, to be read only.

    Raises:
        ColorizeError: there is no such model, or it cannot be had.
    """
    match = _URL.fullmatch(str(url))
    if match is None:
        raise ColorizeError(f"{url}: must be hf://user/name or hf://user/name@revision")
    repository, revision = match["repository"], match["revision"]
    with _named_errors(f"hf://{repository}"):
        from huggingface_hub import snapshot_download

        folder = snapshot_download(repository, revision=revision, allow_patterns=FILES)
    if not (Path(folder) / "config.json").is_file():
        raise ColorizeError(f"hf://{repository}: has no Keras model (config.json)")
    return Path(folder)


def check_login(repository: str) -> None:
    """Fails unless there is a token to upload with; the Hub checks it later.

    Args:
        repository: `user/name`.

    Raises:
        ColorizeError: the name is not valid, or there is no login.
    """
    match = _URL.fullmatch(f"hf://{repository}")
    if match is None or match["revision"]:
        raise ColorizeError(f"{repository}: must be user/name")
    with _named_errors(f"hf://{repository}"):
        from huggingface_hub import errors, get_token

        if get_token() is None:
            raise errors.LocalTokenNotFoundError


def upload(folder: Path, repository: str, *, private: bool | None, message: str) -> str:
    """Uploads a folder as one commit; makes the repository if need be.

    Args:
        folder: what to upload.
        repository: `user/name`.
        private: whether a new repository is; None for the account's default.
        message: of the commit.

    Returns:
        The URL of the commit.

    Raises:
        ColorizeError: the Hub refuses, or cannot be reached.
    """
    with _named_errors(f"hf://{repository}"):
        from huggingface_hub import HfApi

        hub = HfApi(library_name="keras-colorize")
        hub.create_repo(repository, private=private, exist_ok=True)
        commit = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    return commit.commit_url


def front_matter(license: str | None) -> str:
    """What the Hub reads at the beginning of a card.

    Args:
        license: an identifier as "mit"; None to say nothing.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="keras", license=license, pipeline_tag="image-to-image", tags=list(TAGS)
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """Turns what the library raises into a ColorizeError of one line."""
    try:
        from huggingface_hub import constants, errors
    except ImportError:
        raise ColorizeError(f"{url}: needs pip install 'keras-colorize[hub]'") from None
    host = constants.ENDPOINT
    log_in = "log in by `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.LocalTokenNotFoundError:
        raise ColorizeError(f"{url}: not logged in to {host}; {log_in}") from None
    except errors.GatedRepoError:
        raise ColorizeError(f"{url}: ask for access at {host}, and {log_in}") from None
    except errors.RepositoryNotFoundError:
        raise ColorizeError(
            f"{url}: no such repository at {host}; if it is private, {log_in}"
        ) from None
    except errors.RevisionNotFoundError:
        raise ColorizeError(f"{url}: has no such revision") from None
    except errors.HfHubHTTPError as error:
        reason = shorten(" ".join((error.server_message or str(error)).split()), 200)
        if error.response.status_code in (401, 403):
            reason += f"; {log_in} with the right to do this"
        raise ColorizeError(f"{url}: {host} answers: {reason}") from error
    except errors.HFValidationError as error:
        raise ColorizeError(f"{url}: {shorten(str(error), 200)}") from None
    except errors.OfflineModeIsEnabled:
        raise ColorizeError(f"{url}: HF_HUB_OFFLINE is set; unset it") from None
    except errors.LocalEntryNotFoundError as error:
        raise ColorizeError(
            f"{url}: {host} cannot be reached, and the model was not downloaded before"
        ) from error
    except errors.HTTPError as error:
        raise ColorizeError(
            f"{url}: {host} cannot be reached: {shorten(str(error), 200)}"
        ) from error
