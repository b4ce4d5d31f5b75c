"""The API Keys of a store that was made, from their entropy. Must never import the library."""

from __future__ import annotations

from base64 import urlsafe_b64encode

__all__ = ["api_key_secret"]


def api_key_secret(entropy: str, *, test: bool) -> str:
    """Return the API Key that was made of these 32 bytes."""
    text = urlsafe_b64encode(entropy.encode()).decode().rstrip("=")
    return f"sk_{'test' if test else 'live'}_{text}"
