"""Rules for the C sources that no compiler checks."""

import re
from pathlib import Path

import pytest

SOURCES = sorted(Path(__file__).parents[2].glob("bridge/codec/*.[ch]"))
#: What Python's interface wants to be variable, though nobody changes it.
TABLES = r"(?:struct )?Py(?:MethodDef|ModuleDef|ModuleDef_Slot|Type_Slot|Type_Spec|GetSetDef)\b|char \*names\[\]"
LINES_LIMIT = 1650  #: comments and blank lines included

pytestmark = pytest.mark.skipif(not SOURCES, reason="only the project has the C sources, no installed package")


def code(source: Path) -> str:
    """A source without comments, texts, and the continuation of long lines."""
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|\\\n", "", source.read_text(), flags=re.DOTALL)


def variables(text: str) -> list[str]:
    """What begins like the declaration of a variable that lasts: at a file's level, or static anywhere."""
    return re.findall(r"^(?:\s*static|(?!typedef|extern|return)\w)[^;={(\n]*(?=[;=])", text, flags=re.MULTILINE)


def test_the_search_for_variables_finds_them():
    text = (
        "static int f(int a)\n{\n    static int count;\n    int b = 1;\n}\nint total = 0;\nstatic const char C[] = X;\n"
    )
    assert [found.strip() for found in variables(text)] == ["static int count", "int total", "static const char C[]"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_state_outlives_a_call_but_in_objects(source):
    mutable = [found for found in variables(code(source)) if not re.match(rf"\s*(static )?(const\b|{TABLES})", found)]
    assert mutable == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_memory_is_python_s_and_no_function_writes_without_a_bound(source):
    """Python's allocator is the one that test_leaks.py watches."""
    called = re.findall(r"\b(?:malloc|calloc|realloc|free|strdup|alloca|strcpy|strcat|sprintf|gets)\(", code(source))
    assert called == []


def test_the_c_stays_small():
    assert len(SOURCES) <= 4
    assert sum(len(source.read_text().splitlines()) for source in SOURCES) <= LINES_LIMIT
