"""Shows notebooks of the documentation as pages: their text, and their code in blocks."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds NAME.md for each NAME.ipynb; the notebook itself stays, for download."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        cells = json.loads(notebook.content_string)["cells"]
        page = str(Path(notebook.src_uri).with_suffix(".md"))
        files.append(File.generated(config, page, content="\n\n".join(map(_markdown, cells))))
    return files


def _markdown(cell: dict) -> str:
    source = "".join(cell["source"])
    return f"```python\n{source}\n```" if cell["cell_type"] == "code" else source
