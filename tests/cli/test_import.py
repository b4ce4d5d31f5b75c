from __future__ import annotations

import io
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from import_files import CANARY, a_file, a_line, counts, stored
from segmentflow_cli import main
from segmentflow_cli.importing import (
    MAX_LISTED,
    MAX_LISTED_BYTES,
    ImportReport,
    Line,
    Refusal,
    import_lines,
    read_lines,
)
from segmentflow_core import Limits, Tracker
from segmentflow_core.errors import InvalidRequest, StorageUnavailable, Violation
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_memory import MemoryStorage


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGMENTFLOW_STORE", raising=False)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    assert main(["init"]) == 0
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run an import; give its exit status and its report."""
    capsys.readouterr()

    def run(*arguments):
        status = main(["import", *map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert CANARY not in printed.out + printed.err
        return status, json.loads(printed.out)

    return run


def test_every_line_becomes_an_event(run, folder):
    path = a_file(folder, a_line(1, "one"), a_line(2), a_line(3, "three"))
    status, report = run(path)
    assert (status, report["lines"], counts(report)) == (0, 3, (3, 0, []))


def test_a_second_import_replays_every_line(run, folder):
    path = a_file(folder, a_line(1, "one"), a_line(2), a_line(3))
    run(path)
    assert counts(run(path)[1]) == (0, 3, [])
    assert stored(folder) == (3, 3)


def test_a_grown_file_records_only_what_is_new(run, folder):
    run(a_file(folder, a_line(1), a_line(2)))
    grown = a_file(folder, a_line(1), a_line(2), a_line(3))
    assert counts(run(grown, "--batch", "1")[1]) == (1, 2, [])


def test_files_of_different_names_with_equal_lines_record_every_line(run, folder):
    lines = [a_line(1), a_line(2)]
    assert counts(run(a_file(folder, *lines, name="monday.ndjson"))[1]) == (2, 0, [])
    assert counts(run(a_file(folder, *lines, name="tuesday.ndjson"))[1]) == (2, 0, [])
    assert stored(folder) == (4, 2)


@pytest.mark.parametrize("change", [{"data": {"n": 3}}, {"referenceId": "other"}], ids=str)
def test_files_of_one_name_with_different_first_lines_record_every_line(run, folder, change):
    run(a_file(folder, json.dumps(a_request()), a_line(2)))
    assert counts(run(a_file(folder, json.dumps(a_request(**change)), a_line(2)))[1]) == (2, 0, [])


def test_a_file_is_known_in_whatever_folder_it_is(run, folder):
    run(a_file(folder, a_line(1), a_line(2)))
    (folder / "archive").mkdir()
    assert counts(run(a_file(folder / "archive", a_line(1), a_line(2)))[1]) == (0, 2, [])


def test_a_source_keeps_the_keys_when_the_file_is_renamed(run, folder):
    _, before = run(a_file(folder, a_line(1), a_line(2)))
    renamed = a_file(folder, a_line(1), a_line(2), name="renamed.ndjson")
    assert counts(run(renamed, "--source", before["source"])[1]) == (0, 2, [])


@pytest.mark.parametrize("member", ["redactedDataPaths", "redactedDataPath"])
def test_a_source_tells_nothing_of_what_a_first_line_may_redact(run, folder, member):
    """A mistyped member redacts nothing, but means to."""

    def source(card):
        request = {**a_request(data={"card": card}), member: ["/event/card"]}
        return run(a_file(folder, json.dumps(request), a_line(2)))[1]["source"]

    assert source("4111") == source("4242")


def test_a_source_tells_nothing_of_what_a_first_line_redacts_in_the_wrong_place(run, folder):
    def source(card):
        request = a_request(data={"card": card})
        line = json.dumps({"request": request, "redactedDataPaths": ["/event/card"]})
        return run(a_file(folder, line, a_line(2)))[1]["source"]

    assert source("4111") == source("4242")


@pytest.mark.parametrize("first", ["{", "1", '{"request": 1}', '{"event": NaN}', "\ufeff{}"])
def test_a_first_line_that_is_no_request_leaves_the_name_to_know_a_file_by(run, folder, first):
    sources = {
        run(a_file(folder, first, a_line(2), name=name))[1]["source"] for name in ("a", "b", "a")
    }
    assert len(sources) == 2


def test_another_secret_does_not_make_an_import_another(run, folder, monkeypatch):
    file = a_file(folder, a_line(1))
    run(file)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "another secret of thirty-two bytes or so")
    (refusal,) = run(file)[1]["refused"]
    assert refusal["error"] == "internal_error"
    assert stored(folder)[0] == 1


def test_equal_lines_without_keys_are_two_events(run, folder):
    assert counts(run(a_file(folder, a_line(1), a_line(1)))[1]) == (2, 0, [])


def test_a_person_reads_where_a_reused_key_differs(folder, capsys):
    assert main(["import", str(a_file(folder, a_line(1, "k"), a_line(2, "k")))]) == 1
    assert "/data/number differs" in capsys.readouterr().err


def test_a_key_given_twice_is_one_event(run, folder):
    assert counts(run(a_file(folder, a_line(1, "k"), a_line(1, "k")))[1]) == (1, 1, [])


def test_moved_lines_are_refused_rather_than_recorded_twice(run, folder):
    run(a_file(folder, a_line(1), a_line(2), a_line(3)))
    _, report = run(a_file(folder, a_line(1), a_line(3)))
    assert counts(report) == (0, 1, [2])
    assert report["refused"][0]["error"] == "idempotency_key_reuse"


def test_a_source_keeps_the_keys_when_the_first_line_is_corrected(run, folder):
    _, before = run(a_file(folder, a_line(1, event=""), a_line(2)))
    assert counts(before) == (1, 0, [1])
    corrected = a_file(folder, a_line(1), a_line(2))
    assert counts(run(corrected, "--source", before["source"])[1]) == (1, 1, [])


def test_the_report_says_how_to_keep_the_keys_of_a_refused_first_line(folder, capsys):
    assert main(["import", str(a_file(folder, a_line(1, event=""), a_line(2)))]) == 1
    assert "--source" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["", "x" * 201, "ä", "a\nb"])
def test_a_source_that_can_lead_no_key_is_refused(folder, capsys, source):
    assert main(["import", str(a_file(folder, a_line(1))), "--source", source]) == 2
    assert stored(folder) == (0, 0)
    capsys.readouterr()


BAD_LINES = [
    (b'{"event": "canary-4111"', "invalid_request"),
    (b'{"event": "canary-4111\xff"}', "invalid_request"),
    (b'\xef\xbb\xbf{"event": "canary-4111"}', "invalid_request"),
    (b'["canary-4111"]', "invalid_request"),
    (b'{"event": "canary-4111"}', "invalid_request"),
    (b'{"event": "a", "event": "canary-4111"}', "invalid_request"),
    (b'{"idempotencyKey": "canary-4111"}', "invalid_request"),
    (b'{"request": {}, "canary-4111": 1}', "invalid_request"),
    (b'{"request": {}, "request": {}, "idempotencyKey": "canary-4111"}', "invalid_request"),
    (a_line(1, key=CANARY * 50).encode(), "invalid_request"),
    (a_line(1, key="").encode(), "idempotency_key_required"),
    (b'"' + b"canary-4111" * 30_000 + b'"', "payload_too_large"),
    (b'{"request": "' + b"canary-4111" * 23_850 + b'"}', "payload_too_large"),
    (a_line(1, profile={"externalId": CANARY}).encode(), "profile_email_required"),
]


@pytest.mark.parametrize(("bad", "code"), BAD_LINES)
def test_a_bad_line_is_refused_by_number_and_hinders_no_other(run, folder, bad, code):
    status, report = run(a_file(folder, a_line(1), b"", bad, b"  \r", a_line(2)))
    assert (status, report["lines"], counts(report)) == (1, 3, (2, 0, [3]))
    assert report["refused"][0]["error"] == code
    assert not any(
        CANARY.encode() in file.read_bytes()
        for file in folder.iterdir()
        if "ndjson" not in file.name
    )


@pytest.mark.parametrize(("bad", "code"), BAD_LINES)
def test_a_person_reads_each_refusal_without_its_values(folder, capsys, bad, code):
    assert main(["import", str(a_file(folder, a_line(1), bad))]) == 1
    printed = capsys.readouterr()
    assert f"line 2: {code}" in printed.err
    assert "1 recorded" in printed.out
    assert CANARY not in printed.out + printed.err


def test_an_import_shows_its_progress_on_a_terminal_only(folder, capsys, monkeypatch):
    lines = [a_line(number) for number in range(6)]
    monkeypatch.setenv("COLUMNS", "200")
    path = a_file(folder, *lines)
    assert main(["import", str(path), "--batch", "3"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["import", str(path), "--batch", "3", "--json"]) == 0
    printed = capsys.readouterr()
    assert counts(json.loads(printed.out)) == (0, 6, [])
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.err)
    assert "100%" in shown
    assert "6 lines" in shown
    assert re.search(r"\b[1-9][0-9,]*/s", shown)
    assert re.search(r"\b0:00:00\b", shown)


def test_refused_lines_are_listed_in_their_order(run, folder):
    late = a_line(1, profile={"externalId": "unknown"})
    assert counts(run(a_file(folder, late, b"{", late))[1]) == (0, 0, [1, 2, 3])


def test_a_report_lists_so_many_refusals_and_counts_the_rest():
    report = ImportReport()
    for line in range(MAX_LISTED + 2):
        report.refuse(Refusal(line, StorageUnavailable()))
    document = report.document()
    assert (len(document["refused"]), document["omitted"]) == (MAX_LISTED, 2)


def test_a_report_lists_so_much_text_and_counts_the_rest():
    report = ImportReport()
    long = InvalidRequest.from_violations([Violation("/a" * 500, "is wrong")] * 100)
    for number in range(1000):
        report.refuse(Refusal(number, long))
    listed = sum(len(v.path) for refusal in report.refused for v in refusal.error.violations)
    assert MAX_LISTED_BYTES * 0.9 < listed < MAX_LISTED_BYTES + 100_000
    assert len(report.refused) + report.omitted == 1000


def test_a_batch_of_long_lines_is_cut_short():
    lines = [Line(number, b" " * 300_000, 300_000, too_long=False) for number in range(100)]
    sizes = []
    import_lines(
        Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET),
        lines,
        ImportReport(),
        organization_id="default",
        batch=100,
        match_journeys=True,
        on_progress=lambda size, _refused: sizes.append(size),
    )
    assert sum(sizes) == 100 * 300_000
    assert max(sizes) <= 16 * 1024 * 1024 + 300_000


@pytest.mark.parametrize(
    ("options", "recorded"), [((), 0), (("--allow-placeholder-ids",), 1)], ids=["refused", "taken"]
)
def test_a_placeholder_id_is_refused_unless_an_option_allows_it(run, folder, options, recorded):
    profile = {"email": "a@example.com", "externalId": "undefined"}
    file = a_file(folder, a_line(1, profile=profile))
    _, report = run(file, *options)
    assert report["recorded"] == recorded


def test_a_request_at_its_limit_fits_with_its_key(run, folder):
    request = a_request(data={"number": 1, "note": ""})
    room = Limits().max_bytes - len(json.dumps(request, separators=(",", ":")))
    request["data"]["note"] = "x" * room
    line = json.dumps({"idempotencyKey": "k" * 255, "request": request}, separators=(",", ":"))
    assert counts(run(a_file(folder, line))[1]) == (1, 0, [])


@pytest.mark.parametrize(("option", "entries"), [("--journeys", 1), ("--no-journeys", 0)])
def test_history_starts_no_automation(folder, capsys, option, entries):
    (folder / "journeys.json").write_text(json.dumps({"journeys": [a_journey("a")]}))
    assert main(["journeys", "apply", "journeys.json"]) == 0
    assert main(["import", str(a_file(folder, a_line(1))), option]) == 0
    with closing(sqlite3.connect(folder / "segmentflow.db")) as connection:
        found = connection.execute("SELECT count(*) FROM segmentflow_enrollments").fetchone()
    assert found == (entries,)
    capsys.readouterr()


def test_standard_input_is_imported(folder):
    done = subprocess.run(
        [sys.executable, "-m", "segmentflow_cli", "import", "-", "--json"],
        input=f"{a_line(1)}\n{a_line(2)}\n".encode(),
        capture_output=True,
        check=True,
    )
    assert counts(json.loads(done.stdout)) == (2, 0, [])
    assert done.stderr == b""


def test_standard_input_under_a_source_is_known_again(run, folder, monkeypatch):
    for expected in ((2, 0, []), (0, 2, [])):
        with a_file(folder, a_line(1), a_line(2)).open() as opened:
            monkeypatch.setattr("sys.stdin", opened)
            assert counts(run("-", "--source", "monday")[1]) == expected


@pytest.mark.parametrize("wrong", [("missing.ndjson",), ("f", "--batch", "0")])
def test_wrong_usage_has_a_status_of_its_own(wrong, capsys):
    assert main(["import", *wrong]) == 2
    capsys.readouterr()


def test_a_long_line_is_never_held_whole():
    class Counting(io.BytesIO):
        largest = 0

        def readline(self, size=-1):
            assert size > 0
            line = super().readline(size)
            self.largest = max(self.largest, len(line))
            return line

    file = Counting(b"x" * 5_000_000 + b"\n{}")
    lines = list(read_lines(file))
    assert [(line.number, line.too_long, line.size) for line in lines] == [
        (1, True, 5_000_001),
        (2, False, 2),
    ]
    assert file.largest <= Limits().max_bytes + 2048


class _FailingStorage:
    """A store that cannot be reached a few times."""

    def __init__(self, failures):
        self._storage = MemoryStorage()
        self._failures = failures

    def run(self, work, **how):
        if self._failures:
            self._failures -= 1
            raise StorageUnavailable
        return self._storage.run(work)


def an_import(failures):
    report, pauses = ImportReport(), []
    tracker = Tracker(_FailingStorage(failures), fingerprint_key=FINGERPRINT_SECRET)
    import_lines(
        tracker,
        read_lines(io.BytesIO(a_line(1).encode())),
        report,
        organization_id="default",
        batch=10,
        match_journeys=True,
        on_progress=lambda size, refused: None,
        pause=pauses.append,
    )
    return report, pauses


def test_a_store_that_is_away_for_a_moment_is_tried_again():
    report, pauses = an_import(failures=3)
    assert report.recorded == 1
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_a_store_that_stays_away_ends_the_import():
    with pytest.raises(StorageUnavailable):
        an_import(failures=100)


def test_an_import_that_is_stopped_says_what_was_done(folder, capsys):
    path = a_file(folder, a_line(1))
    (folder / "segmentflow.db").write_bytes(b"no database" * 1000)
    status = main(["import", str(path), "--json"])
    printed = capsys.readouterr()
    assert status == 1
    assert json.loads(printed.err)["error"] == "invalid_configuration"


BAD = [b'{"event": "canary-4111"}', b'"' + b"canary-4111" * 30_000 + b'"', b"{"]


def test_a_dry_run_checks_every_line_and_writes_nothing(run, folder):
    late = a_line(1, profile={"externalId": "cus_1"})
    lines = (a_line(1), *BAD, a_line(2, key="k" * 300), b"", late)
    path = a_file(folder, *lines)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    status, report = run(path, "--dry-run")
    told = [(each["line"], each["error"]) for each in report["refused"]]
    code = "invalid_request"
    assert (status, told) == (1, [(2, code), (3, "payload_too_large"), (4, code), (5, code)])
    # Whether there is such a Profile by then, only an import finds out.
    assert (report["dryRun"], report["accepted"], report["lines"]) == (True, 2, 6)
    assert "recorded" not in report
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_a_dry_run_counts_redaction_paths_that_name_nothing(folder, capsys):
    request = {**a_request(), "redactedDataPaths": ["/event/crad"]}
    path = a_file(folder, json.dumps(request))
    assert main(["import", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1 would be taken" in out
    assert "1 redaction paths named nothing" in out
    assert main(["import", str(path), "--dry-run", "--refuse-unmatched"]) == 1
    capsys.readouterr()


@pytest.mark.parametrize("batch", ["1", "500"])
@pytest.mark.parametrize("how", [(), ("--dry-run",)], ids=["import", "dry run"])
def test_refused_lines_go_to_a_file_of_their_own_as_they_were(run, folder, batch, how):
    out = folder / "rejects"
    out.write_text("of an earlier run\n" * 10_000)
    out.chmod(0o644)
    path = a_file(folder, a_line(1), *BAD, a_line(2), *BAD)
    status, _ = run(path, "--rejects", out, "--batch", batch, *how)
    assert status == 1
    assert out.read_bytes() == b"".join(line + b"\n" for line in (*BAD, *BAD))
    assert out.stat().st_mode & 0o777 == 0o600
    # Run again, the import goes on, and the file says the same.
    run(path, "--rejects", out, *how)
    assert out.read_bytes() == b"".join(line + b"\n" for line in (*BAD, *BAD))


def test_a_file_for_refused_lines_is_said_and_may_not_be_what_is_imported(folder, capsys):
    path = a_file(folder, a_line(1), *BAD)
    (folder / "link").symlink_to(path)
    before = path.read_bytes()
    for same in (path, folder / "link"):
        assert main(["import", str(path), "--rejects", str(same)]) == 2
    assert path.read_bytes() == before
    assert "is the file that is imported" in capsys.readouterr().err
    assert main(["import", str(path), "--rejects", str(folder / "rejects")]) == 1
    assert "secrets too" in " ".join(capsys.readouterr().out.split())


def test_the_mark_that_a_file_starts_with_is_no_part_of_its_first_line(run, folder):
    path = a_file(folder, b"\xef\xbb\xbf" + a_line(1).encode(), a_line(2))
    assert counts(run(path)[1]) == (2, 0, [])
    # A text editor that takes the mark away leaves the keys as they are.
    assert counts(run(a_file(folder, a_line(1), a_line(2)))[1]) == (0, 2, [])
