"""The `fraudlog` command: thin verbs over the library; results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import fraudlog as fl
from fraudlog.errors import ConfigError, FraudlogError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from fraudlog.privacy import Pseudonyms

__all__ = ["app", "main"]

app = typer.Typer(
    help="Flags abusive sessions in access logs, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and with them addresses and accounts
    rich_markup_mode="rich",
)

_WIDE: Final = 112
_STEPS: Final = 5

Logs = Annotated[
    list[Path],
    typer.Argument(help="Access logs: files (plain or packed), folders, or - for standard input.", show_default=False),
]
Out = Annotated[Path, typer.Option(help="Folder for the tables and the report; made if it is not there.")]
Model = Annotated[
    Path | None, typer.Option(help="Detector from `fraudlog fit`; without one it learns from LOG itself.")
]
Format = Annotated[
    str, typer.Option("--format", help="Name of a log format, or the server's log_format string; auto detects it.")
]
RejectShare = Annotated[
    float | None,
    typer.Option(
        "--max-reject-share", help="Exit with 3 if more than this share of the lines is rejected.", min=0, max=1
    ),
]
Gap = Annotated[str, typer.Option("--session-gap", help="Longest silence inside a session.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Key of the pseudonyms; by default FRAUDLOG_KEY, or a file made in your configuration folder."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, *, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        typer.echo(f"fraudlog {fl.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def score(
    logs: Logs,
    out: Out = Path("fraudlog-out"),
    model: Model = None,
    *,
    log_format: Format = "auto",
    max_reject_share: RejectShare = None,
    session_gap: Gap = "30min",
    daily_reviews: Annotated[int | None, typer.Option(help="At most so many challenges a day.", min=0)] = None,
    top: Annotated[int, typer.Option(help="Sessions to print.", min=0)] = 10,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 if a session gets this verdict or a harder one.")
    ] = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Score the sessions of LOGS; write tables and a report to --out.

    Writes events, rejected, sessions, scores and decisions as Parquet, summary.json and report.html. No raw address,
    account or token reaches the disk.

    Example: fraudlog score access.log.gz --out scored --daily-reviews 20
    """
    from fraudlog.deciding import VERDICTS  # noqa: PLC0415 -- `--help` must not wait for pandas

    if fail_on is not None and fail_on not in VERDICTS:
        raise ConfigError(f"--fail-on knows {', '.join(VERDICTS)}", parameter="fail_on")
    policy = fl.Policy(daily_reviews=daily_reviews)
    names = _pseudonyms(key_file, out)
    with _progress() as step:
        scored = _score(logs, model, log_format, session_gap, names, step, max_reject_share)
        decisions = policy.decide(scored.scores)
        step("writing")
        paths = _write(out, scored, decisions, names)
    _print_score(scored, decisions, paths, top, as_json=as_json)
    if fail_on is not None and decisions["verdict"].isin(VERDICTS[VERDICTS.index(fail_on) :]).any():
        raise typer.Exit(1)


@app.command()
def fit(
    logs: Logs,
    model: Annotated[Path, typer.Option(help="File to write the detector to.")] = Path("model.fraudlog"),
    *,
    log_format: Format = "auto",
    max_reject_share: RejectShare = None,
    session_gap: Gap = "30min",
) -> None:
    """Learn from LOGS what is usual on a site, and write the detector to --model.

    Fit on one period and score another: a detector that has seen an attack takes it for more usual than it is.

    Example: fraudlog fit may.log.gz --model may.fraudlog && fraudlog score june.log.gz --model may.fraudlog --out june
    """
    with _progress() as step:
        step("reading")
        log = _read(logs, log_format, max_reject_share)
        step("building sessions")
        sessions = fl.build_sessions(log.table, session_gap=session_gap, asof=True)
        step("learning")
        detector = fl.Detector().fit(sessions)
        step("writing")
        detector.save(model)
    typer.echo(
        f"{model}: learnt from {detector.reference_size_:,} presumed-human of {detector.sessions_seen_:,} sessions, "
        f"{detector.window_[0]} to {detector.window_[1]}"
    )


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `fraudlog score` wrote.", show_default=False)],
) -> None:
    """Write report.html anew from the tables in FOLDER.

    The page is self-contained: it runs no script and asks nothing of anybody.

    Example: fraudlog report scored
    """
    from fraudlog.reporting import staged  # noqa: PLC0415 -- as above

    page = _page(folder)
    with staged(folder) as draft:
        (draft / "report.html").write_text(page, encoding="utf-8")
    typer.echo(str(folder / "report.html"))


@app.command()
def explain(
    arguments: Annotated[
        list[str], typer.Argument(metavar="LOG... SESSION_ID", help="The logs scored, then the id, or its beginning.")
    ],
    model: Model = None,
    *,
    log_format: Format = "auto",
    session_gap: Gap = "30min",
    key_file: KeyFile = None,
) -> None:
    """Say why one session was flagged, and print its lines.

    Reads LOG again, since no raw line is stored anywhere else; give the options that `score` was given.

    Example: fraudlog explain access.log.gz 3f9c20b1aa
    """
    *logs, session_id = arguments
    if not logs:
        raise ConfigError("name the log, then the session: fraudlog explain LOG SESSION_ID", parameter="session_id")
    names = _pseudonyms(key_file, None)
    with _progress() as step:
        scored = _score([Path(log) for log in logs], model, log_format, session_gap, names, step)
        row = _one_session(scored.scores, session_id)
    _print_explanation(scored, row)


@app.command()
def features(
    names: Annotated[list[str] | None, typer.Argument(help="Features or families to show; all by default.")] = None,
    *,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/features.md.")] = False,
    as_json: Json = False,
) -> None:
    """Print the catalogue of features: meaning, unit, formula, what each misses.

    Example: fraudlog features tempo
    """
    from fraudlog.sessions import FEATURES, features_as_dicts, features_page  # noqa: PLC0415 -- as above

    wanted = set(names or ())
    if unknown := wanted - {row.name for row in FEATURES} - {row.family for row in FEATURES}:
        families = ", ".join(dict.fromkeys(row.family for row in FEATURES))
        raise ConfigError(f"no feature or family {', '.join(sorted(unknown))}; families: {families}", parameter="names")
    rows = [row for row in FEATURES if not wanted or wanted & {row.name, row.family}]
    if as_json:
        typer.echo(json.dumps(features_as_dicts(rows)))
    elif as_markdown:
        typer.echo(features_page(rows))
    else:
        _console().print(_feature_table(features_as_dicts(rows)))


def _feature_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Column, Table  # noqa: PLC0415 -- as above

    table = Table(Column("feature", no_wrap=True), "unit", "meaning", "misses", "OAT", box=None)
    for row in rows:
        table.add_row(*(row[name] for name in ("name", "unit", "meaning", "misses")), " ".join(row["oat"]))
    return table


@app.command("suggest-endpoints")
def suggest_endpoints(
    logs: Logs,
    *,
    out: Annotated[Path | None, typer.Option(help="TOML file to write the map to.")] = None,
    log_format: Format = "auto",
    fewest_requests: Annotated[int, typer.Option(help="Leave out paths with fewer requests.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Propose what the paths in LOGS are: login, checkout, asset, API ... with the reason for each.

    Read it, correct it, and give the file to `fraudlog.enriching.EndpointMap.from_file`.

    Example: fraudlog suggest-endpoints access.log.gz --out endpoints.toml
    """
    from fraudlog.enriching.suggesting import suggest_endpoints, write_map  # noqa: PLC0415 -- as above
    from fraudlog.reporting import staged  # noqa: PLC0415 -- as above

    with _progress() as step:
        step("reading")
        events = fl.read_log(logs, log_format).table
        step("looking at the traffic")
        proposals = suggest_endpoints(events, fewest_requests=fewest_requests)
    if out is not None:
        with staged(out.parent) as draft:
            (draft / out.name).write_text(write_map(proposals), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"proposals": proposals.to_dict("records")}, allow_nan=False))
        return
    _print_proposals(proposals)


def _print_proposals(proposals: pd.DataFrame) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 -- as above
    from rich.table import Table  # noqa: PLC0415 -- as above
    from rich.text import Text  # noqa: PLC0415 -- as above

    from fraudlog.reporting import safe_text  # noqa: PLC0415 -- as above

    table = Table("requests", "endpoint", "path", "why", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in proposals.to_dict("records"):
        table.add_row(f"{row['requests']:,}", row["endpoint"], Text(safe_text(row["template"], 80)), Text(row["why"]))
    _console().print(table)


@dataclass(frozen=True)
class _Scored:
    log: fl.ParsedLog
    events: pd.DataFrame
    sessions: pd.DataFrame
    scores: pd.DataFrame
    summary: dict[str, Any]


def _score(
    logs: list[Path],
    model: Path | None,
    log_format: str,
    gap: str,
    names: Pseudonyms,
    step: Callable[[str], None],
    max_reject_share: float | None = None,
) -> _Scored:
    step("reading")
    log = _read(logs, log_format, max_reject_share)
    if not log.summary.events:
        raise InputError(f"{logs[0]}: holds no event that can be scored", source=logs[0])
    step("building sessions")
    sessions = fl.build_sessions(log.table, session_gap=gap, key=names.session_key)
    events = fl.sessionize(log.events, session_gap=gap, key=names.session_key)
    step("learning" if model is None else "loading")
    detector = fl.Detector().fit(sessions) if model is None else fl.Detector.load(model)
    step("scoring")
    summary = {
        "fraudlog": fl.__version__,
        "log": log.summary.to_dict(),
        "model": {
            "origin": "fitted on this very log" if model is None else f"detector {model.name}",
            "reference_size": detector.reference_size_,
            "sessions_seen": detector.sessions_seen_,
            "window": list(detector.window_),
        },
    }
    return _Scored(log, events, sessions, detector.score(sessions), summary)


def _read(logs: list[Path], log_format: str, max_reject_share: float | None) -> fl.ParsedLog:
    """Read the logs; what was wrong with a whole file goes to stderr."""
    log = fl.read_log(logs, log_format, max_reject_share=max_reject_share)
    for problem in log.summary.problems.items():
        sys.stderr.write("fraudlog: {}: {}\n".format(*problem))
    return log


def _write(out: Path, scored: _Scored, decisions: pd.DataFrame, names: Pseudonyms) -> dict[str, Path]:
    from fraudlog.reporting import staged, write_tables  # noqa: PLC0415 -- as above

    frames = {
        "events": scored.events,
        "rejected": scored.log.rejected_table,
        "sessions": scored.sessions,
        "scores": scored.scores,
        "decisions": decisions,
    }
    with staged(out) as draft:
        write_tables(draft, frames, scored.summary, names)
        (draft / "report.html").write_text(_page(draft), encoding="utf-8")
    files = [*(f"{name}.parquet" for name in frames), "summary.json", "report.html"]
    return {name.partition(".")[0]: out / name for name in files}


def _page(folder: Path) -> str:
    """Return the report of the tables in `folder`: as shielded on disk, not as in memory."""
    from fraudlog.reporting import read_tables, render_report  # noqa: PLC0415 -- as above

    tables, summary = read_tables(folder, "sessions", "scores", "decisions")
    return render_report(summary, tables["sessions"], tables["scores"], tables["decisions"])


def _print_score(scored: _Scored, decisions: pd.DataFrame, paths: dict[str, Path], top: int, *, as_json: bool) -> None:
    from fraudlog.deciding import VERDICTS  # noqa: PLC0415 -- as above
    from fraudlog.reporting import top_sessions, top_table  # noqa: PLC0415 -- as above

    counts = {verdict: int((decisions["verdict"] == verdict).sum()) for verdict in VERDICTS}
    rows = top_sessions(scored.sessions, scored.scores, decisions, top)
    if as_json:
        found = {"sessions": len(scored.sessions), "verdicts": counts, "top": rows}
        written = {"out": {name: str(path) for name, path in paths.items()}}
        typer.echo(json.dumps(scored.summary | found | written, allow_nan=False))
        return
    log = scored.log.summary
    console = _console()
    if rows:
        console.print(top_table(rows))
        console.print()
    console.print(
        f"{log.lines:,} lines = {log.events:,} events + {log.rejected:,} rejected + {log.blank:,} blank; "
        f"{len(scored.sessions):,} sessions: " + ", ".join(f"{n:,} {verdict}" for verdict, n in counts.items()),
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report: {paths['report']}", highlight=False, markup=False, soft_wrap=True)


def _one_session(scores: pd.DataFrame, session_id: str) -> int:
    rows = scores.index[scores["session_id"].str.startswith(session_id.lower())]
    if len(rows) != 1:
        problem = "is not in this log (same log, key and --session-gap?)" if not len(rows) else "begins several ids"
        raise ConfigError(f"session {session_id[:24]!r} {problem}", parameter="session_id")
    return int(rows[0])


def _print_explanation(scored: _Scored, row: int) -> None:
    from rich.text import Text  # noqa: PLC0415 -- as above

    from fraudlog.reading import read_lines  # noqa: PLC0415 -- as above
    from fraudlog.reporting import safe_text  # noqa: PLC0415 -- as above

    found = scored.scores.loc[row]
    console = _console()
    console.print(
        f"session {found['session_id']}: risk {found['risk']:.2f}, anomaly score {found['anomaly_score']:.2f}, "
        f"confidence {found['confidence']:.2f}",
        highlight=False,
    )
    for reason, text in zip(found["reasons"], fl.describe_reasons(found["reasons"]), strict=True):
        console.print(Text(f"  +{reason['contribution']:.3f}  {text}  [{reason['code']}]"), soft_wrap=True)
    own = scored.events[scored.events["session_id"] == found["session_id"]].sort_values(["timestamp", "line_number"])
    for source in own["source"].unique():
        wanted = {int(number) for number in own.loc[own["source"] == source, "line_number"]}
        lines = {n: line for n, line in enumerate(read_lines(Path(source)), start=1) if n in wanted}
        for number in own.loc[own["source"] == source, "line_number"]:
            text = lines[int(number)].decode("utf-8", "backslashreplace")
            console.print(Text(f"{safe_text(source)}:{number}: {safe_text(text, 2000)}"), soft_wrap=True)


def _pseudonyms(key_file: Path | None, out: Path | None) -> Pseudonyms:
    from fraudlog.privacy import Pseudonyms, load_key  # noqa: PLC0415 -- as above

    return Pseudonyms(load_key(key_file, outside=out))


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 -- as above

    return Console(width=None if sys.stdout.isatty() else _WIDE)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on a terminal's stderr; elsewhere show nothing."""
    from rich.console import Console  # noqa: PLC0415 -- as above
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=_STEPS)
        yield lambda what: progress.update(task, description=what, advance=1)


def main() -> None:
    """Run the command; an error of this library becomes one line on stderr and its exit code."""
    try:
        app()
    except FraudlogError as error:
        sys.stderr.write(f"fraudlog: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("fraudlog: stopped; nothing half-written is left behind\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
