"""python3 -m lmodel.protect METHOD [options]: the methods of this package as a tool."""

import argparse
import importlib
import importlib.util
import pkgutil
import sys
from types import ModuleType

import lmodel.protect
from lmodel.errors import LmodelError

PROGRAM = "lmodel.protect"


def find(name: str) -> ModuleType | None:
    """The module of a method; None if there is no such method."""
    if not name.isidentifier() or importlib.util.find_spec(f"lmodel.protect.{name}") is None:
        return None
    module = importlib.import_module(f"lmodel.protect.{name}")
    return module if getattr(module, "NAME", None) == name else None


def methods() -> list[ModuleType]:
    """All methods, by name."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(lmodel.protect.__path__)
                   if not entry.name.startswith("_"))
    return [module for module in map(find, names) if module is not None]


def summary() -> str:
    """The text of --help."""
    lines = ["usage: python3 -m lmodel.protect METHOD [options]", "",
             "Finds out which parameters of a model to protect, or how well that protects.", "",
             "methods:"]
    lines += [f"  {module.NAME:<12}{module.SUMMARY}" for module in methods()]
    lines += ["", "METHOD --help tells the options of one."]
    return "\n".join(lines)


def complain(message: str, status: int) -> int:
    """Prints one line on standard error; returns `status`."""
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Complains in one line, like the other tools."""

    def error(self, message: str):
        sys.exit(complain(f"{message}; see --help", 2))


def main(argv: list[str] | None = None) -> int:
    """Runs one method; returns the exit status: 1 failed, 2 usage, 4 bad input."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        return complain("no method was given; --help lists them", 2)
    if argv[0] in ("-h", "--help"):
        print(summary())
        return 0
    module = find(argv[0])
    if module is None:
        return complain(f"no method is called {argv[0]!r}; --help lists them", 2)
    parser = _Parser(prog=f"python3 -m lmodel.protect {module.NAME}", description=module.__doc__,
                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    module.add_arguments(parser)
    try:
        return module.run(parser.parse_args(argv[1:]))
    except LmodelError as error:
        return complain(str(error), error.code)
    except OSError as error:
        return complain(f"{error.filename or 'input'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return complain("interrupted", 1)


if __name__ == "__main__":
    sys.exit(main())
