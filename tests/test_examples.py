from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_order_is_recorded_once_and_then_replayed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "track_an_order.py"), run_name="__main__")
    (first, recorded), (second, replayed) = map(str.split, capsys.readouterr().out.splitlines())
    assert first == second
    assert (recorded, replayed) == ("recorded", "replayed")
    assert not any(b"tok_live_abc" in path.read_bytes() for path in tmp_path.iterdir())
