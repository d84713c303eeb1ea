"""The interface of the scheduler: the one that is asked for, else a fast one, else that of the default route."""

import psutil
import pytest

from dxflow.slurm import network
from dxflow.slurm.commands import OptionError

ROUTES = "Iface\tDestination\tGateway\neth1\t00000000\t0102A8C0\neth0\t0002A8C0\t00000000\n"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(network, "ROUTES", tmp_path / "route")
    there = {"lo": "127.0.0.1", "eth0": "192.168.2.7", "eth1": "192.168.3.7"}
    monkeypatch.setattr(network, "addresses", lambda: there)
    return there


def test_a_fast_network_is_taken_then_the_default_route_then_any(machine):
    assert network.interface() == "eth1"
    machine["ib1"] = machine["ib0"] = "10.0.0.7"
    assert network.interface() == "ib0"
    assert network.interface("eth0") == "eth0"
    for name in ("ib0", "ib1", "eth1"):
        del machine[name]
    assert network.interface() == "eth0"
    del machine["eth0"]
    assert network.interface() == "lo"


def test_one_that_is_not_there_is_refused_with_those_that_are(machine):
    with pytest.raises(OptionError, match=r"interface='ib0': this machine has eth0 \(192.168.2.7\), eth1"):
        network.interface("ib0")


def test_addresses_are_those_of_interfaces_that_are_up():
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    assert network.addresses()["lo"] == "127.0.0.1"
    assert set(network.addresses()) <= up
