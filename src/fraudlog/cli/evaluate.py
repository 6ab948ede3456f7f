"""`fraudlog evaluate`: attacks put into your own log, or your own labels, and what the detector makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import fraudlog as fl
from fraudlog.cli.options import Format, Json, Logs
from fraudlog.cli.scoring import read_logs
from fraudlog.cli.terminal import open_console, progress
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.enriching import EndpointMap
    from fraudlog.evaluation import Campaign, Design

__all__ = ["column_map", "evaluate"]


def evaluate(
    logs: Logs,
    kinds: Annotated[list[str] | None, typer.Option(help="Kind of attack, repeatable; all by default.")] = None,
    *,
    share: Annotated[float, typer.Option(help="Sessions of each kind for one of your own.")] = 0.005,
    rate: Annotated[float, typer.Option(help="2 attacks twice as fast, 0.5 half.")] = 1.0,
    addresses: Annotated[int | None, typer.Option(help="Addresses of each campaign; each kind has its own.")] = None,
    mimicry: Annotated[float, typer.Option(help="Chance of each trait to look like your visitors', 0 to 1.")] = 0.5,
    seeds: Annotated[int, typer.Option(help="How often, each time with other attacks.")] = 5,
    seed: Annotated[int, typer.Option(help="First seed; the same seed gives the same attacks.")] = 0,
    split: Annotated[float, typer.Option(help="Share of the time to learn from; attacks lie in the rest.")] = 0.6,
    fpr: Annotated[float, typer.Option(help="Share of your own sessions that may be flagged.")] = 0.01,
    budget: Annotated[int, typer.Option(help="Reviews a day.")] = 20,
    labels: Annotated[Path | None, typer.Option(help="CSV of labels to be held against, in place of attacks.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="What the CSV calls a column, as label=is_fraud; repeatable.")
    ] = None,
    endpoints: Annotated[Path | None, typer.Option(help="Map of your site's paths, from suggest-endpoints.")] = None,
    log_format: Format = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.html and evaluation.json.")] = None,
    as_json: Json = False,
) -> None:
    """Stress the detector with attacks put into LOGS: a stress test, not field accuracy.

    Learns from the earlier part of LOGS, puts attack-shaped traffic (credential stuffing, scraping, carding ...) into
    the later part, and says how much of each kind it would find. With --labels it is held against labels of your own
    instead. Nothing of LOGS is written but figures.

    Example: fraudlog evaluate access.log.gz --kinds stuffing_residential --kinds carding --mimicry 0.8 --out stressed
    """
    from fraudlog.evaluation import Campaign, Design, render_findings

    campaign = Campaign(share=share, rate=rate, addresses=addresses, mimicry=mimicry, seed=seed)
    design = Design(seeds=seeds, split=split, fpr=fpr, budget=budget)
    with progress() as step:
        if labels is not None:
            found = _against_labels(logs, log_format, labels, column_map(column), design, step)
        else:
            found = _stress(logs, log_format, kinds, campaign, design, _map(endpoints), step)
    files = {}
    if out is not None:
        files = _write(
            out, {"evaluation.json": json.dumps(found, allow_nan=False), "evaluation.html": render_findings(found)}
        )
    if as_json:
        typer.echo(json.dumps(found | ({"out": files} if files else {}), allow_nan=False))
    else:
        _print(found, files)


def _stress(
    logs: list[Path],
    log_format: str,
    kinds: list[str] | None,
    campaign: Campaign,
    design: Design,
    endpoints: EndpointMap | None,
    step: Callable[[str], None],
) -> dict[str, Any]:
    from fraudlog.evaluation import pick_kinds, stress_findings, stress_test

    pick_kinds(kinds)  # a name that is not known is said before a long log is read
    step("reading")
    # Addresses stay in memory: attackers are seated near the visitors. What is written holds figures alone.
    events = read_logs(logs, log_format, None).events
    return stress_findings(stress_test(events, kinds, campaign, design, endpoints=endpoints, step=step))


def _against_labels(
    logs: list[Path],
    log_format: str,
    labels: Path,
    columns: dict[str, str],
    design: Design,
    step: Callable[[str], None],
) -> dict[str, Any]:
    from fraudlog.evaluation import label_sessions, labelled_findings, read_labels

    said = read_labels(labels, columns)
    step("reading")
    sessions = fl.build_sessions(read_logs(logs, log_format, None).table)
    return labelled_findings(sessions, label_sessions(sessions, said), design, step=step)


def column_map(column: list[str] | None) -> dict[str, str]:
    """Return what a file calls its columns, from pairs of our name and theirs."""
    pairs = [pair.partition("=") for pair in column or []]
    if any(not ours or not theirs for ours, _, theirs in pairs):
        raise ConfigError("--column takes ours=theirs, as label=is_fraud", parameter="column")
    return {ours: theirs for ours, _, theirs in pairs}


def _map(path: Path | None) -> EndpointMap | None:
    from fraudlog.enriching import EndpointMap

    return None if path is None else EndpointMap.from_file(path)


def _write(out: Path, files: dict[str, str]) -> dict[str, str]:
    from fraudlog.reporting import staged

    with staged(out) as draft:
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
    return {name.partition(".")[2]: str(out / name) for name in files}


def _print(found: dict[str, Any], files: dict[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from fraudlog.reporting import safe_text

    console = open_console()
    console.print(f"{found['what']}: [bold]{found['disclaimer']}[/bold]", highlight=False, soft_wrap=True)
    if found["kinds"]:
        table = Table("kind", "OWASP", "recall", "worst to best", "at budget", "AUROC", "sessions", box=SIMPLE_HEAD)
        for row in found["kinds"]:
            figures = (
                f"{row['recall']:.2f}",
                f"{row['worst']:.2f} to {row['best']:.2f}",
                f"{row['recall_at_budget']:.2f}",
            )
            table.add_row(row["kind"], row["oat"], *figures, f"{row['auroc']:.3f}", f"{row['sessions']:.0f}")
        console.print(table)
    for row in found["together"]:
        interval = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
        console.print(f"{row['name']}: {row['value']:.3f}{interval}", highlight=False)
    for kind, why in found["left_out"].items():
        console.print(f"left out: {kind}, since {why}", highlight=False)
    leaks = [f"{row['column']} ({row['leak']})" for row in found["leaks"] if row["leak"]]
    if leaks:
        console.print(Text(f"tell the classes apart all alone: {safe_text(', '.join(leaks), 400)}"), soft_wrap=True)
    for path in files.values():
        console.print(path, highlight=False, markup=False, soft_wrap=True)
