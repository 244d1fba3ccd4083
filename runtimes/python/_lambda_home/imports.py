"""The import system as function code finds it on AWS: `sys.path`, `.pth` files, and standard modules nobody can shadow.

AWS's runtime has imported json, logging, traceback and some forty modules of the standard library before function code runs, so a
`logging.py` or `types.py` in the deployment package has no effect there. Here those modules are loaded later, if at all, and a
finder keeps the promise. The same finder configures `logging` at the moment it is first imported.
"""

import builtins
import os
import sys

from _frozen_importlib_external import PathFinder

# What AWS's runtime leaves in sys.modules (top level, not built into the interpreter) on Python 3.9 to 3.14. No more than that: any
# other module of the standard library a deployment package may replace, on AWS as here.
PRELOADED = frozenset(
    "__future__ _collections_abc _colorize _weakrefset abc codecs collections concurrent contextlib copyreg decimal encodings enum "
    "functools genericpath heapq importlib io json keyword linecache logging math numbers operator os posixpath re reprlib site "
    "sre_compile sre_constants sre_parse stat string textwrap threading token tokenize traceback types warnings weakref".split()
)


# What `.pth` files that were read ahead have added to `sys.path`, by directory.
READ = {}


class StandardLibraryFirst:
    """A finder that takes PRELOADED modules from the standard library, whatever lies in the deployment package."""

    def __init__(self, library_path, logging_module, output):
        self._path = library_path
        self._logging_module = logging_module
        self._output = output

    def find_spec(self, name, path=None, target=None):
        """importlib's question for every module that is not loaded yet."""
        if path is not None or name not in PRELOADED:
            return None
        spec = PathFinder.find_spec(name, self._path)
        if name == "logging" and spec is not None:
            spec.loader = ConfiguringLoader(spec.loader, self._logging_module, self._output)
        return spec


class ConfiguringLoader:
    """Loads `logging` and sets it up as AWS does, before the importing code sees it."""

    def __init__(self, loader, logging_module, output):
        self._loader = loader
        self._logging_module = logging_module
        self._output = output

    def create_module(self, spec):
        """The default one."""
        return self._loader.create_module(spec)

    def exec_module(self, module):
        """Runs the module, then leaves no trace of this loader."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._logging_module().configure(module, os.environ, self._output)


def enter(environ, start_path, logging_module, output):
    """Sets path and working directory for the function that `environ` describes.

    The order is AWS's: task root, layers, runtime directory (which holds boto3), standard library, site-packages. A PYTHONPATH of
    the function replaces the layers' directories, as it does on AWS.
    """
    library_path = sys.path[:]
    task_root = environ.get("LAMBDA_TASK_ROOT", "/var/task")
    runtime_dir = environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    layers = "/opt/python"
    layer_dirs = ["%s/lib/python%d.%d/site-packages" % ((layers,) + sys.version_info[:2]), layers]
    python_path = environ.get("PYTHONPATH")
    if python_path is None:
        environ["PYTHONPATH"] = runtime_dir
        extra = layer_dirs + [runtime_dir]
    else:
        extra = [runtime_dir] + [p for p in python_path.split(os.pathsep) if p and p != runtime_dir]
        layer_dirs = []
    site_dirs = _site_dirs(start_path, extra, library_path)
    sys.path[:] = [task_root] + extra + library_path + site_dirs
    sys.meta_path.insert(0, StandardLibraryFirst(library_path, logging_module, output))
    try:
        os.chdir(task_root)
    except OSError:
        pass
    if sys.flags.no_site:
        _add_site_builtins()
    # With `site` running (no -S), its directories' .pth files have been read.
    for directory in [task_root] + layer_dirs + (site_dirs if sys.flags.no_site else []):
        _read_pth_files(directory)


def read_ahead():
    """Reads the `.pth` files of the interpreter's own packages before there is a function (in a spare environment)."""
    if not sys.flags.no_site:
        return
    for directory in _site_dirs((), (), sys.path):
        before = sys.path[:]
        _read_pth_files(directory)
        READ[directory] = [path for path in sys.path if path not in before]
        sys.path[:] = before


def _site_dirs(start_path, extra, library_path):
    """The interpreter's own site-packages (there AWS keeps pip and the SDK since Python 3.11)."""
    if not sys.flags.no_site:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return [p for p in start_path[1:] if p != here and p not in extra and p not in library_path]
    library = os.path.dirname(os.__file__)
    return [p for p in (library + "/site-packages",) if os.path.isdir(p)]


def _add_site_builtins():
    """`exit`, `quit` and `help`, which `site` provides and -S leaves out; functions do call `exit()`."""
    import _sitebuiltins

    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()


def _read_pth_files(directory):
    if directory in READ:
        sys.path.extend(path for path in READ[directory] if path not in sys.path)
        return
    try:
        if any(name.endswith(".pth") for name in os.listdir(directory)):
            import site

            site.addsitedir(directory)
    except OSError:
        pass
