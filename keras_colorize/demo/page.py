"""The page, in Gradio, and the server that it needs."""

import html
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

# Gradio reads it when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import fastapi
import gradio as gr
import uvicorn

from keras_colorize.demo.results import Results, paint_examples
from keras_colorize.errors import ColorizeError
from keras_colorize.files import temporary_folder
from keras_colorize.generators import Generator

_log = logging.getLogger("keras_colorize")

_KEPT_SECONDS = 86_400  # Uploads are removed after that.

# What the browser may load, and from where: all from here.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:"
)

_HEADER = """
<h1>keras-colorize</h1>
<p>Color for black-and-white paintings and photographs, at full resolution.</p>
"""

_TEXTS = {
    "upload_text.drop_file": "Drop an image here",
    "upload_text.click_to_upload": "Choose a file",
}

_CSS = """
.gradio-container { width: 100%; max-width: 1080px !important; margin: 0 auto !important; }
footer { display: none !important; }
#header, #header .html-container, #message .html-container { padding: 0; }
#header h1 { font-size: 1.5rem; font-weight: 600; margin: 0.5rem 0 0.25rem; }
#header p { margin: 0 0 0.5rem; opacity: 0.75; }
#message p { color: var(--error-text-color); }
#image .download, #comparison button[disabled], #vividness .reset-button { display: none; }
#image .icon-button-wrapper { top: 0; right: 0; height: 100%; border: none; }
#comparison .limit_height img { max-height: max(240px, 100vh - 340px) !important; }
#vividness .tab-like-container { width: 4rem; }
#examples .label svg { display: none; }
#examples .gallery-item, #examples .gallery-item .container { width: 72px; height: 72px; }
"""

# Fetches a file that the server has just written: a link that is clicked.
_DOWNLOAD = """(file) => {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


def serve(offered: Mapping[str, Generator], listener: socket.socket, max_megabytes: int) -> None:
    """Serves the page until the process is interrupted.

    Args:
        offered: name -> model, to choose from, the first by default.
        listener: a socket that listens already.
        max_megabytes: of an upload.
    """
    with temporary_folder() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        results = Results(offered, Path(folder, "results"))
        app = _app(build(results, paint_examples(Path(folder))), max_megabytes)
        host, port = listener.getsockname()[:2]
        place = f"[{host}]" if ":" in host else host
        print(f"http://{place}:{port}  (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            # Open pages keep a connection.
            config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
            uvicorn.Server(config).run(sockets=[listener])


def _app(page: gr.Blocks, max_megabytes: int) -> fastapi.FastAPI:
    app = fastapi.FastAPI(openapi_url=None)  # Its documentation loads scripts from elsewhere.

    @app.middleware("http")
    async def add_policy(request: fastapi.Request, call_next: Callable) -> fastapi.Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=f"{max_megabytes}mb",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        theme=gr.themes.Default(
            primary_hue="neutral",
            neutral_hue="neutral",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        css=_CSS,
        i18n=gr.I18n(en=_TEXTS),
    )


def build(results: Results, examples: Sequence[Path]) -> gr.Blocks:
    """Builds the page.

    Args:
        results: colorizes.
        examples: images to try it with.
    """
    models = list(results.models)
    with gr.Blocks(
        title="keras-colorize", analytics_enabled=False, delete_cache=(600, _KEPT_SECONDS)
    ) as page:
        gr.HTML(_HEADER, elem_id="header")
        image = gr.File(label="Image", show_label=False, height=180, elem_id="image")
        message = gr.HTML(visible=False, elem_id="message")
        with gr.Column(visible=False) as result:
            comparison = gr.ImageSlider(
                show_label=False,
                interactive=False,
                type="filepath",
                buttons=["fullscreen"],
                elem_id="comparison",
            )
            with gr.Row(equal_height=True):
                vividness = gr.Slider(
                    minimum=0,
                    maximum=1,
                    step=0.05,
                    value=results.vividness(models[0]),
                    label="Vividness",
                    visible=results.vividness(models[0]) is not None,
                    min_width=300,
                    scale=3,
                    elem_id="vividness",
                )
                model = gr.Dropdown(
                    models,
                    value=models[0],
                    label="Model",
                    visible=len(models) > 1,
                    min_width=300,
                    scale=2,
                    elem_id="model",
                )
            with gr.Row():
                png = gr.Button("Download PNG", size="md", min_width=120, elem_id="png")
                jpeg = gr.Button("Download JPEG", size="md", min_width=120, elem_id="jpeg")
        chosen = gr.Dataset(
            label="Examples",
            components=[gr.Image(render=False)],
            samples=[[str(path)] for path in examples],
            type="index",
            elem_id="examples",
        )
        file = gr.File(visible=False)

        def show(path: str | None, model: str, share: float | None) -> dict:
            """Shows gray and color, or what is wrong with the file."""
            hidden = {message: gr.HTML(visible=False), result: gr.Column(visible=False)}
            if path is None:
                return hidden
            try:
                pair = results.gray(Path(path)), color(path, model, share, ".jpg")
            except Exception as error:
                return hidden | {message: _alert(error, path)}
            return hidden | {comparison: pair, result: gr.Column(visible=True)}

        def show_other(path: str, model: str) -> dict:
            """Shows what another model makes of it, at its own vividness."""
            try:
                own = results.vividness(model)
            except Exception as error:
                return {message: _alert(error, path)}
            slider = gr.Slider(value=own or 0, visible=own is not None)
            return show(path, model, own) | {vividness: slider}

        def write(suffix: str, path: str, model: str, share: float) -> str:
            """Writes the file to download."""
            try:
                return str(color(path, model, share, suffix))
            except Exception as error:
                raise gr.Error(_text(error, path), print_exception=False) from None

        def color(path: str, model: str, share: float | None, suffix: str) -> Path:
            own = results.vividness(model)
            return results.color(Path(path), model, None if own is None else share, suffix)

        settings, shown = [image, model, vividness], [message, comparison, result]
        # One at a time: memory is for one image.
        private: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "image"}
        chosen.click(lambda index: str(examples[index]), chosen, image, **private)
        image.change(show, settings, shown, **private)
        vividness.input(
            show, settings, shown, trigger_mode="always_last", show_progress="hidden", **private
        )
        model.input(show_other, [image, model], [*shown, vividness], **private)
        for button, suffix in ((png, ".png"), (jpeg, ".jpg")):
            button.click(partial(write, suffix), settings, file, **private).success(
                None, file, js=_DOWNLOAD
            )
    return page


def _alert(error: Exception, path: str) -> gr.HTML:
    return gr.HTML(f'<p role="alert">{_text(error, path)}</p>', visible=True)


def _text(error: Exception, path: str) -> str:
    """What went wrong with a file, for its user."""
    if not isinstance(error, ColorizeError):
        _log.exception(path)
        error = ColorizeError(f"{type(error).__name__}: {error}")
    return html.escape(str(error).replace(path, Path(path).name))
