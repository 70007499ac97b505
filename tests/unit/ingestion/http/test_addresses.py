from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.http.addresses import is_plain_host, is_public

CLOSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1"),
    *("127.255.255.254", "168.63.129.16", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
    *("2001:0:a9fe:a9fe::", "2002:a9fe:a9fe::", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "2606::1%lo"),
    *("not an address", "", "127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1:80", "[::1]"),
]
OPEN = [
    *("1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"),
    *("192.0.1.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888"),
    *("64:ff9b::808:808", "::ffff:8.8.8.8"),
]


@pytest.mark.parametrize("address", CLOSED)
def test_addresses_nobody_may_send_us_to(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_addresses_of_the_public_network(address):
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_no_wrapping_makes_a_closed_address_public(address):
    number = int(address)
    wrapped = [
        ipaddress.IPv6Address(prefix + number) for prefix in (0xFFFF << 32, 0x64FF9B << 96, 0, 0xFFFF << 48)
    ]
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) + (number << 80))
    teredo = ipaddress.IPv6Address((0x20010000 << 96) + (number << 64))
    for one in [*wrapped, six_to_four, teredo]:
        assert is_public(str(address)) or not is_public(str(one))


@given(st.ip_addresses())
def test_what_python_takes_for_private_is_never_public(address):
    if not address.is_global or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not is_public(str(address)) or mapped is not None


@given(st.text(max_size=30))
def test_any_text_has_an_answer(text):
    is_public(text)
    is_plain_host(text)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "127.1",
            "0",
            "127.0.0.0x1",
            "010.0.0.1",
            "1.2.3",
        ),
        *("fe80::1%25lo", "x.", "1.2.3.4.", "0x7f.1", "::FFFF:1", "0:0::1", "a.0x", ""),
    ],
)
def test_odd_notations_are_known(host):
    assert not is_plain_host(host)


@pytest.mark.parametrize(
    "host", ["example.org", "localhost", "a.b-c.de", "1.2.3.4", "::1", "x1.0x1.org", "7.org"]
)
def test_names_and_addresses_as_everybody_writes_them_are_plain(host):
    assert is_plain_host(host)
