"""Python written for one definition: the code that reads an event, finds its session and asks the windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.sessions.live_slots import CLIENT, HEAD

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Reference
    from fraudlog.sessions.live_facts import Layout
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.windows import Window

__all__ = ["Writer", "named", "write_reads", "write_sequence", "write_session", "write_window"]


def named(reference: Reference) -> str:
    """Name of the local variable that holds a field's value."""
    return f"d_{reference.field.name}" if reference.is_step else f"v_{reference.field.name}"


class Writer:
    """Lines of code at an indentation."""

    def __init__(self, indent: int, exact_values: int | None = None) -> None:
        self.lines: list[str] = []
        self.indent = indent
        self.exact_values = exact_values

    def add(self, line: str, deeper: int = 0) -> None:
        """Add a line, indented so much deeper."""
        self.lines.append("    " * (self.indent + deeper) + line)


def write_reads(out: Writer, layout: Layout) -> None:
    """Write the reading of an event: its columns, and what the look-ups know of them."""
    out.add("get = event.get")
    out.add("t = moment(get('timestamp'))")
    for i, group in enumerate(layout.groups):
        columns = [_getter(column, layout) for column in group.columns]
        out.add(f"k = {columns[0] if len(columns) == 1 else '(' + ', '.join(columns) + ')'}")
        out.add(f"e{i} = get{i}(k)")
        out.add(f"if e{i} is None: e{i} = miss{i}(k)")
        names = [f"m{i}", *(f"v_{name}" for name in group.fields), *(f"h_{name}" for name in group.coded)]
        out.add(f"{', '.join(names)}, = e{i}")
    out.add(f"m = {' | '.join(f'm{i}' for i in range(len(layout.groups))) or '0'}")
    for name in layout.direct:
        out.add(f"v_{name} = get({name!r})")
    out.add("if v_ip_prefix is None: v_ip_prefix = v_client_ip")
    for name in layout.direct:
        if name in layout.coded:
            out.add(f"h_{name} = None if v_{name} is None else code_get(v_{name}) or code(v_{name})")
    for name, code in layout.computed.items():
        out.add(f"v_{name} = {code}")


def _getter(column: str, layout: Layout) -> str:
    return f"get({column!r}, absent)" if column in layout.asked_missing else f"get({column!r})"


def write_session(out: Writer, definition: Definition) -> None:
    """Write the search for the session of an event, and what is kept of it beside its features."""
    out.add("if v_session_token is not None: actor = ('t', h_session_token); named = ('t', v_session_token)")
    out.add("elif v_user is not None: actor = ('u', h_user); named = ('u', v_user)")
    out.add("else:")
    out.add("actor = (h_ip_prefix, h_user_agent, h_language)", 1)
    out.add("named = (v_ip_prefix, v_user_agent, v_language)", 1)
    out.add("s = find(actor)")
    out.add("if s is None:")
    out.add("s = opened(actor, named, t, 0)", 1)
    out.add("else:")
    out.add("gap = t - s[1]", 1)
    out.add("if gap < 0: t = s[1]; gap = 0; clamped()", 1)
    out.add(f"if gap > {definition.session_gap_us}: ended(s, 'gap'); s = opened(actor, named, t, 0)", 1)
    out.add(f"elif t - s[0] > {definition.max_duration_us} or s[2] >= {definition.max_events}:", 1)
    out.add("ended(s, 'limit'); s = opened(actor, named, t, s[3] + 1)", 2)
    out.add("else: moved(actor)", 1)
    out.add("n = s[2]")
    out.add("if n:")
    out.add("gap_us = t - s[1]", 1)
    out.add("if s[17]: s[7] = v_client_ip; s[8] = v_ip_prefix; s[9] = v_user; s[10] = v_profile", 1)
    out.add("if s[17]: s[11] = v_user_agent; s[17] = False", 1)
    out.add("else:")
    out.add("gap_us = None", 1)
    out.add("s[7] = v_client_ip; s[8] = v_ip_prefix; s[10] = v_profile; s[11] = v_user_agent", 1)
    out.add("s[12] = get('source'); s[13] = get('line_number')", 1)
    places = {name.lower(): place for place, name in enumerate(HEAD)}
    out.add("; ".join(f"s[{places[name]}] = v_{name}" for name in map(str.lower, CLIENT)), 1)
    out.add("if v_user is not None and s[9] is None: s[9] = v_user")
    out.add("s[2] = n + 1")
    out.add("before_us = s[1]")
    out.add("s[1] = t")


def write_sequence(out: Writer, layout: Layout, slots: Slots) -> None:
    """Write the fields of time, and those that follow from the event before."""
    for name, code in layout.of_time.items():
        out.add(f"v_{name} = {code}")
    if "gap_ms" in layout.needed or "gap_log2" in layout.needed:
        out.add("v_gap_ms = None if gap_us is None else gap_us // 1000")
        out.add("v_gap_log2 = None if gap_us is None else v_gap_ms.bit_length()")
    if "page_gap_ms" in layout.needed:
        place = slots.add("page", None)
        out.add("v_page_gap_ms = None")
        out.add("if v_endpoint == 'page':")
        out.add(f"if s[{place}] is not None: v_page_gap_ms = (t - s[{place}]) // 1000", 1)
        out.add(f"s[{place}] = t", 1)
    for reference in layout.steps:
        place, value = slots.add(("step", reference), None), f"v_{reference.field.name}"
        out.add(f"b = s[{place}]")
        out.add(f"{named(reference)} = None if b is None or {value} is None else {value} - b")
        out.add(f"s[{place}] = {value}")


def write_window(out: Writer, window: Window, layout: Layout) -> None:
    """Write the call of one window, if its key and value are known."""
    name, see, key = window.name, f"see_{window.name}", f"h_{window.key}"
    value = f"v_{window.value}" if window.kind == "speed" else f"h_{window.value}"
    known = " and ".join(f"v_{field} is not None" for field in window.reads)
    if window.needs:
        needed, where = layout.rules[name]
        out.add(f"v_{name} = None")
        out.add(f"if {known}:")
        out.add("w = rule_get(m)", 1)
        out.add("if w is None: w = rule_miss(m)", 1)
        call = (
            f"{see}({key}, {value}, t)[0]" if window.kind == "distinct" else f"{see}({key}, 1 if w & {where} else 0, t)"
        )
        out.add(f"if w & {needed}: v_{name} = {call}", 1)
    elif window.new:
        out.add(f"v_{name}, v_{window.new} = {see}({key}, {value}, t) if {known} else (None, None)")
    elif window.kind == "distinct":
        out.add(f"v_{name} = {see}({key}, {value}, t)[0] if {known} else None")
    elif window.kind == "speed":
        out.add(f"v_{name} = {see}({key}, {value}, t) if {known} else None")
    else:
        out.add(f"v_{name} = {see}({key}, 1, t) if {known} else None")
