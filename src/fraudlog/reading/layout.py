r"""Compile an nginx ``log_format`` or Apache ``LogFormat`` string to a layout, and a layout to a careful regex.

A layout is a run of literals and values. A value is *quoted* (a quote before and after it), *bracketed* or *bare*.
Inside quotes a backslash keeps the next character, so that no value can close its own quotes. A bare value ends at the
first byte of the literal behind it. Bare values of the client's choice ("free": an unquoted agent) may imitate what
follows them: such a line is matched by `loose`, and rejected as ``ambiguous`` where it fits in two ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from fraudlog.errors import ConfigError
from fraudlog.reading.loose import Unit
from fraudlog.reading.variables import APACHE, APACHE_HEADERS, Variable, nginx_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FILLS", "Layout", "Part", "compile_apache", "compile_nginx"]

Enclosure = Literal["quoted", "bracketed", "bare"]

_PREFIX: Final = (
    rb"(?:<\d{1,3}>)?(?:\d )?"
    rb"(?:(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:.+Z-]+) [\w.:-]+ [\w./-]+(?:\[\d+\])?:? "
    rb"(?:\d+ )?(?:- )*)?"
)
"""What syslog puts before a line (RFC 3164 or 5424). Its time and host are the relay's, so they are read over."""


@dataclass(frozen=True, slots=True)
class Part:
    """A literal, the value behind it, and the quote or bracket that closes it."""

    literal: bytes
    name: str
    variable: Variable
    enclosure: Enclosure
    close: bytes = b""


@dataclass(frozen=True)
class Layout:
    """How the lines of a text format are built.

    Parameters
    ----------
    parts : tuple of Part
    tail : bytes
        Literal behind the last value.
    escapes : str
        Style of escapes inside values, one of `escapes.STYLES`.
    is_open : bool
        Whether more values may follow the tail; they are read over.
    n_required : int
        Values that a line must have; those behind may be missing from the right.
    """

    parts: tuple[Part, ...]
    tail: bytes = b""
    escapes: str = "c"
    is_open: bool = False
    n_required: int = 0

    @property
    def has_free_bare(self) -> bool:
        """Whether a line could fit in two ways."""
        return any(self._is_loose(index) for index in range(len(self.parts)))

    @property
    def has_loose_bare(self) -> bool:
        """Whether a value without quotes could end in two places."""
        return any(self._is_loose(index) for index, part in enumerate(self.parts) if part.enclosure != "quoted")

    def following(self, index: int) -> bytes:
        """Return the literal that ends a value."""
        if self.parts[index].close:
            return self.parts[index].close
        return self.parts[index + 1].literal if index + 1 < len(self.parts) else self.tail

    def _is_loose(self, index: int) -> bool:
        """Tell a value whose end its own content can move."""
        part = self.parts[index]
        if part.enclosure == "quoted":
            return self.escapes == "none"
        if part.enclosure == "bracketed" or not part.variable.is_free or part.variable.pattern:
            return False
        # a user before ` [time] "`: the time holds no bracket and the user no raw quote, so the end is fixed
        before_time = self.following(index).endswith(b"[") and index + 2 < len(self.parts)
        return not (before_time and self.escapes != "none" and self.parts[index + 2].enclosure == "quoted")

    def _value(self, index: int) -> bytes:
        part = self.parts[index]
        following = self.following(index)
        if part.enclosure == "quoted" and self.escapes == "none":
            return b"(.*?)"
        if part.enclosure == "quoted":
            return rb"([^\"]*+)" if self.escapes == "hash" else rb'((?:[^"\\]++|\\.)*+)'
        if part.enclosure == "bracketed":  # HAProxy escapes braces in what it captured, not brackets
            return rb"([^{}\"]*+)" if part.close == b"}" else rb"([^\[\]{}\"]*+)"
        if part.variable.pattern:
            return b"(" + part.variable.pattern.encode() + b")"
        if part.variable.is_free:
            inner = b"." if self.escapes == "none" else rb'(?:[^"\\]|\\.)'
            return b"(" + inner + b"*?)"
        stop = re.escape(following[:1]) if following else rb"\s"
        return rb"([^" + stop + rb'"]*+)'

    def regex(self, *, is_whole: bool = True) -> re.Pattern[bytes]:
        """Return the careful pattern of a line, one group a value; not `is_whole`: of how a line begins."""
        required = self.n_required or len(self.parts)
        pattern = [self._before()]
        for index in range(len(self.parts)):
            pattern += [b"(?:" if index >= required else b"", self._piece(index)]
        pattern += [b")?"] * (len(self.parts) - required)
        return re.compile(b"".join([*pattern, self._behind() if is_whole else re.escape(self.tail)]), re.DOTALL)

    def units(self, *, is_whole: bool = True) -> tuple[list[re.Pattern[bytes]], list[Unit]]:
        """Return what is fixed before the first loose value, in turn, and each of these with what is behind it.

        All values must be required.
        """
        loose = [index for index in range(len(self.parts)) if self._is_loose(index)]
        start = b"".join(map(self._piece, range(loose[0]))) + re.escape(self.parts[loose[0]].literal)
        units = []
        for index, after in zip(loose, [*loose[1:], len(self.parts)], strict=True):
            is_last = after == len(self.parts)
            fixed = b"".join(map(self._piece, range(index + 1, after)))
            close, behind = self.parts[index].close, self.tail if is_last else self.parts[after].literal
            end = re.escape(behind) if not is_last else self._behind() + rb"\Z" if is_whole else re.escape(self.tail)
            pattern = self._value(index) + re.escape(close) + fixed + end
            is_plain = not fixed and not is_last and (self.escapes == "none" or not set(close + behind) & set(b'"\\'))
            units.append(Unit(re.compile(pattern, re.DOTALL), is_plain))
        return [re.compile(before + start, re.DOTALL) for before in dict.fromkeys((self._before(), b""))], units

    def _before(self) -> bytes:
        # where a time or a text of the client's choice comes first, a prefix could be taken for it
        first = self.parts[0]
        return _PREFIX if first.literal or first.variable.column in ("client_ip", "host") else b""

    def _piece(self, index: int) -> bytes:
        part = self.parts[index]
        return re.escape(part.literal) + self._value(index) + re.escape(part.close)

    def _behind(self) -> bytes:
        return re.escape(self.tail) + (rb"(?:[ \t].*)?" if self.is_open else b"") + rb"\s*"

    def has_more(self, line: bytes, end: int) -> bool:
        """Tell whether anything but blanks stands behind the last value, which ends at `end`, and the tail."""
        return end >= 0 and bool(line[end + len(self.parts[-1].close) + len(self.tail) :].strip())

    @cached_property
    def columns(self) -> frozenset[str]:
        """Columns of events that the layout can fill."""
        found: set[str] = set()
        for part in self.parts:
            found.update(FILLS.get(part.variable.reader, (part.variable.column,)))
        return frozenset(found - {""})


FILLS: Final[dict[str, tuple[str, ...]]] = {
    "request": ("method", "path", "query", "protocol"),
    "request_url": ("method", "host", "path", "query", "protocol"),
    "uri": ("path", "query"),
    "url": ("host", "path", "query"),
    "forwarded": ("client_ip",),
    "": (),
}
"""Columns of the readers that fill several."""

_NGINX = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
_APACHE = re.compile(r"%(?:!?\d{3}(?:,\d{3})*)?[<>]?(?:\{([^}]*)\})?[<>]?(\^t[io]|[A-Za-z%])")


_CLOSERS: Final[dict[str, tuple[Enclosure, str]]] = {
    '"': ("quoted", '"'),
    "[": ("bracketed", "]"),
    "{": ("bracketed", "}"),
}


def _build(
    pieces: list[tuple[str, str]],
    tail: str,
    names: Mapping[str, Variable],
    **options: Any,  # noqa: ANN401 -- fields of `Layout`
) -> Layout:
    """Join (literal, variable name) pairs; `names` are the caller's own meanings."""
    parts: list[Part] = []
    literals = [literal for literal, _ in pieces] + [tail]
    for index, (_, name) in enumerate(pieces):
        variable = names.get(name) or nginx_variable(name)
        before, after = literals[index], literals[index + 1]
        enclosure, close = _CLOSERS.get(before[-1:], ("bare", ""))
        if not close or not after.startswith(close):
            enclosure, close = "bare", ""
        literals[index + 1] = after.removeprefix(close)
        if not after and index + 1 < len(pieces):
            raise ConfigError(
                f"log format: nothing stands between ${name} and ${pieces[index + 1][1]}, so they can't be told apart",
                parameter="format",
            )
        parts.append(Part(before.encode(), name, variable, enclosure, close.encode()))
    if not any(part.variable.column == "timestamp" for part in parts):
        raise ConfigError(
            "log format: it has no time; add $time_local, $time_iso8601 or $msec (Apache: %t)", parameter="format"
        )
    return Layout(tuple(parts), literals[-1].encode(), **options)


def compile_nginx(template: str, names: Mapping[str, Variable] | None = None, **options: Any) -> Layout:  # noqa: ANN401 -- see below
    """Compile the string of an nginx ``log_format`` directive.

    Parameters
    ----------
    template : str
        Without the outer quotes of the directive.
    names : mapping of str to Variable, optional
        Own meanings of variables, as ``{"cookie_sid": Variable("session_token", "text")}``.
    **options
        `Layout` fields: ``escapes``, ``is_open``, ``n_required``.

    Raises
    ------
    ConfigError
        If two values stand side by side or there is no time.

    Examples
    --------
    >>> layout = compile_nginx('$remote_addr [$time_local] "$request" $status')
    >>> layout.regex().fullmatch(b'192.0.2.1 [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200').groups()[2]
    b'GET / HTTP/1.0'
    """
    pieces, position = [], 0
    template = template.replace("$uri$is_args$args", "$request_uri")
    for match in _NGINX.finditer(template):
        pieces.append((template[position : match.start()], match[1] or match[2]))
        position = match.end()
    if not pieces:
        raise ConfigError("log format: it names no variable ($remote_addr ...)", parameter="format")
    return _build(pieces, template[position:], names or {}, **options)


def compile_apache(template: str, names: Mapping[str, Variable] | None = None, **options: Any) -> Layout:  # noqa: ANN401 -- see below
    r"""Compile the string of an Apache ``LogFormat`` directive; ``\"`` and ``\t`` as the configuration writes them.

    ``%t`` brings its own brackets, ``%{format}t`` does not. Modifiers (``%>s``, ``%400,501{...}i``) are accepted.

    Examples
    --------
    >>> sorted(compile_apache(r'%v %h %l %u %t \"%r\" %>s %b').columns)  # doctest: +NORMALIZE_WHITESPACE
    ['bytes_sent', 'client_ip', 'host', 'method', 'path', 'protocol', 'query', 'status', 'timestamp', 'user']
    """
    text = template.replace(r"\"", '"').replace(r"\t", "\t")
    pieces: list[tuple[str, str]] = []
    literal, position = "", 0
    for match in _APACHE.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match[2] == "%":
            literal += "%"
            continue
        before, name, after = _directive(match[2], match[1])
        pieces.append((literal + before, name))
        literal = after
    if not pieces:
        raise ConfigError("log format: it names no directive (%h ...)", parameter="format")
    return _build(_merge_uri(pieces), literal + text[position:], names or {}, **options)


def _directive(letter: str, argument: str | None) -> tuple[str, str, str]:
    """Return literal before, variable name, literal behind."""
    if letter == "t" and not argument:
        return "[", "time_local", "]"
    if argument is None:
        return "", APACHE.get(letter, "word"), ""
    return "", _with_argument(letter, argument), ""


def _with_argument(letter: str, argument: str) -> str:
    """Return the variable of ``%{argument}letter``."""
    header = argument.lower()
    names = {
        "t": "strftime:" + argument.removeprefix("begin:").removeprefix("end:"),
        "i": APACHE_HEADERS.get(header, "http_" + header.replace("-", "_")),
        "C": f"cookie_{argument}",
        "T": {"us": "duration_us", "ms": "duration_ms"}.get(argument, "request_time"),
        "a": "word",
    }
    return names.get(letter, "free_text")


def _merge_uri(pieces: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Make ``%U%q`` one value, since Apache's ``%q`` brings its own question mark and may be empty."""
    merged: list[tuple[str, str]] = []
    for literal, name in pieces:
        if not literal and name == "args" and merged and merged[-1][1] == "uri":
            merged[-1] = (merged[-1][0], "request_uri")
        else:
            merged.append((literal, name))
    return merged
