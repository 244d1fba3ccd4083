"""The commands that talk to a running server, and `keys`.

Each module registers itself with typer and imports what is slow only when it runs, so that
`lambda-home serve` does not wait for what it does not need. What a program reads goes to stdout
(with --json exactly one JSON document), everything else to stderr. Exit codes: see `failures`.
"""
