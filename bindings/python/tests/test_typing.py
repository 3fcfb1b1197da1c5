"""The stubs say what is there, and the same in words."""

import ast
import inspect
import os
import pathlib
import subprocess
import sys

import vas_frames
from vas_frames import _native

SOURCES = pathlib.Path(__file__).parent.parent
STUB = SOURCES / "python" / "vas_frames" / "_native.pyi"

USE = """
import datetime
import numpy as np
import numpy.typing as npt
import vas_frames

def told(status: vas_frames.Status) -> None:
    print(status.state, status.why or "")

with vas_frames.open("front", timeout=datetime.timedelta(seconds=5), mode="next", on_status=told) as stream:
    for frame in stream:
        luma: npt.NDArray[np.uint8] = frame.luma
        at: datetime.datetime = frame.captured_at
        maybe: vas_frames.Frame | None = stream.read()
    for event in stream.events():
        if isinstance(event, vas_frames.Status):
            print(event.why)
        else:
            print(event.id + 1)
"""


def mypy(*words, cwd):
    environment = {**os.environ, "MYPY_CACHE_DIR": os.devnull}
    ended = subprocess.run([sys.executable, "-m", *words], cwd=cwd, env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_stubs_are_what_is_there(tmp_path):
    code, said = mypy("mypy.stubtest", "vas_frames", "--concise", cwd=tmp_path)
    assert code == 0, said


def test_a_program_is_checked_by_the_stubs(tmp_path):
    (tmp_path / "use.py").write_text(USE)
    code, said = mypy("mypy", "--strict", "use.py", cwd=tmp_path)
    assert code == 0, said
    for wrong in ('vas_frames.open("front", mode="newest")', 'vas_frames.open(5)', 'vas_frames.open("front").next().nonsense'):
        (tmp_path / "wrong.py").write_text(f"import vas_frames\n{wrong}\n")
        code, said = mypy("mypy", "--strict", "wrong.py", cwd=tmp_path)
        assert code == 1, f"{wrong}: {said}"


def documented():
    """Each public item with what Python says of it."""
    for name in ("open", "cameras", "Stream", "Events", "Status", "Frame", "Color", "Placement"):
        item = getattr(_native, name)
        yield name, inspect.getdoc(item)
        if inspect.isclass(item):
            for member, value in vars(item).items():
                if not member.startswith("_"):
                    yield f"{name}.{member}", inspect.getdoc(value)


def in_stub(text):
    found = {}
    for item in ast.parse(text).body:
        if isinstance(item, (ast.FunctionDef, ast.ClassDef)):
            found[item.name] = item
            for member in item.body if isinstance(item, ast.ClassDef) else []:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    found[f"{item.name}.{member.name}"] = member
    return found


def blessed(text, wanted):
    """The stub with these texts in it."""
    lines = text.splitlines()
    for name, item in sorted(in_stub(text).items(), key=lambda pair: -pair[1].lineno):
        indent = " " * (item.col_offset + 4)
        said = wanted[name].splitlines()
        words = [f'{indent}"""{said[0]}', *(f"{indent}{line}".rstrip() for line in said[1:])]
        words = [words[0] + '"""'] if len(words) == 1 else [*words, f'{indent}"""']
        first = item.body[0]
        if isinstance(item, ast.ClassDef):
            has = isinstance(first, ast.Expr)
            at = (first.lineno if has else min([first.lineno] + [d.lineno for d in getattr(first, "decorator_list", [])])) - 1
            lines[at : first.end_lineno if has else at] = words + ([] if has else [""])
        elif isinstance(first.value, ast.Constant) and first.value.value is ...:
            at = first.lineno - 1
            lines[at] = lines[at].rsplit(" ...", 1)[0]
            lines[at + 1 : at + 1] = words
        else:
            lines[first.lineno - 1 : first.end_lineno] = words
    return "\n".join(lines) + "\n"


def test_the_stubs_say_in_words_what_help_says():
    wanted = dict(documented())
    assert all(wanted.values()), [name for name, text in wanted.items() if not text]
    text = STUB.read_text()
    if os.environ.get("VAS_BLESS"):
        STUB.write_text(blessed(text, wanted))
        text = STUB.read_text()
    said = {name: ast.get_docstring(item) for name, item in in_stub(text).items()}
    assert said == wanted, "VAS_BLESS=1 writes them into the stub"
    assert set(wanted) >= {name for name in vas_frames.__all__ if hasattr(_native, name) and name != "__version__"}
