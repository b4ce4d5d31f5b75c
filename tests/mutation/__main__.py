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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from markdown_it import MarkdownIt

from mutation.judge import Experience, Judge, Module
from mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
DOMAIN = ROOT / "src" / "segmentflow_core" / "domain"
PAGE = ROOT / "docs" / "how-to" / "storage-adapter.md"
SURVIVORS = Path(__file__).with_name("survivors.md")
SEED = "1"
SAMPLE = 150
"""How many mutants are judged where nobody asks for more."""
LEAST = {"storages": 0.95, "core": 0.97}
"""What part is to be found: of a storage's mutants, and of those of the core without a reason."""

MEMORY = ("repositories", "tables", "finding", "history", "people", "queue", "retention", "storage")
KIT = ("tests/memory/test_storage.py::TestMemoryStorage", "tests/memory/test_api_keys.py")
DOMAIN_TESTS = ROOT / "tests" / "domain"
OF_THE_MEMORY_STORAGE = ("tests/memory",)
OF_THE_CORE = ("tests/domain", "tests/usecases", "--ignore=tests/domain/test_stack_room.py")
"""All but what starts processes of its own, for a module that is not judged."""
DECIDING = (
    "admission",
    "conflict",
    "decision",
    "earlier_events",
    "emails",
    "fingerprint",
    "gathering",
    "hand_over",
    "history",
    "identity",
    "item",
    "journey/rules",
    "people",
    "prior_entries",
    "profile",
    "profiles_in_hand",
    "redaction",
    "redaction_policy",
    "retention",
    "tracking",
)
NEAR = {
    "earlier_events": ("history",),
    "profiles_in_hand": ("decision",),
    "rules": ("decision",),
}
"""Modules that the tests of others are near to, too."""


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
        stem = Path(name).name
        stems = (stem, *NEAR.get(stem, ()))
        near = [path for each in stems for path in sorted(DOMAIN_TESTS.glob(f"**/test_{each}*.py"))]
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


def sample(modules: Sequence[Module], most: int | None, named: str = "") -> dict[str, list[Mutant]]:
    """Return the mutants to judge, by module; a seed chooses, whatever is edited elsewhere."""
    every = [
        (module.name, mutant)
        for module in modules
        for mutant in mutants(module.source)
        if named in mutant.name
    ]
    every.sort(
        key=lambda pair: hashlib.sha256("/".join((SEED, pair[0], pair[1].name)).encode()).digest()
    )
    chosen: dict[str, list[Mutant]] = {}
    for name, mutant in every[:most]:
        chosen.setdefault(name, []).append(mutant)
    print(f"seed {SEED}: {len(every[:most])} of {len(every)} mutants", flush=True)
    return chosen


@dataclass
class Count:
    """How many mutants were judged, found, and passed over for a reason that is written down."""

    judged: int = 0
    caught: int = 0
    explained: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.judged + other.judged,
            self.caught + other.caught,
            self.explained + other.explained,
        )

    def __str__(self) -> str:
        told = f", {self.explained} explained" if self.explained else ""
        return f"{self.caught} of {self.judged} caught{told}"


def judge(
    modules: Sequence[Module], chosen: dict[str, list[Mutant]], processes: int
) -> tuple[Count, list[str]]:
    """Judge the mutants of the modules; return how many were caught, and what is wrong."""
    reasons, wrong, total = explained(), list[str](), Count()
    experiences: dict[tuple[str, ...], Experience] = {}
    for module in modules:
        told = reasons.get(module.name, {})
        names = {mutant.name for mutant in mutants(module.source)}
        wrong += [f"{module.name}: there is no {name}" for name in told if name not in names]
        mine = chosen.get(module.name, [])
        if not mine:
            continue
        # Modules that the same tests judge share what is learned of these.
        is_first = module.stages[-1] not in experiences
        experience = experiences.setdefault(module.stages[-1], Experience())
        judge = Judge(module, experience, processes)
        if is_first:
            judge.accept()
        count = Count()
        for verdict in judge.judged(mine):
            mutant, caught = verdict.mutant, verdict.by is not None
            has_reason = mutant.name in told
            count += Count(1, caught, has_reason and not caught)
            if caught == has_reason:
                what = "is found by now" if caught else "survives"
                wrong.append(f"{module.name}:{mutant.line}: {what}: {mutant.name}")
                print(wrong[-1], flush=True)
        print(f"{module.name}: {count}", flush=True)
        total += count
    return total, wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__)
    parser.add_argument("what", choices=("storages", "core"))
    parser.add_argument("--only", nargs="+", help="judge modules whose names end so")
    parser.add_argument("--named", default="", help="judge mutants whose name has this in it")
    parser.add_argument("--sample", type=int, help="how many mutants; 0 is every one")
    parser.add_argument("--processes", type=int, default=2, help="how many are judged at a time")
    options = parser.parse_args()
    only = tuple(options.only or [""])
    narrowed = options.only or options.named
    most = options.sample if options.sample is not None else 0 if narrowed else SAMPLE
    with TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        every = [*memory(), *page(Path(folder))] if options.what == "storages" else [*core()]
        modules = [module for module in every if module.name.endswith(only)]
        count, wrong = judge(
            modules, sample(modules, most or None, options.named), options.processes
        )
    least = LEAST[options.what]
    among = count.judged - count.explained * (options.what == "core")
    print(f"{options.what}: {count}: {count.caught / max(among, 1):.1%}, at least {least:.0%}")
    if count.caught < least * among and not narrowed:
        wrong.append(f"fewer than {least:.0%} are caught")
    if wrong:
        raise SystemExit("\n".join(["", *wrong]))


if __name__ == "__main__":
    main()
