"""`tools/bootstrap.py` on a project of its own that needs nothing from a registry: what is half made is made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "sample"
version = "1"
"""

BACKEND = """
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "sample-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("sample_installed.py", "")
        wheel.writestr("sample-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: sample\\nVersion: 1\\n")
        wheel.writestr("sample-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("sample-1.dist-info/RECORD", "")
    return name

def build_wheel(*_):
    raise NotImplementedError
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "tools" / "bootstrap.py", tmp_path / "tools")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    for lock in ("run", "dev"):
        (tmp_path / "requirements" / f"{lock}.lock").write_text(f"# {lock}: nothing to install\n")
    (tmp_path / "requirements" / "installer.lock").write_text(
        "no-such-package-anywhere==1 --hash=sha256:" + 64 * "0"
    )
    return tmp_path


def started(project: Path, profile: str = "run") -> subprocess.Popen[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    return subprocess.Popen(
        [sys.executable, project / "tools" / "bootstrap.py", profile],
        env=os.environ | offline,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def bootstrap(project: Path, profile: str = "run") -> str:
    process = started(project, profile)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def is_usable(project: Path) -> bool:
    command = [project / ".venv" / "bin" / "python", "-c", "import pip, sample_installed"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_of_two_at_once_one_makes_the_environment_and_it_is_found_the_next_time(project):
    processes = [started(project, "dev"), started(project, "dev")]
    outputs = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "".join(outputs).count("Creating .venv") == 1
    assert "".join(outputs).count("Installing") == 1
    assert is_usable(project)
    assert bootstrap(project, "dev") == ""
    assert bootstrap(project, "run") == "", "the development environment is enough"


def test_what_is_half_made_or_was_interrupted_is_made_again(project):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    lock = project / "requirements" / "run.lock"
    lock.write_text("no-such-package-anywhere==1 --hash=sha256:" + 64 * "0")
    process = started(project)
    output, _ = process.communicate()

    assert process.returncode == 1
    assert "Creating .venv" in output, "an interpreter without pip is what a start that was killed leaves"
    assert "could not be installed" in output
    lock.write_text("# a changed lock\n")
    repeated = bootstrap(project)
    assert "Installing" in repeated
    assert "Creating" not in repeated
    assert is_usable(project)
