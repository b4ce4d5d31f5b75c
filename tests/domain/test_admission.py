from __future__ import annotations

from hypothesis import given

from segmentflow_core.domain.admission import Admission
from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.testing import json_values


@given(value=json_values())
def test_what_fits_is_never_cut_short(value):
    admission = Admission(max_depth=64, max_size=len(encode_json(value)))
    assert admission.admit(value) == value
    assert not admission.too_large
