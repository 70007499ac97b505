import socket

import pytest

from kasparro.core.errors import ConfigurationError
from kasparro.playground.server import _base_url, _listen


def test_answers_do_not_wait_for_acknowledgements():
    """asyncio sets TCP_NODELAY on a connection only if its listener names the protocol."""
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_refused_with_what_to_do():
    with _listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1.*in use.*another port"):
            _listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("localhost", "http://localhost:80"), ("::1", "http://[::1]:80")],
)
def test_the_base_url_is_one_that_can_be_asked(host, url):
    assert _base_url(host, 80) == url
