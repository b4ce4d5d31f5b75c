"""The project's checks: `nox` runs what a change must pass, `nox -l` lists them all.

Every session makes its own environment and reads what it installs from pyproject.toml.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "imports", "typing", "tests", "docs"]
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
OLDEST = PYTHONS[0]
PACKAGES = (
    "segmentflow_core",
    "segmentflow_gathering",
    "segmentflow_memory",
    "segmentflow_sql",
    "segmentflow_http",
    "segmentflow_observers",
    "segmentflow_worker",
    "segmentflow_pytest",
    "segmentflow_django",
    "segmentflow_console",
    "segmentflow_cli",
)
ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

LOCKED = ("-c", str(ROOT / ".ci" / "tools.txt"))
IN_PARALLEL = ("-n", "auto")
# A lane need not repeat what no Python changes.
LEFT_OUT = ("deep", "once", "server_side", "same_rules")
IN_A_LANE = (*IN_PARALLEL, "-m", " and ".join(f"not {mark}" for mark in LEFT_OUT))
# Every branch of the core is reached by its own tests and a kit for SQLite, but for what only a
# storage does whose calls wait for each other, or are cancelled.
_CONTRACT = "tests/sql/test_contract.py::"
OF_THE_CORE = (
    *(f"tests/{room}" for room in ("domain", "memory", "testing", "usecases", "wire")),
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/test_*.py")),
    "tests/sql/sqlite/test_contract.py",
    f"{_CONTRACT}TestPostgresql::test_a_transaction_waits_no_longer_than_it_says_and_others_as_long_as_ever",
    f"{_CONTRACT}TestSqliteAsync::test_a_call_cancelled_anywhere_leaves_nothing_or_everything",
    f"{_CONTRACT}TestSqliteAsync::test_what_was_acknowledged_is_there_for_another_connection",
)
OF_A_PROJECT = ("admin", "models", "told")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*LOCKED, _tool("ruff"))
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports point inward."""
    session.install(*LOCKED, "-e", ".[all]", _tool("import-linter"))
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, and the typing tests with both."""
    session.install(*LOCKED, "-e", ".[dev,bench]")
    places = ("src", "adapters", "tests/typing", "examples", "bench")
    session.run("mypy", *places)
    session.run("pyright", *places)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the source tree."""
    session.install("-e", ".[test,fuzz]")
    session.run("pytest", *(session.posargs or IN_PARALLEL))


@nox.session(python=OLDEST)
def coverage(session: nox.Session) -> None:
    """Require every branch of the core to be tested, by tests of its own and the kit."""
    session.install("-e", ".[test]")
    tests = session.posargs or (*IN_A_LANE, *OF_THE_CORE)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *tests)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--fail-under=100")


@nox.session(python=OLDEST, reuse_venv=False)
def lowest(session: nox.Session) -> None:
    """Run the tests against the wheel and the oldest release of every direct dependency."""
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("".join(f"{line}\n" for line in sorted(_lower_bounds())))
    session.install("-c", str(constraints), f"{_built_wheel(session)}[test]")
    _test_installed(session)


@nox.session(python=PYTHONS[1:], reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Run the tests against the wheel, the source tree out of sight."""
    session.install(f"{_built_wheel(session)}[test]")
    _test_installed(session)


def _test_installed(session: nox.Session) -> None:
    with TemporaryDirectory() as elsewhere:
        for name in ("tests", "examples", "docs", "bench", "README.md", "pyproject.toml"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, Path(elsewhere) / name)
            elif source.is_file():
                shutil.copy(source, elsewhere)
        with session.chdir(elsewhere):
            session.run("python", "-I", "-c", _CHECK_INSTALLED, log=False)
            session.run("pytest", *(session.posargs or (*IN_A_LANE, "tests")))


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings being errors, and run the docstrings' examples."""
    session.install(*LOCKED, "-e", ".[all,docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-E", "docs", "docs/_build/html")
    # Models, and what knows them, are imported by a project of Django's alone.
    left_out = [f"--ignore-glob=*/segmentflow_django/{name}.py" for name in OF_A_PROJECT]
    session.run("pytest", "--doctest-modules", *left_out, "--pyargs", *PACKAGES, *session.posargs)


@nox.session(python=OLDEST)
def package(session: nox.Session) -> None:
    """Build what is released; check what an index shows of it, and that its source passes tests."""
    session.install(*LOCKED, *EXTRAS["release"])
    with TemporaryDirectory() as place:
        session.run("python", "-m", "build", "--outdir", place, ".", silent=True)
        built = sorted(str(path) for path in Path(place).iterdir())
        session.run("twine", "check", "--strict", *built)
        (source,) = (path for path in built if path.endswith(".tar.gz"))
        shutil.unpack_archive(source, place, filter="data")
        with session.chdir(source.removesuffix(".tar.gz")):
            session.install(".[test]")
            session.run("pytest", *(session.posargs or (*IN_PARALLEL, "tests/domain")))


@nox.session(python=OLDEST)
def typescript(session: nox.Session) -> None:
    """Generate a TypeScript client from the OpenAPI document and run it; needs npm's registry."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/http/test_typescript.py", env={"SEGMENTFLOW_TYPESCRIPT": "1"})


@nox.session(python=OLDEST)
def browser(session: nox.Session) -> None:
    """Look at the operator's page in Chromium, with axe as well; needs npm's registry."""
    session.install("-e", ".[test]")
    with TemporaryDirectory() as place:
        with session.chdir(place):
            session.run("npm", "pack", "--silent", "axe-core@4", external=True, silent=True)
        (packed,) = Path(place).glob("axe-core-*.tgz")
        shutil.unpack_archive(packed, place, filter="data")
        axe = str(Path(place) / "package" / "axe.min.js")
        tests = session.posargs or ("tests/console/test_browser.py",)
        session.run("pytest", *tests, env={"SEGMENTFLOW_AXE": axe})


@nox.session(python=OLDEST)
def queues(session: nox.Session) -> None:
    """Run the examples for Celery and arq with both, whose Redis client is an older one."""
    session.install("-e", ".[test,queues]")
    session.run("pytest", "tests/examples/test_with_queues.py", *session.posargs)


@nox.session(python=OLDEST)
def fuzz(session: nox.Session) -> None:
    """Send ten thousand made-up requests to the app."""
    session.install("-e", ".[test,fuzz]")
    session.run("pytest", "tests/http/test_schemathesis.py", env={"SCHEMATHESIS_REQUESTS": "10000"})


@nox.session(python=OLDEST)
def deep(session: nox.Session) -> None:
    """Run what takes minutes: planted mistakes, interleavings, quickstarts, other storages."""
    session.install("-e", ".[test]")
    session.run("pytest", *IN_PARALLEL, "-m", "deep", "tests", *session.posargs)
    # With the settings of this project, and not of the adapter's own.
    adapter = ("-c", "pyproject.toml", "examples/custom_adapter/tests")
    session.run("pytest", *IN_PARALLEL, *adapter, *session.posargs)


@nox.session(python=OLDEST)
def mutation(session: nox.Session) -> None:
    """Put small faults into the storages and the core; require the tests to find them."""
    session.install("-e", ".[test]")
    asked = [session.posargs] if session.posargs else [["storages"], ["core"]]
    for arguments in asked:
        session.run("python", "-m", "mutation", *arguments, env={"PYTHONPATH": "tests"})


_CHECK_INSTALLED = f"""
import importlib, sysconfig
for name in {PACKAGES!r}:
    assert importlib.import_module(name).__file__.startswith(sysconfig.get_path("purelib")), name
"""

_wheel: Path | None = None


def _built_wheel(session: nox.Session) -> Path:
    global _wheel  # one wheel for every Python of this run
    if _wheel is None:
        dist = ROOT / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        session.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(dist), str(ROOT))
        (_wheel,) = dist.glob("*.whl")
    return _wheel


def _tool(name: str) -> str:
    """Return the `dev` extra's requirement on `name`."""
    (found,) = (line for line in EXTRAS["dev"] if Requirement(line).name == name)
    return found


def _lower_bounds() -> Iterator[str]:
    """Yield ``name==oldest`` for each thing a user of the `all` extra may depend on directly."""
    own = PROJECT["name"]
    for line in PROJECT["dependencies"] + [r for extra in EXTRAS["all"] for r in _expanded(extra)]:
        requirement = Requirement(line)
        if requirement.name != own:
            (oldest,) = (s.version for s in requirement.specifier if s.operator == ">=")
            yield f"{requirement.name}=={oldest}"


def _expanded(line: str) -> Iterator[str]:
    """Yield `line`, or what the extras of our own that it names stand for."""
    requirement = Requirement(line)
    if requirement.name != PROJECT["name"]:
        yield line
        return
    for extra in requirement.extras:
        for inner in EXTRAS[extra]:
            yield from _expanded(inner)
