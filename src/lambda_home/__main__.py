"""The entry point of `lambda-home` and `python -m lambda_home`: what makes a start quick.

The garbage collector rests while the modules are imported: it would walk their half a million
objects again and again, a fifth of the time that a start takes. `server` switches it on.
structlog imports all of rich where it is installed, a tenth of the start, to colour tracebacks.
"""

import gc
import sys

gc.disable()
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402, F401

del sys.modules["rich"]


def main() -> None:
    """Run the command line."""
    from lambda_home.cli import main as run  # noqa: PLC0415  after the lines above

    run()


if __name__ == "__main__":
    main()
