"""Makes a layer with which `provided.al2023` runs PHP, Deno or Bun: `make php-layer`, and so on.

The layer has the bootstrap of `runtimes/<name>` and the language's program: the one in PATH, or,
for Deno and Bun, that of their npm packages. PHP comes with the libraries that it is linked to.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNTIMES = ROOT / "runtimes"
TOOLS = ROOT / ".recipe-tools" / "layers"
FILES = {
    "php": ("php/bootstrap", "php/runtime.php"),
    "deno": ("deno/bootstrap", "deno/runtime.mjs"),
    "bun": ("bun/bootstrap", "deno/runtime.mjs"),
}
# npm's packages of single programs, and the program in each; {} is the machine.
PACKAGES = {
    "deno": ("@deno/linux-{}-glibc@2.9.6", "@deno/linux-{}-glibc/deno"),
    "bun": ("@oven/bun-linux-{}@1.4.5", "@oven/bun-linux-{}/bin/bun"),
}
MACHINES = {"deno": {"x86_64": "x64", "aarch64": "arm64"}, "bun": {"x86_64": "x64"}}
# The C library belongs to the system: two versions of it do not go together.
OF_THE_SYSTEM = re.compile(r"(ld-linux|libc\.|libm\.|libpthread|libdl|librt|libresolv|linux-vdso)")


class NoProgramError(Exception):
    """The language's program is not here, and cannot be had."""


def program_of(name: str, *, fetch: bool) -> Path:
    """The program in PATH, or that of npm's package. Raises NoProgramError."""
    found = shutil.which(name)
    if found is not None:
        return Path(found).resolve()
    if name not in PACKAGES:
        raise NoProgramError(f"{name} is not in PATH (Debian: apt-get install {name}-cli)")
    machine = platform.machine()
    package, path = (text.format(MACHINES[name].get(machine, machine)) for text in PACKAGES[name])
    folder = TOOLS / name
    program = folder / "node_modules" / path
    if fetch and not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NoProgramError(f"{name} is not in PATH, and there is no npm to get it with")
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent"]
        subprocess.run([*command, "--ignore-scripts", package], check=True)
    if not program.exists():
        raise NoProgramError(f"{name} is not in PATH, and `make {name}-layer` was not run")
    return program


def libraries_of(program: Path) -> list[Path]:
    """The shared libraries that a program needs, without the system's own."""
    done = subprocess.run(
        ["/usr/bin/ldd", str(program)], check=False, capture_output=True, text=True
    )
    found = re.findall(r"=> (/\S+)", done.stdout)
    return [Path(path) for path in found if not OF_THE_SYSTEM.match(Path(path).name)]


def write_layer(name: str, program: Path | None, out: Path) -> None:
    """Write the layer's ZIP; without a program the machine's, or the image's, is used."""
    files = {Path(path).name: RUNTIMES / path for path in FILES[name]}
    if program is not None:
        files[f"bin/{name}"] = program
        if name == "php":
            files.update({f"lib/{path.name}": path for path in libraries_of(program)})
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        for target, source in files.items():
            entry = zipfile.ZipInfo(target, (2026, 1, 1, 0, 0, 0))
            runs = target == "bootstrap" or target.startswith("bin/")
            entry.create_system, entry.compress_type = 3, zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if runs else 0o100644) << 16
            zipped.writestr(entry, source.read_bytes())


def main() -> int:
    """Make one layer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=FILES)
    parser.add_argument("out", type=Path, help="the ZIP to write")
    parser.add_argument("--program", type=Path, help="the language's program")
    parser.add_argument(
        "--without-program", action="store_true", help="use the machine's, or the image's"
    )
    given = parser.parse_args()
    try:
        program = None
        if not given.without_program:
            program = given.program or program_of(given.name, fetch=True)
        write_layer(given.name, program, given.out)
    except (NoProgramError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"runtime-layer: {error}\n")
        return 1
    size = given.out.stat().st_size / 1e6
    sys.stdout.write(f"runtime-layer: made {given.out} ({size:.0f} MB)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
