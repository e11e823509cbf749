"""The wheel holds the whole package, and nothing but it, and works without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("configuration", "processing", "modeling", "data", "hub_cards", "training", "inference")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that no build folder is left in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(target), str(source)], check=True)
    return next(target.glob("*.whl"))


def test_wheel_holds_every_module_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"duosent/{path.name}" for path in (ROOT / "duosent").glob("*.py")} | {"duosent/py.typed"}
    for folder in FOLDERS:
        expected |= {f"duosent/{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")}
    recipes = list((ROOT / "training" / "recipes").glob("*/*.json"))
    expected |= {f"duosent/{path.relative_to(ROOT)}" for path in recipes}
    assert recipes
    expected |= {"duosent/hub_cards/card.md.jinja", "duosent/hub_cards/dataset_card.md.jinja"}
    templates = ("explanation_page.html", "report.html", "map_macros.html", "map_style.css")
    expected |= {f"duosent/inference/{name}.jinja" for name in templates}
    space = {path.name for path in (ROOT / "hub_cards" / "space").iterdir() if path.is_file()}
    assert {"app.py", "requirements.txt", "README.md"} <= space
    expected |= {f"duosent/hub_cards/space/{name}" for name in space}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_wheel_works_in_an_empty_environment_without_the_checkout(wheel, tmp_path):
    """A fresh environment sees the installed dependencies and the wheel, but no editable install of the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    # Appended without their .pth files: that of the editable install is not read.
    code = (
        f"import sys; sys.path += {dependencies!r}\n"
        "import duosent, importlib\n"
        "from transformers import AutoConfig\n"
        "assert all(getattr(duosent, name) is not None for name in duosent.__all__)\n"
        f"modules = [importlib.import_module('duosent.' + folder) for folder in {FOLDERS!r}]\n"
        "assert AutoConfig.for_model('mdse').contrastive_temperature == 0.07\n"
        "print(*[m.__file__ for m in (duosent, *modules)], sep='\\n')\n"
    )
    result = subprocess.run([str(python), "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    files = result.stdout.split()
    assert len(files) == 1 + len(FOLDERS)
    assert all(Path(file).is_relative_to(site) for file in files)


@pytest.mark.parametrize("command", [["-m", "duosent"], ["-c", "import duosent.modeling.losses"]])
def test_a_checkout_works_as_it_stands(command):
    """Not installed, run from the root of the checkout: the sub-packages are found beside `duosent/`."""
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    if command[0] == "-m":
        code = "import runpy, sys; sys.argv = ['duosent', '--help']; runpy.run_module('duosent', run_name='__main__')"
    else:
        code = command[1]
    rest = "*[p for p in sys.path if 'site-packages' not in p]"
    paths = f"import sys; sys.path = [{str(ROOT)!r}, {rest}, *{dependencies!r}]\n"
    result = subprocess.run([sys.executable, "-S", "-c", paths + code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
