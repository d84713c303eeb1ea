"""Addresses of Redis servers: what they may say, and that no message repeats a password."""

import pytest

from dxflow.live.address import Address, is_address


def test_an_address_says_server_name_and_bounds():
    one = Address.of("redis://me:pa%40ss@host:7000/3?name=r1&trains=5&memory=1MB&keep=60")
    assert (one.name, one.trains, one.memory, one.keep) == ("r1", 5, 10**6, 60)
    assert str(one) == "redis://host:7000/3?name=r1"
    options = one.client().connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("host", 7000, 3)
    assert (options["username"], options["password"]) == ("me", "pa@ss")


def test_a_password_may_be_in_a_file(tmp_path):
    (tmp_path / "p w").write_text("secret\n")
    one = Address.of(f"redis://host?password_file={tmp_path}/p%20w&db=2", name="given")
    assert one.client().connection_pool.connection_kwargs["password"] == "secret"
    assert one.client().connection_pool.connection_kwargs["db"] == 2
    assert "secret" not in repr(one)
    assert one.name == "given"


def test_a_socket_is_an_address():
    one = Address.of("unix:///run/redis.sock?name=r1")
    assert one.client().connection_pool.connection_kwargs["path"] == "/run/redis.sock"
    assert str(one) == "unix:///run/redis.sock?name=r1"


@pytest.mark.parametrize(
    "text",
    [
        "host:6379",
        "http://me:s3cret@host",
        "redis://:s3cret/x@host",
        "redis://:s3#cret@host",
        "redis://me:s3cret@host:port",
        "redis://me:s3cret@host/zero",
        "redis://me:s3cret@host?name=",
        "redis://me:s3cret@host?name=a%00b",
        "redis://me:s3cret@host?trains=0",
        "redis://me:s3cret@host?trains=-1",
        "redis://me:s3cret@host?keep=ever",
        "redis://me:s3cret@host?memory=much",
        "redis://me:s3cret@host?nam=x",
        "redis://me:s3cret@host?name=" + "x" * 201,
        "unix://me:s3cret@",
    ],
)
def test_what_is_none_is_refused_without_its_password(text):
    with pytest.raises(ValueError, match="expected|is no option|not a size") as refused:
        Address.of(text)
    assert "cret" not in str(refused.value)


def test_addresses_are_told_from_paths():
    assert is_address("redis://host")
    assert is_address("rediss://host")
    assert not is_address("redis")
    assert not is_address("/data/x.zarr")
