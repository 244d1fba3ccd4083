"""The entry point of `lambda-home` and `python -m lambda_home`.

The garbage collector rests while the modules are imported: it would walk their half a million
objects again and again, a fifth of the time that a start takes. `server` switches it on.
"""

import gc

gc.disable()


def main() -> None:
    """Run the command line."""
    from lambda_home.cli import main as run  # noqa: PLC0415  after the line above

    run()


if __name__ == "__main__":
    main()
