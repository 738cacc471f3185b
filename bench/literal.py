"""Reads what a file says of itself, in literals, without running it."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class NotLiteral(ValueError):
    """An expression that would have to be run to be known."""


def evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of literals, of `names`, and of calls of callable `names` with literal arguments.

    Raises `NotLiteral` for anything else.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.Attribute() if isinstance(node.value, ast.Name):
            # `bench.Count` reads as `Count`; a module's own names stay unknown.
            return evaluate(ast.Name(node.attr), names)
        case ast.Tuple():
            return tuple(_items(node.elts, names))
        case ast.List():
            return list(_items(node.elts, names))
        case ast.Dict() if None not in node.keys:
            return {
                evaluate(key, names): evaluate(value, names)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None
            }
        case ast.UnaryOp(op=ast.USub()):
            return -evaluate(node.operand, names)
        case ast.BinOp(op=ast.Add()):
            return evaluate(node.left, names) + evaluate(node.right, names)
        case ast.Subscript():
            return evaluate(node.value, names)[evaluate(node.slice, names)]
        case ast.Call(func=ast.Name(id=name)) if isinstance(names.get(name), Callable):  # type: ignore[arg-type]
            arguments = [evaluate(argument, names) for argument in node.args]
            keywords = {word.arg: evaluate(word.value, names) for word in node.keywords if word.arg}
            return names[name](*arguments, **keywords)
    raise NotLiteral(f"line {getattr(node, 'lineno', '?')}: `{ast.unparse(node)}` is not a literal")


def _items(nodes: Iterable[ast.expr], names: Mapping[str, Any]) -> Iterator[Any]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            yield from evaluate(node.value, names)
        else:
            yield evaluate(node, names)


def module_names(tree: ast.Module, known: Mapping[str, Any]) -> dict[str, Any]:
    """`known`, and every module-level name bound to a literal."""
    names = dict(known)
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        try:
            names[name] = evaluate(value, names)
        except (NotLiteral, TypeError, KeyError):
            continue
    return names
