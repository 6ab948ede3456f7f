"""The `fraudlog` command: thin verbs over the library; results to stdout, progress and errors to stderr.

One module a verb. A verb imports what it needs when it runs, so that `--help` does not wait for pandas.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import fraudlog as fl
from fraudlog.cli.endpoints import suggest_endpoints
from fraudlog.cli.evaluate import evaluate
from fraudlog.cli.evidence import evidence
from fraudlog.cli.explain import explain
from fraudlog.cli.export import export
from fraudlog.cli.features import features
from fraudlog.cli.fit import fit
from fraudlog.cli.job import job
from fraudlog.cli.privacy import privacy
from fraudlog.cli.report import report
from fraudlog.cli.score import score
from fraudlog.errors import FraudlogError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Flags abusive sessions in access logs, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and with them addresses and accounts
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, *, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        typer.echo(f"fraudlog {fl.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _verb in (score, fit, report, explain, export, features, evidence, evaluate):
    app.command()(_verb)
app.command("suggest-endpoints")(suggest_endpoints)
app.add_typer(privacy, name="privacy")
app.add_typer(job, name="job")


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
