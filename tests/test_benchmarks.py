import os
import subprocess
import sys
from pathlib import Path


def test_benchmarks_name_a_missing_package(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('none here', name='torch')")
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "feeding", "-o", tmp_path / "none.json"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert "feeding: not run, needs torch: pip install -e '.[test,torch]'" in done.stdout
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "not run: feeding")
