"""Survey a tree of Python source on a farm: complexity, nesting and imports of every file.

    python examples/survey.py                 # the standard library, on the farm "survey"
    python examples/survey.py src --serial    # one folder, in this process alone

Slaves open files by path: every machine must see the same tree at the same place.
Complexity (McCabe) is 1, plus 1 for each if, elif, conditional expression, for, while, except,
assert, ``for`` and ``if`` of a comprehension, boolean operator, and ``case`` other than the
unguarded catch-all. Nesting counts the if, for, while, with, try and match blocks around the
deepest statement; elif, else, except, finally and case are as deep as what they belong to.
Nested functions and methods stand on their own: only their lines, decorators, defaults and
annotations count for the function around them. Lambdas and class bodies are part of it.
"""

import argparse
import ast
import os
import sys
import sysconfig
import time
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path
from shutil import get_terminal_size
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterslave import Farm, SlaveRecord

STDLIB = Path(sysconfig.get_path("stdlib"))
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_DECISIONS = frozenset((*_LOOPS, ast.If, ast.IfExp, ast.ExceptHandler, ast.Assert))
_BLOCKS = frozenset((*_LOOPS, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match))


class FunctionSurvey(NamedTuple):
    """Measurements of one function."""

    name: str
    line: int
    length: int
    complexity: int
    nesting: int


class FileSurvey(NamedTuple):
    """Measurements of one file; only path and error are set if it cannot be parsed."""

    path: str
    lines: int = 0
    functions: tuple[FunctionSurvey, ...] = ()
    imports: tuple[str, ...] = ()
    error: str = ""


class Totals(NamedTuple):
    """Sums over all files; equal for a serial run and a farm run of the same tree."""

    files: int
    unreadable: int
    lines: int
    functions: int
    complexity: int
    nesting: int = 0


OnFile = Callable[[int, FileSurvey], object]


def find_files(
    root: Path = STDLIB, *, max_files: int | None = 1800, max_lines: int | None = 860_000
) -> list[str]:
    """List the Python files below root, sorted, up to the limits; linked folders are left out."""
    paths: list[str] = []
    for folder, subfolders, names in os.walk(os.path.abspath(root)):
        skipped = {"site-packages", "__pycache__", *(s for s in subfolders if s.startswith("."))}
        subfolders[:] = [name for name in subfolders if name not in skipped]
        paths += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    files = sorted(filter(os.path.isfile, paths))[:max_files]
    if max_lines is None:
        return files
    sums = accumulate(map(_count_lines, files))
    return [path for path, lines in zip(files, sums, strict=True) if lines <= max_lines]


def _count_lines(path: str) -> int:
    try:
        return Path(path).read_bytes().count(b"\n")
    except OSError:
        return 0


def survey_file(path: str) -> FileSurvey:
    """Parse one file and measure it; whatever is wrong with the file goes into the record."""
    try:
        with tokenize.open(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = stream.read()
            tree = ast.parse(source)
    except FileNotFoundError:  # this machine lacks the file: another one may have it
        raise
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError, OSError) as error:
        return FileSurvey(path, error=f"{type(error).__name__}: {error}")
    lines = source.count("\n") + (source[-1:] not in ("", "\n"))
    return FileSurvey(path, lines, *_measure(tree))


def _measure(tree: ast.Module) -> tuple[tuple[FunctionSurvey, ...], tuple[str, ...]]:
    """Walk the tree with a stack of its own, so deep trees do not reach the recursion limit."""
    functions: list[tuple[str, _Function, list[int]]] = []
    imports: set[str] = set()
    stack: list[tuple[ast.AST, list[int], str, int]] = [(tree, [1, 0], "", 0)]
    while stack:
        node, counts, prefix, depth = stack.pop()
        inner = depth + (type(node) in _BLOCKS)
        counts[:] = counts[0] + _decisions(node), max(counts[1], inner)
        children: Iterable[ast.AST | None] = ast.iter_child_nodes(node)
        if isinstance(node, _Function):
            own, name = [1, 0], prefix + node.name
            functions.append((name, node, own))
            stack += [(child, own, f"{name}.<locals>.", 0) for child in node.body]
            children = (*node.decorator_list, node.args, node.returns)
        elif isinstance(node, ast.ClassDef):
            prefix += f"{node.name}."
        elif isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.add("." * node.level + (node.module or "").partition(".")[0])
        column = node.col_offset if isinstance(node, ast.If) else None  # shared with its elif
        for child in children:
            if child is not None:
                level = depth if getattr(child, "col_offset", -1) == column else inner
                stack.append((child, counts, prefix, level))
    surveys = (
        FunctionSurvey(name, node.lineno, (node.end_lineno or 0) - node.lineno + 1, *counts)
        for name, node, counts in functions
    )
    return tuple(sorted(surveys, key=lambda survey: survey.line)), tuple(sorted(imports))


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.match_case):
        catches_all = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
        return 0 if catches_all and node.guard is None else 1
    return int(type(node) in _DECISIONS)


class Report(dict[str, FileSurvey]):
    """Files surveyed so far by path; their order, and one that comes twice, change nothing."""

    def totals(self) -> Totals:
        """Return the sums, to compare one run with another."""
        surveys = self.values()
        functions = [function for survey in surveys for function in survey.functions]
        return Totals(
            files=len(surveys),
            unreadable=sum(survey.error != "" for survey in surveys),
            lines=sum(survey.lines for survey in surveys),
            functions=len(functions),
            complexity=sum(function.complexity for function in functions),
            nesting=max((function.nesting for function in functions), default=0),
        )

    def most_complex(self, top: int = 10) -> list[tuple[str, FunctionSurvey]]:
        """Return paths and functions, the most complex first."""
        rows = [(path, row) for path, survey in self.items() for row in survey.functions]
        return sorted(rows, key=lambda row: (-row[1].complexity, row[0], row[1].line))[:top]

    def most_imported(self, top: int = 10) -> list[tuple[str, int]]:
        """Count the files that import a module, without relative names: they are ambiguous."""
        imports = (name for survey in self.values() for name in survey.imports)
        counts = Counter(name for name in imports if not name.startswith("."))
        return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:top]


def fold(surveys: Iterable[FileSurvey], on_file: OnFile | None = None) -> Report:
    """Fold surveys, in any order, into a report; call on_file(number done, survey) after each."""
    report = Report()
    for number, survey in enumerate(surveys, 1):
        report[survey.path] = survey
        if on_file:
            on_file(number, survey)
    return report


def survey_serially(files: Iterable[str], on_file: OnFile | None = None) -> Report:
    """Survey the files one by one in this process."""
    return fold(map(survey_file, files), on_file)


def survey_on_farm(
    farm: Farm, files: list[str], on_result: OnFile | None = None, progress: bool = True
) -> Report:
    """Survey the files on the farm; a task that fails is told on stderr and left out."""
    results = farm.imap_unordered(survey_file, files, limit=1000, progress=progress)
    return fold(_successes(results, len(files)), on_result)


def _successes(results: Iterator[tuple[str, FileSurvey]], tasks: int) -> Iterator[FileSurvey]:
    for _ in range(tasks + 1):
        try:
            yield next(results)[1]
        except StopIteration:
            return
        except Exception as error:
            print(f"survey: a task failed: {type(error).__name__}: {error}", file=sys.stderr)


def print_table(title: str, columns: str, rows: Sequence[tuple[str | int, ...]]) -> None:
    """Print a table of at most 100 columns; numbers go to the right."""
    table = Table(title=title, title_justify="left", min_width=len(title))
    for column, cell in zip_longest(columns.split(", "), rows[0] if rows else ()):
        table.add_column(column, justify="right" if isinstance(cell, int) else "left")
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, int) else cell for cell in row)
        table.add_row(*(Text(c.encode(errors="replace").decode(), overflow="fold") for c in cells))
    Console(width=min(get_terminal_size((100, 25)).columns, 100)).print(table)


def print_report(report: Report, root: Path, top: int = 10) -> None:
    """Print the tables that do not depend on who surveyed the files."""
    functions = [
        (row.name, f"{os.path.relpath(path, root)}:{row.line}", *row[3:], row.length)
        for path, row in report.most_complex(top)
    ]
    print_table("Most complex functions", "Function, Place, Complexity, Nesting, Lines", functions)
    print_table("Most imported modules", "Module, Files", report.most_imported(top))
    unreadable = [
        (os.path.relpath(path, root), survey.error)
        for path, survey in sorted(report.items())
        if survey.error
    ]
    if unreadable:
        print_table("Unreadable files", "File, Why", unreadable[:top])
    print_table("Totals", ", ".join(Totals._fields).title(), [report.totals()])


def print_slaves(slaves: Iterable[SlaveRecord]) -> None:
    """Print who did how much of the work."""
    rows = [(s.name, s.host, str(s.pid), s.state, s.slots, s.done) for s in slaves]
    print_table("Work per slave", "Slave, Host, Process, State, Slots, Tasks done", rows)


def closing_lines(farm: Farm) -> list[str]:
    """Return what happened on the farm, a line each."""
    counts = farm.statistics()
    return [
        f"tasks handed out again {counts.handed_out_again}",
        f"slaves joined {counts.slaves_joined}, lost {counts.slaves_lost}",
    ]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number (give 0 or more)")
    return int(text)


def _slaves(text: str) -> int | Literal["auto"]:
    return "auto" if text == "auto" else _count(text)


def _run(arguments: argparse.Namespace, root: Path, files: list[str], on_file: OnFile) -> int:
    """Survey the files, print everything, and return the exit code."""
    started = time.perf_counter()
    slaves: list[SlaveRecord] = []
    lines: list[str] = []
    if arguments.serial:
        report = survey_serially(files, on_file)
        seconds = time.perf_counter() - started
    else:
        announce = arguments.announce
        with Farm(
            arguments.label, local_slaves=arguments.slaves, nameserver=announce, insecure=announce
        ) as farm:
            report = survey_on_farm(farm, files, on_file)
            seconds = time.perf_counter() - started
            lines = closing_lines(farm)
            slaves = [*farm.slaves, *farm.former_slaves]
    print_report(report, root, arguments.top)
    if slaves:
        print_slaves(slaves)
    print(f"files surveyed {len(report)} of {len(files)} found")
    print(*lines, f"seconds {seconds:.1f}", sep="\n")
    return 0 if len(report) == len(files) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Survey a tree of Python source on a farm.")
    add = parser.add_argument
    add("directory", nargs="?", help="folder to survey (the standard library)")
    add("--serial", action="store_true", help="use this process alone, no farm")
    add("--label", default="survey", help="label of the farm (survey)")
    add("--slaves", type=_slaves, default="auto", metavar="N|auto", help="slaves to start here")
    add("--top", type=_count, default=10, metavar="N", help="rows of each ranking (10)")
    add("--announce", action="store_true", help="register with the name servers of the network")
    arguments = parser.parse_args(argv)
    given, hint = arguments.directory, "(give a folder that holds Python files)"
    if given is not None and not os.path.isdir(given):
        problem = "not a directory" if os.path.exists(given) else "no such directory"
        print(f"survey: {problem}: {given!r} {hint}", file=sys.stderr)
        return 2
    root, files, done = Path(os.path.abspath(given or STDLIB)), [], [0]
    try:
        files = find_files() if given is None else find_files(root, max_files=None, max_lines=None)
        if files:
            return _run(arguments, root, files, lambda number, _: done.append(number))
        print(f"survey: no Python files in {str(root)!r} {hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: surveyed {done[-1]:,} of {len(files):,} files")
        return 130


if __name__ == "__main__":
    sys.exit(main())
