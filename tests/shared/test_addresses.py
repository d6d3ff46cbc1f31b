"""Where a client on the same machine reaches what listens."""

import pytest

from shared.addresses import http_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8083"),  # noqa: S104 - never bound
        ("::", "http://[::1]:8083"),
        ("", "http://127.0.0.1:8083"),
        ("127.0.0.1", "http://127.0.0.1:8083"),
        ("fd00::1", "http://[fd00::1]:8083"),
        ("box.example.com", "http://box.example.com:8083"),
    ],
)
def test_what_listens_everywhere_is_reached_on_loopback(host: str, url: str) -> None:
    assert http_url(host, 8083) == url
