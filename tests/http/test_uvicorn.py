"""An app as the documentation makes one, named to a real server on its command line."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from http_serving import Served

API = """
from segmentflow_core import ApiKeys, Tracker
from segmentflow_http import ApiKeyAuthenticator, AsgiApp, Endpoint
from segmentflow_memory import MemoryStorage

storage = MemoryStorage()
tracker = Tracker(storage, fingerprint_key="k" * 32)
app = AsgiApp(Endpoint(tracker, ApiKeyAuthenticator(ApiKeys(storage))))
"""

PAGE = """
from segmentflow_console import Console, Operator
from segmentflow_core import Tracker
from segmentflow_http import AsgiApp
from segmentflow_memory import MemoryStorage

app = AsgiApp(Console(Tracker(MemoryStorage(), fingerprint_key="k" * 32), lambda request: None))
"""


@pytest.mark.parametrize(
    ("source", "path", "status"), [(API, "/livez", 200), (PAGE, "/", 401)], ids=["api", "page"]
)
def test_a_server_is_given_an_app_by_its_name(tmp_path, source, path, status):
    (tmp_path / "web.py").write_text(source, "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "web:app", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        server = Served(process)
        try:
            assert httpx.get(server.url + path).status_code == status
        finally:
            server.stop()
    assert "factory" not in "".join(server.err)
