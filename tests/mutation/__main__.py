"""Mutation testing of the memory storage, of the documentation's storage, and of the core.

Reads `survivors.md`, which says of each mutant that no test finds why none need find it. Fails
where one survives that it does not name, and where it names one that is found or no longer there.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from markdown_it import MarkdownIt

from mutation.judge import Judge, Module
from mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
DOMAIN = ROOT / "src" / "segmentflow_core" / "domain"
PAGE = ROOT / "docs" / "how-to" / "storage-adapter.md"
SURVIVORS = Path(__file__).with_name("survivors.md")
SEED = "1"
SAMPLE = 150
"""How many mutants of the core are judged where nobody asks for more."""
LEAST = 0.95
"""What part of a storage's mutants the kit has to find."""

MEMORY = ("repositories", "tables", "queue", "storage")
KIT = ("tests/memory/test_storage.py::TestMemoryStorage", "tests/memory/test_api_keys.py")
DOMAIN_TESTS = ROOT / "tests" / "domain"
OF_THE_MEMORY_STORAGE = ("tests/memory",)
OF_THE_CORE = ("tests/domain", "tests/usecases")
DECIDING = (
    "admission",
    "conflict",
    "decision",
    "emails",
    "fingerprint",
    "hand_over",
    "identity",
    "journey/rules",
    "prior_entries",
    "profile",
    "profiles_in_hand",
    "redaction",
    "redaction_policy",
    "tracking",
)


def memory() -> Iterator[Module]:
    """Yield the memory storage's modules; the kit judges them, and its own tests how it is run."""
    for name in MEMORY:
        source = (ROOT / "adapters" / "segmentflow_memory" / f"{name}.py").read_text("utf-8")
        own = [OF_THE_MEMORY_STORAGE] if name == "storage" else []
        yield Module(f"segmentflow_memory.{name}", source, (KIT, *own))


def page(folder: Path) -> Iterator[Module]:
    """Yield the storage that the documentation writes; the kit judges it, as the page says."""
    storage, proof = PAGE.read_text("utf-8").split("## Prove it")
    source = _blocks(storage)
    (folder / "page_storage.py").write_text(source, "utf-8")
    (folder / "test_page.py").write_text(f"from page_storage import *\n{_blocks(proof)}", "utf-8")
    yield Module("page_storage", source, ((str(folder / "test_page.py"),),))


def _blocks(text: str) -> str:
    tokens = MarkdownIt("commonmark").parse(text)
    return "\n\n".join(t.content for t in tokens if t.type == "fence" and t.info == "python")


def core() -> Iterator[Module]:
    """Yield the core's modules that decide; the tests of the core judge them."""
    for name in DECIDING:
        near = sorted(DOMAIN_TESTS.glob(f"**/test_{Path(name).name}*.py"))
        stages = [tuple(map(str, near))] if near else []
        source = (DOMAIN / f"{name}.py").read_text("utf-8")
        dotted = name.replace("/", ".")
        yield Module(f"segmentflow_core.domain.{dotted}", source, (*stages, OF_THE_CORE))


def explained() -> dict[str, dict[str, str]]:
    """Return what `survivors.md` says: by module, the mutants by name, each with its reason."""
    found: dict[str, dict[str, str]] = {}
    module: dict[str, str] = {}
    for line in SURVIVORS.read_text("utf-8").splitlines():
        if line.startswith("## "):
            module = found.setdefault(line.removeprefix("## "), {})
        elif told := re.fullmatch(r"- `(.+)`: (.+)", line):
            module[told[1]] = told[2]
    return found


def sample(modules: Sequence[Module], most: int | None) -> dict[str, list[Mutant]]:
    """Return the mutants to judge, by module; a seed chooses, whatever is edited elsewhere."""
    every = [(module.name, mutant) for module in modules for mutant in mutants(module.source)]
    every.sort(
        key=lambda pair: hashlib.sha256("/".join((SEED, pair[0], pair[1].name)).encode()).digest()
    )
    chosen: dict[str, list[Mutant]] = {}
    for name, mutant in every[:most]:
        chosen.setdefault(name, []).append(mutant)
    return chosen


def judge(modules: Sequence[Module], most: int | None) -> tuple[int, int, list[str]]:
    """Judge the modules' mutants; return how many were killed, of how many, and what is wrong."""
    chosen, reasons, wrong = sample(modules, most), explained(), list[str]()
    killed = total = 0
    for module in modules:
        told = reasons.get(module.name, {})
        names = {mutant.name for mutant in mutants(module.source)}
        wrong += [f"{module.name}: there is no {name}" for name in told if name not in names]
        judge, found, mine = Judge(module), 0, chosen.get(module.name, [])
        if not mine:
            continue
        judge.accept()
        for verdict in judge.judged(mine):
            mutant = verdict.mutant
            found += verdict.by is not None
            if verdict.by is None and mutant.name not in told:
                wrong.append(f"{module.name}:{mutant.line}: survives: {mutant.name}")
                print(wrong[-1], flush=True)
            if verdict.by is not None and mutant.name in told:
                wrong.append(f"{module.name}:{mutant.line}: is found by now: {mutant.name}")
        print(f"{module.name}: {found} of {len(mine)} killed", flush=True)
        killed, total = killed + found, total + len(mine)
    return killed, total, wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__)
    parser.add_argument("what", choices=("storages", "core"))
    parser.add_argument("--only", default="", help="judge modules whose name ends so")
    parser.add_argument("--sample", type=int, help="how many mutants; 0 is every one")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        every = [*memory(), *page(Path(folder))] if options.what == "storages" else [*core()]
        modules = [module for module in every if module.name.endswith(options.only)]
        most = (
            options.sample
            if options.sample is not None
            else (SAMPLE if options.what == "core" else 0)
        )
        killed, total, wrong = judge(modules, most or None)
    print(f"{killed} of {total} killed, {killed / total:.1%}")
    if options.what == "storages" and killed < LEAST * total:
        wrong.append(f"fewer than {LEAST:.0%} are killed")
    if wrong:
        raise SystemExit("\n".join(["", *wrong]))


if __name__ == "__main__":
    main()
