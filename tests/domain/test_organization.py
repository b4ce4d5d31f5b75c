from __future__ import annotations

import pytest

from segmentflow_core.domain.organization import check_organization
from segmentflow_core.errors import ConfigurationError


@pytest.mark.parametrize("organization", ["a", "default", "x" * 255, "Müller & Söhne", "😀", "a b"])
def test_a_printable_text_is_an_id(organization):
    check_organization(organization)


@pytest.mark.parametrize(
    "organization", ["", "x" * 256, None, 5, b"acme", "a\0b", "a\nb", "a\u200bb", "\ud800"]
)
def test_anything_else_is_refused_without_showing_it(organization):
    with pytest.raises(ConfigurationError, match="organization_id must be") as refusal:
        check_organization(organization)
    assert "acme" not in refusal.value.message
