import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def test_the_tutorial_is_kept_without_outputs():
    cells = nbformat.read(TUTORIAL, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_a_notebook_is_noticed():
    code = "from keras_colorize.notebook import in_notebook\nprint(in_notebook())"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120).execute()
    assert [output["text"] for output in notebook.cells[0].outputs] == ["True\n"]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    notebook = nbformat.read(TUTORIAL, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=place).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 4
    assert any("20/20" in output.get("text", "") for output in shown)  # Keras's progress bar.
    assert any("CIEDE2000, mean" in output.get("text", "") for output in shown)
    assert (tmp_path / "saved_models" / "tutorial" / "1" / "saved_model.pb").is_file()
