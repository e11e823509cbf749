"""Imports point one way, also inside functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What a folder may import besides itself.
ALLOWED = {
    "configuration": set(),
    "processing": {"configuration"},
    "modeling": {"configuration"},
    "data": {"configuration", "processing", "modeling"},
    "hub_cards": set(),
    "training": {"configuration", "processing", "modeling", "data", "hub_cards"},
    "inference": {"configuration", "processing", "modeling", "data", "hub_cards", "training"},
    "duosent": {"configuration", "processing", "modeling", "data", "hub_cards", "training", "inference"},
}


def imported_folders(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                names.add("relative import")
            else:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    folders = {name.split(".")[1] for name in names if name.startswith("duosent.")} & set(ALLOWED)
    return folders | (names & {"relative import"})


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_one_way(folder):
    assert files_of(folder)
    for path in files_of(folder):
        wrong = imported_folders(ast.parse(path.read_text())) - ALLOWED[folder] - {folder}
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_the_walk_sees_imports_inside_functions():
    code = "def f():\n    from duosent.training.run import train\n    import duosent.data.pairs\n    from . import x"
    assert imported_folders(ast.parse(code)) == {"training", "data", "relative import"}


def test_configuration_does_not_import_torch():
    for path in files_of("configuration"):
        modules = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert "torch" not in modules, path.name


def test_module_names_are_unique():
    """A flat copy of the modules has to be possible."""
    names = [
        path.name for folder in ALLOWED for path in files_of(folder) if path.name not in ("__init__.py", "__main__.py")
    ]
    assert len(names) == len(set(names))
