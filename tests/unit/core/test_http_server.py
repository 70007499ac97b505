import asyncio
import socket

import pytest

from kasparro.core.errors import ConfigurationError, KasparroError
from kasparro.core.http_protocol import ServerLimits
from kasparro.core.http_server import BACKLOG, OWN_FILES, _affordable, base_url, listen, serve


def test_a_port_in_use_is_a_clear_error_with_a_hint():
    with listen("127.0.0.1", 0) as taken, pytest.raises(ConfigurationError, match="is in use") as caught:
        listen("127.0.0.1", taken.getsockname()[1])

    assert "--port" in caught.value.hint


def test_answers_do_not_wait_for_acknowledgements():
    """asyncio sets TCP_NODELAY on a connection only if its listener names the protocol."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_an_address_of_another_machine_is_a_clear_error():
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen("192.0.2.1", 0)


def test_an_unknown_host_is_a_clear_error():
    with pytest.raises(ConfigurationError, match=r"cannot listen on no-such-host\.invalid"):
        listen("no-such-host.invalid", 0)


def test_the_shown_address_can_be_reached_from_here():
    with listen("0.0.0.0", 0) as listener:
        assert base_url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def refuse_to_start(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


@pytest.mark.anyio
async def test_it_serves_until_it_is_told_to_stop():
    stop, ready = asyncio.Event(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(serve(answer, listener, stop, ready.set))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        stop.set()
        await serving

    assert received.endswith(b"hello")


@pytest.mark.anyio
async def test_an_application_that_does_not_start_is_an_error():
    with listen("127.0.0.1", 0) as listener, pytest.raises(KasparroError, match="did not start"):
        await serve(refuse_to_start, listener, asyncio.Event(), lambda: None)


def test_every_family_of_addresses_is_listened_on():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        assert base_url(listener).startswith("http://[::1]:")


@pytest.mark.parametrize("descriptors", [64, 101, 128, 200, 256, 1024, 4096, 1 << 20])
def test_connections_and_those_that_queue_have_descriptors_and_leave_some(descriptors):
    limits, backlog = _affordable(ServerLimits(connections=1000), descriptors)

    assert 1 <= limits.connections <= 1000
    assert 1 <= backlog <= BACKLOG
    assert limits.connections + backlog <= max(2, descriptors - OWN_FILES)
    assert descriptors < 1 << 20 or (limits.connections, backlog) == (1000, BACKLOG)
