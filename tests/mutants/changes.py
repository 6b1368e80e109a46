"""Small changes of a source file, made one at a time: what an inattentive hand might do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.Pow: ("**", "*"),
    ast.FloorDiv: ("//", "/"), ast.Mod: ("%", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
    ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.BitXor: ("^", "|"), ast.MatMult: ("@", "*"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change: the text from ``start`` to ``stop`` of a file becomes ``new``; ``line`` is where, from 1."""

    start: int
    stop: int
    line: int
    new: str

    def applied(self, text: str) -> str:
        """Return the file's text with the change in it."""
        return text[: self.start] + self.new + text[self.stop :]

    def shown(self, text: str) -> str:
        """Return the changed lines, before and after, in one line."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.stop)
        after = text[first : self.start] + self.new + text[self.stop : last]
        return f"{' '.join(text[first:last].split())}  ->  {' '.join(after.split())}"


def changes(text: str) -> list[Change]:
    """List the changes of a file: comparisons, arithmetic, constants, negations, results, calls left out.

    Left alone are imports, decorators, annotations, texts, what is raised or asserted, whether ``zip`` is strict, and
    ``TYPE_CHECKING``.

    Args:
        text: the source.

    Returns:
        Changes that compile, in the order of the file.
    """
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    encoded = text.encode()

    def place(line: int, column: int) -> int:
        return len(encoded[: starts[line - 1] + column].decode())

    found = []
    for node in _alive(ast.parse(text)):
        for start, stop, new in _of_node(node, text, place):
            change = Change(start=start, stop=stop, line=text.count("\n", 0, start) + 1, new=new)
            if change.applied(text) != text and _compiles(change.applied(text)):
                found.append(change)
    return sorted(set(found), key=lambda change: (change.start, change.stop, change.new))


def _alive(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what computes."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.Assert | ast.JoinedStr):
        return
    if isinstance(node, ast.keyword) and node.arg in ("strict", "kw_only"):
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("decorator_list", "annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _alive(child)


def _of_node(node: ast.AST, text: str, place: object) -> Iterator[tuple[int, int, str]]:
    match node:
        case ast.Compare():
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                yield from _between(_span(left, place)[1], _span(right, place)[0], *_COMPARED[type(operator)], text)
        case ast.BinOp() if not _has_text(node):
            pair = _COMPUTED[type(node.op)]
            yield from _between(_span(node.left, place)[1], _span(node.right, place)[0], *pair, text)
        case ast.AugAssign():
            old, new = _COMPUTED[type(node.op)]
            yield from _between(_span(node.target, place)[1], _span(node.value, place)[0], f"{old}=", f"{new}=", text)
        case ast.BoolOp():
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from _between(_span(left, place)[1], _span(right, place)[0], old, new, text)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            start, stop = _span(node, place)
            yield start, stop, text[slice(*_span(node.operand, place))]
        case ast.Constant(value=bool()):
            yield *_span(node, place), str(not node.value)
        case ast.Constant(value=int() | float()):
            yield *_span(node, place), _moved(node.value)
        case ast.Return() if node.value is not None and not _is_none(node.value):
            yield *_span(node.value, place), "None"
        case ast.Expr(value=ast.Call()):
            yield *_span(node, place), "pass"
        case _:
            return


def _between(start: int, stop: int, old: str, new: str, text: str) -> Iterator[tuple[int, int, str]]:
    at = text.find(old, start, stop)
    if at >= 0:
        yield at, at + len(old), new


def _span(node: ast.AST, place: object) -> tuple[int, int]:
    assert callable(place)
    assert isinstance(node, ast.expr | ast.stmt)
    assert node.end_lineno is not None
    return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)


def _moved(value: float) -> str:
    """One more, or a tenth more, so that a constant is wrong by what a test should see."""
    if isinstance(value, int):
        return str(value + 1)
    return "1.0" if value == 0.0 else repr(1.1 * value)


def _has_text(node: ast.BinOp) -> bool:
    """Whether this adds up texts, or types of an annotation."""
    return any(
        isinstance(child, ast.JoinedStr) or (isinstance(child, ast.Constant) and isinstance(child.value, str))
        for child in ast.walk(node)
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True
