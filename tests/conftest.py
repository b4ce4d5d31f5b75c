from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["pytester"]

# No test asserts how long something took; and what CI tried once, it tries again.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
