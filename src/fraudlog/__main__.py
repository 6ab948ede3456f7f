"""`python -m fraudlog` is the `fraudlog` command."""

from fraudlog.cli import main

main()
