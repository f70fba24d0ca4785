"""Templates and their values, rendered on the caller's side as the server renders them."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Set, cast

from .errors import RenderError

_PLACEHOLDER = re.compile(r"\{\{-?\s*([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")
#: What JSON calls a number, and nothing around it.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
#: Jinja's filters that the server knows, too.
_FILTERS = frozenset(
    "abs attr capitalize count d default dictsort first float groupby indent int items last length list lower map max min "
    "reject rejectattr replace reverse round safe select selectattr sort title trim unique upper".split()
)
#: What needs no declaration.
_KNOWN = ("input", "context")
#: Whole floats up to here have no neighbour that reads the same.
_EXACT = 2**53 - 1


def json_text(value: Any) -> str:
    """A value as the server prints it: JSON without spaces, letters as they are."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, (int, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        members = cast(Mapping[Any, Any], value).items()
        return "{" + ",".join(f"{json_text(str(key))}:{json_text(item)}" for key, item in members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(json_text(item) for item in cast(Iterable[Any], value)) + "]"
    raise RenderError(f"a value of the type {type(value).__name__} has no JSON")


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        raise RenderError(f"{value} has no JSON")
    text = repr(value)
    if "e" not in text:
        return text
    # Python writes 1e-05 and 1e-07, the server 0.00001 and 1e-7.
    digits, _, exponent = text.partition("e")
    if int(exponent) == -5:
        sign = "-" if value < 0 else ""
        return f"{sign}0.0000{digits.lstrip('-').replace('.', '')}"
    return f"{digits}e{int(exponent):+d}"


def printed(value: Any) -> str:
    """A value as a placeholder shows it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def bind(declared: Iterable[Mapping[str, Any]], given: Mapping[str, Any], used: Set[str]) -> Dict[str, Any]:
    """The values of a prompt's variables, checked and turned into their types, with defaults where there are none.

    ``used`` are the names in the templates. Raises :class:`RenderError` with everything that is wrong.
    """
    values = {name: value for name, value in given.items() if value is not None}
    problems: List[str] = []
    names = {variable["name"] for variable in declared}
    for name in sorted(used - names - set(_KNOWN)):
        problems.append(f"{name}: the prompt uses it, but does not declare it")
    for variable in declared:
        name, default = variable["name"], variable.get("default")
        try:
            if name in values:
                values[name] = _accept(values[name], variable)
            elif default is not None:
                values[name] = _accept(default, variable)
            elif variable.get("required"):
                problems.append(f"{name}: it is required and has no value")
        except RenderError as error:
            problems.append(f"{name}: {error}")
    problems.extend(
        f"{name}: the prompt has no such variable" for name in values if name not in names | used | set(_KNOWN)
    )
    if problems:
        raise RenderError("; ".join(problems))
    return values


def _accept(value: Any, variable: Mapping[str, Any]) -> Any:
    kind = variable.get("type") or "string"
    accepted = _coerce(value, kind)
    validation = variable.get("validation")
    if isinstance(validation, str):
        try:
            pattern = re.compile(validation, re.DOTALL)
        except re.error as error:
            raise RenderError(f"`{validation}` is no expression of Python's: let the server render") from error
        if pattern.fullmatch(printed(accepted)) is None:
            raise RenderError(f"{_shown(accepted)} does not match `{validation}`")
    elif isinstance(validation, list):
        allowed = [_coerce(item, kind) for item in cast(List[Any], validation)]
        # As JSON: in Python 1, 1.0 and True are equal.
        if json_text(accepted) not in map(json_text, allowed):
            raise RenderError(f"{_shown(accepted)} is none of {', '.join(map(json_text, allowed))}")
    return accepted


def _coerce(value: Any, kind: str) -> Any:
    """A value in a type, where nothing is lost by it; the server's rules."""
    convert: Dict[str, Callable[[Any], Any]] = {
        "string": _string,
        "int": _int,
        "float": _float,
        "bool": _bool,
        "array": lambda value: _parsed(value, list),
        "object": lambda value: _parsed(value, dict),
    }
    found = convert[kind](value) if kind in convert else value
    if found is None:
        raise RenderError(f"{_shown(value)} is no {kind}")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _string(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return json_text(value) if isinstance(value, (bool, int, float)) else None


def _int(value: Any) -> Any:
    number: Any = json.loads(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if not _is_number(number):
        return None
    if isinstance(number, int):
        return number if -(2**63) <= number < 2**64 else None
    return int(number) if number.is_integer() and abs(number) <= _EXACT else None


def _float(value: Any) -> Any:
    if isinstance(value, str):
        value = json.loads(value) if _NUMBER.fullmatch(value) else None
    return value if _is_number(value) and math.isfinite(value) else None


def _bool(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


def _parsed(value: Any, kind: type) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    value = list(cast(Iterable[Any], value)) if isinstance(value, tuple) else value
    return cast(Any, value) if isinstance(value, kind) else None


def _shown(value: Any) -> str:
    try:
        text = json_text(value)
    except RenderError:
        text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def names_in(text: str) -> Set[str]:
    """The variables that a template uses."""
    if _is_plain(text):
        return set(_PLACEHOLDER.findall(text))
    jinja2, environment = _jinja()
    from jinja2 import meta

    try:
        return meta.find_undeclared_variables(environment.parse(text)) - {"range"}
    except jinja2.TemplateError as error:
        raise RenderError(str(error)) from error


def render(text: str, values: Mapping[str, Any]) -> str:
    """A template with these values in it."""
    if not _is_plain(text):
        return _render_with_jinja(text, values)

    def value(match: "re.Match[str]") -> str:
        name = match[1]
        if name not in values:
            raise RenderError(f"the template uses `{name}`, and there is no value for it")
        return printed(values[name])

    # A dash takes the white space beside its tag, as everywhere in Jinja.
    text = re.sub(r"\s*\{\{-", "{{", text)
    text = re.sub(r"-\}\}\s*", "}}", text)
    return _PLACEHOLDER.sub(value, text)


def _is_plain(text: str) -> bool:
    """Whether nothing but names stands between braces."""
    rest = _PLACEHOLDER.sub("", text)
    return not ("{{" in rest or "{%" in rest or "{#" in rest)


def _jinja() -> Any:
    """Jinja's module and an environment that reads and prints as the server does."""
    try:
        import jinja2
        import jinja2.sandbox
    except ImportError as error:
        raise RenderError("this template needs Jinja2: pip install llmops[jinja], or let the server render") from error

    class Missing(jinja2.StrictUndefined):
        """A plain ``{% if name %}`` may look at a variable that is not there."""

        def __bool__(self) -> bool:  # type: ignore[override]
            return False

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=Missing, autoescape=False, keep_trailing_newline=True, finalize=_finalized
    )
    environment.filters = {name: found for name, found in environment.filters.items() if name in _FILTERS}
    environment.filters.update(tojson=json_text, string=printed, join=_joined)
    environment.globals = {"range": range}
    return jinja2, environment


def _joined(items: Iterable[Any], between: str = "") -> str:
    return between.join(map(printed, items))


def _finalized(value: Any) -> Any:
    # What is undefined, or made by Jinja itself, says for itself what it is.
    return json_text(value) if isinstance(value, (bool, int, float, list, tuple, dict)) or value is None else value


def _render_with_jinja(text: str, values: Mapping[str, Any]) -> str:
    _, environment = _jinja()
    try:
        return environment.from_string(text).render(values)
    except RenderError:
        raise
    # Filters raise whatever Python raises on a value that they were not made for.
    except Exception as error:
        raise RenderError(str(error)) from error
