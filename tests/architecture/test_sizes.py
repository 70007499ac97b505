"""The rules of taste that a machine can check: sizes, hidden imports, broad excepts, names that say nothing."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kasparro"

MODULE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 8
BROAD = {"Exception", "BaseException"}
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base_utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def functions(text: str) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, Function))


def long_modules(name: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{name}: {lines} lines"] if lines > MODULE_LINES else []


def long_functions(name: str, text: str) -> list[str]:
    sizes = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(text)}
    return [
        f"{name}:{n.lineno}: {n.name}, {size} lines" for n, size in sizes.items() if size > FUNCTION_LINES
    ]


def wide_functions(name: str, text: str) -> list[str]:
    """Those with too many parameters; the command line's are its options, which its framework wants as parameters."""
    if name.startswith("src/kasparro/cli/"):
        return []
    counts = {node: parameters(node) for node in functions(text)}
    return [
        f"{name}:{n.lineno}: {n.name}, {count} parameters"
        for n, count in counts.items()
        if count > PARAMETERS
    ]


def parameters(node: Function) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def hidden_imports(name: str, text: str) -> list[str]:
    found = [node for function in functions(text) for node in ast.walk(function) if is_own_import(node)]
    return [f"{name}:{node.lineno}: {ast.unparse(node)}" for node in found]


def is_own_import(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(alias.name.split(".")[0] == "kasparro" for alias in names)
        case ast.ImportFrom(module=module, level=level):
            return level > 0 or (module or "").split(".")[0] == "kasparro"
        case _:
            return False


def unexplained_broad_excepts(name: str, text: str) -> list[str]:
    explained = lines_with_a_reason(text)
    return [
        f"{name}:{node.lineno}: {ast.unparse(node).splitlines()[0]}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not explained.intersection(clause(node))
    ]


def clause(node: ast.ExceptHandler) -> range:
    """The lines of `except ...:`, which the formatter may have broken."""
    return range(node.lineno, max(node.lineno + 1, node.body[0].lineno))


def is_broad(node: ast.ExceptHandler) -> bool:
    """Bare, or of everything, alone or in a tuple; but one that ends by raising again swallows nothing."""
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = any(c is None or (isinstance(c, ast.Name) and c.id in BROAD) for c in caught)
    return broad and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)


def lines_with_a_reason(text: str) -> set[int]:
    """Lines with a comment that says more than `noqa`: the text after the rule's number."""
    comments = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT)
    return {t.start[0] for t in comments if t.string.split("noqa: BLE001")[-1].strip("# ")}


def empty_names(name: str, text: str) -> list[str]:
    del text
    return [name] if SAYS_NOTHING & {*Path(name).with_suffix("").parts} else []


CHECKS = [
    long_modules,
    long_functions,
    wide_functions,
    hidden_imports,
    unexplained_broad_excepts,
    empty_names,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_there_are_none(check):
    found = [fault for name, text in modules().items() for fault in check(name, text)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (long_modules, "x = 1\n" * (MODULE_LINES + 1)),
        (long_functions, "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
        (wide_functions, "def f(a, b, c, d, e, *, f, g, h, i): ..."),
        (wide_functions, "class C:\n    def f(self, a, b, c, d, e, /, f, g, h, i): ..."),
        (hidden_imports, "async def f():\n    from kasparro.core import clock"),
        (hidden_imports, "def f():\n    def g():\n        import kasparro"),
        (hidden_imports, "def f():\n    from . import clock"),
        (unexplained_broad_excepts, "try: ...\nexcept Exception:\n    pass"),
        (unexplained_broad_excepts, "try: ...\nexcept:\n    pass"),
        (unexplained_broad_excepts, "try: ...\nexcept (ValueError, BaseException) as e:  # noqa: BLE001\n    raise X from e"),
    ],
)  # fmt: skip
def test_a_fault_is_found(check, text):
    assert check("module.py", text)


def test_a_name_that_says_nothing_is_found():
    assert empty_names("src/kasparro/core/utils.py", "")


def test_a_broad_except_with_its_reason_or_that_raises_again_passes():
    reason = "try: ...\nexcept Exception:  # a task boundary: one bad job must not end the worker\n    pass"
    again = "try: ...\nexcept BaseException:\n    close()\n    raise"

    assert not unexplained_broad_excepts("module.py", reason)
    assert not unexplained_broad_excepts("module.py", again)
