"""Publishing to a real Redis server: what is written there, and what happens when the server does not play along."""

import io
import json
import logging
import os
import re
import shutil
import signal
import threading
import time
from urllib.parse import quote

import numpy as np
import pytest
import redis
import xarray as xr
from growth import Fed, Planner

import dxflow
from dxflow.commands.main import main
from dxflow.live import address, publish, sending
from dxflow.live.address import Address
from dxflow.live.following import follow
from dxflow.live.parameters import ask
from dxflow.live.publish import Publisher
from dxflow.live.sending import Sender

pytest_plugins = ["feedback"]


def keys(server, name):
    """Return the keys of a run's feedback, without what all begin with."""
    return {key.decode().removeprefix(f"dxflow:{name}:") for key in server.client().keys(f"dxflow:{name}:*")}


def array(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


def test_what_is_there_is_read_with_redis_and_numpy_alone(server, live, results):
    """As docs/live.md says it."""
    live(f"{server.url}?name=plain", source="r0001").shown(0)
    client, data = server.client(), results[0].dataset
    told = json.loads(client.get("dxflow:plain:snapshot"))
    assert told["trains"] == 4
    assert told["variables"]["average.mean"]["dims"] == ["module", "ss", "fs"]
    assert json.loads(client.get("dxflow:plain:about"))["what"] == {"source": "r0001"}
    totals = client.hgetall("dxflow:plain:totals")
    np.testing.assert_array_equal(array(totals[b"data:average.mean"]), data["average.mean"])
    assert totals[b"version"] == b"1"
    ((_, entry),) = client.xrange("dxflow:plain:rows:frame")
    np.testing.assert_array_equal(array(entry[b"data:litframes.intensity"]), data["litframes.intensity"])
    np.testing.assert_array_equal(array(entry[b"rows"]), data["train_id"])
    assert (int(entry[b"first"]), int(entry[b"last"])) == (10001, 10004)
    assert keys(server, "plain") == {
        *("owner", "about", "snapshot", "totals", "provisional"),
        *("rows:frame", "rows:train", "rows:bright.pixels_event"),
    }


def test_rows_are_only_appended(server, live):
    run = live(f"{server.url}?name=append")
    run.shown(0)
    first = server.client().xrange("dxflow:append:rows:frame")
    run.shown(1)
    run.shown(1)
    entries = server.client().xrange("dxflow:append:rows:frame")
    assert entries[: len(first)] == first
    assert [(int(e[b"first"]), int(e[b"last"])) for _, e in entries] == [(10001, 10004), (10005, 10008)]


def test_streams_are_bounded_by_trains_and_by_memory(server, live, results):
    run = live(f"{server.url}?name=bound&trains=4")
    for one in (0, 1, 2):
        run.shown(one)
    entries = server.client().xrange("dxflow:bound:rows:frame")
    assert [int(e[b"first"]) for _, e in entries] == [10009]
    # Neither images fit nor all rows.
    run = live(f"{server.url}?name=small&memory=5kB")
    run.shown(2)
    told = json.loads(server.client().get("dxflow:small:snapshot"))
    assert "feedback has up to 1.25 kB" in told["left_out"]["average.mean"]
    assert b"data:average.mean" not in server.client().hgetall("dxflow:small:totals")
    kept = sum(len(v) for _, e in server.client().xrange("dxflow:small:rows:frame") for v in e.values())
    assert kept < 10_000
    assert told["first_kept"] > 10001


def test_feedback_goes_on_when_a_server_that_went_away_is_back(own_server, live, tools, results, caplog):
    run = live(f"{own_server.url}?name=away")
    run.shown(0)
    ev = tools.opened(run.address)
    own_server.stop()
    before = time.monotonic()
    run.show(1)
    assert time.monotonic() - before < 1, "the run does not wait"
    tools.until(lambda: run.publisher.trouble)
    with pytest.raises(ConnectionError):
        ev.refresh()
    assert len(ev.rows) == 24
    # It keeps nothing: all is to be written again.
    own_server.start()
    tools.until(lambda: not run.publisher.trouble)
    run.shown(2)
    assert ev.refresh()
    assert len(ev.rows) == 72
    said = [r.message for r in caplog.records if r.name == "dxflow.live.publish"]
    assert "no feedback" in said[0]
    assert "goes on" in said[-1]
    assert len(said) == 2, "a trouble that lasts is said once a minute"


def test_the_newest_snapshot_is_there_again_without_a_new_one(own_server, live, tools):
    run = live(f"{own_server.url}?name=again")
    run.shown(1)
    own_server.client().flushall()
    run.publisher.status(tools.Status("waiting"))
    tools.until(lambda: len(tools.opened(run.address).rows) == 48)


def test_a_server_that_was_not_there_at_the_begin_is_used_once_it_is(own_server, live, tools):
    own_server.stop()
    run = live(f"{own_server.url}?name=later")
    run.show(0)
    tools.until(lambda: run.publisher.trouble)
    own_server.start()
    tools.until(lambda: len(tools.opened(run.address).rows) == 24)


def test_a_server_that_hangs_holds_nothing_up(own_server, live, tools, monkeypatch):
    monkeypatch.setattr(address, "SECONDS", 0.2)
    monkeypatch.setattr("dxflow.live.publish.END", 0.5)
    run = live(f"{own_server.url}?name=hangs")
    run.shown(0)
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        run.show(1)
        tools.until(lambda: run.publisher.trouble)
        run.publisher.close()
    finally:
        os.kill(own_server.pid, signal.SIGCONT)


def test_two_runs_have_names_of_their_own_and_none_takes_that_of_another(server, live, tools):
    one, other = live(f"{server.url}?name=one"), live(f"{server.url}?name=other")
    one.shown(0)
    other.shown(1)
    assert (len(tools.opened(one.address).rows), len(tools.opened(other.address).rows)) == (24, 48)
    with pytest.raises(FileNotFoundError, match="choose one, with .name="):
        dxflow.open(server.url)
    again = live(f"{server.url}?name=one")
    again.show(2)
    tools.until(lambda: "another live run" in again.publisher.trouble)
    assert len(tools.opened(one.address).rows) == 24
    one.publisher.close()
    tools.until(lambda: len(tools.opened(one.address).rows) == 72)


@pytest.mark.parametrize("name", ["*", "a:b", "?[x]", "<script>alert(1)</script>", "../../x", "ä ö&=%41"])
def test_any_name_is_one(server, live, tools, name):
    run = live(f"{server.url}?name={quote(name)}")
    run.shown(0)
    assert len(dxflow.open(f"{server.url}?name={quote(name)}").rows) == 24
    assert server.client().exists(f"dxflow:{quote(name, safe='')}:about")


@pytest.mark.parametrize("kind", ["text", "list", "json", "stream", "totals"])
def test_keys_of_others_are_not_overwritten(server, live, tools, kind):
    client, name = server.client(), f"others-{kind}"
    about, stream, totals = (f"dxflow:{name}:{key}" for key in ("about", "rows:frame", "totals"))
    match kind:
        case "text":
            client.set(about, "mine")
        case "list":
            client.lpush(about, "mine")
        case "json":
            client.set(about, '{"format": "mine"}')
        case "stream":
            client.xadd(stream, {"mine": 1})
        case "totals":
            client.hset(totals, "mine", 1)
    before = {key: client.dump(key) for key in (about, stream, totals)}
    run = live(f"{server.url}?name={name}")
    run.show(0)
    tools.until(
        lambda: "is not of dxflow" in (said := run.publisher.trouble) or "not of this feedback" in said
    )
    # Neither now nor when it is tried again.
    tools.until(lambda: run.publisher._failures > 3)
    for key, value in before.items():
        if value is not None:
            assert client.dump(key) == value, key


def test_what_an_earlier_run_of_the_name_left_is_replaced(server, live, tools):
    run = live(f"{server.url}?name=earlier")
    run.shown(2)
    run.publisher.close()
    again = live(f"{server.url}?name=earlier")
    again.shown(0)
    assert len(tools.opened(again.address).rows) == 24


@pytest.mark.parametrize(
    ("change", "back", "words"),
    [
        ({"maxmemory": "1"}, {"maxmemory": "0"}, "OOM|OutOfMemory"),
        ("read-only", "writable", "ReadOnly|read only"),
        ({"requirepass": "x"}, {"requirepass": ""}, "Authentication"),
    ],
)
def test_a_server_that_takes_nothing_any_more_stops_only_feedback(
    own_server, live, tools, change, back, words
):
    def configure(how):
        client = redis.Redis(port=own_server.port, password="x" if how == {"requirepass": ""} else None)
        if how == "read-only":
            client.replicaof("127.0.0.1", "1")
        elif how == "writable":
            client.replicaof("NO", "ONE")
        else:
            for option, value in how.items():
                client.config_set(option, value)
        # Those who are in are asked for the password only when they come again.
        client.client_kill_filter(_type="normal", skipme=True)

    run = live(f"{own_server.url}?name=full")
    run.shown(0)
    configure(change)
    run.show(1)
    tools.until(lambda: re.search(words, run.publisher.trouble))
    configure(back)
    tools.until(lambda: len(tools.opened(run.address).rows) == 48)


def test_what_is_on_a_server_that_is_full_stays(own_server, live, tools, monkeypatch):
    """A snapshot that finds no room leaves the one before, where all else finds some."""
    run = live(f"{own_server.url}?name=full")
    run.shown(0)
    client = own_server.client()
    before = {key: client.dump(f"dxflow:full:{key}") for key in ("rows:frame", "totals", "snapshot", "about")}
    packed, hold = Sender._packed, Sender.hold

    def full(self, *args):
        yield from packed(self, *args)
        client.config_set("maxmemory", 1)

    with monkeypatch.context() as patched:
        patched.setattr(Sender, "_packed", full)
        patched.setattr(Sender, "hold", lambda *args: client.config_set("maxmemory", 0) and hold(*args))
        run.show(1)
        tools.until(lambda: run.publisher._failures > 3)
        client.config_set("maxmemory", 1)
        with pytest.raises(ConnectionError, match="the Redis server is full"):
            tools.opened(run.address)
        for key, value in before.items():
            assert client.dump(f"dxflow:full:{key}") == value, key
    client.config_set("maxmemory", 0)
    tools.until(lambda: len(tools.opened(run.address).rows) == 48)


def test_passwords_are_nowhere(own_server, live, tools, caplog):
    caplog.set_level(logging.DEBUG)
    word = "s3cr%2Ft-w0rd"
    own_server.client().config_set("requirepass", "s3cr/t-w0rd")
    url = f"redis://:{word}@127.0.0.1:{own_server.port}"
    run = live(f"{url}?name=closed", source=url)
    run.show(0)
    run.wait(lambda: len(dxflow.open(f"{url}?name=closed").rows) == 24)
    wrong = live(f"redis://:Wr0ng%2F@127.0.0.1:{own_server.port}?name=wrong")
    tools.until(lambda: wrong.publisher.trouble)
    with pytest.raises(PermissionError) as denied:
        dxflow.open(f"redis://:Wr0ng%2F@127.0.0.1:{own_server.port}?name=closed")
    ev = dxflow.open(f"{url}?name=closed")
    client = own_server.client(password="s3cr/t-w0rd")
    stored = [client.get(f"dxflow:closed:{key}").decode() for key in ("about", "snapshot", "owner")]
    everything = [
        *(caplog.text, repr(ev), str(ev.about), ev._repr_html_(), str(denied.value), *stored),
        *(str(run.address), repr(run.address), run.publisher.trouble, wrong.publisher.trouble),
        *(str(wrong.address), repr(wrong.address)),
    ]
    for text in everything:
        assert "w0rd" not in text
        assert "Wr0ng" not in text


def test_what_stays_at_the_end_stays_for_its_time(server, live, tools):
    client = server.client()
    run = live(f"{server.url}?name=stays&keep=1000")
    run.shown(0)
    run.publisher.close()
    assert keys(server, "stays") >= {"about", "snapshot", "totals", "rows:frame"}
    assert "owner" not in keys(server, "stays"), "the name is free"
    for key in keys(server, "stays"):
        assert 900 < client.ttl(f"dxflow:stays:{key}") <= 1000
    assert tools.opened(run.address).finished
    run = live(f"{server.url}?name=goes&keep=0")
    run.shown(0)
    for key in keys(server, "goes"):
        assert client.ttl(f"dxflow:goes:{key}") > 0, "also when its process dies"
    run.publisher.close()
    assert not keys(server, "goes")


def test_a_snapshot_that_is_gone_already_is_left_out(server, live, tools, results, tmp_path):
    class Gone:
        path, dataset = tmp_path / "gone.zarr", results[0].dataset

    run = live(f"{server.url}?name=gone")
    run.show(Gone)
    run.shown(1)
    assert not run.publisher.trouble


@pytest.mark.parametrize("away", [False, True])
def test_a_snapshot_that_goes_while_it_is_read_holds_up_none_and_hides_nothing(
    own_server, live, tools, results, tmp_path, monkeypatch, away
):
    """A newer one is soon written; a server that went away as well is told of."""
    monkeypatch.setattr(publish, "PAUSES", (0.05, 600.0))
    run = live(f"{own_server.url}?name=going")
    run.shown(0)
    real, going = sending.open_result, tmp_path / "going.zarr"
    shutil.copytree(results[1].path, going)

    def removed(path):
        if str(path) == str(going):
            shutil.rmtree(going)
            if away:
                own_server.stop()
        return real(path)

    class Going:
        path, dataset = going, results[1].dataset

    monkeypatch.setattr(sending, "open_result", removed)
    run.show(Going)
    tools.until(lambda: not going.exists())
    if away:
        tools.until(lambda: run.publisher.trouble)
        return
    run.shown(2)
    assert not run.publisher.trouble


def test_the_run_is_told_of_while_snapshots_wait_and_the_last_one_is_written_at_the_end(
    server, live, tools, monkeypatch
):
    monkeypatch.setattr(publish, "SHARE", 10**6)
    monkeypatch.setattr(publish, "LONGEST", 10**6)
    run = live(f"{server.url}?name=rests")
    run.shown(0)
    run.show(1)
    run.publisher.status(tools.Status("running", trains=8))
    tools.until(lambda: tools.opened(run.address).status.get("trains") == 8)
    assert tools.opened(run.address).snapshot["trains"] == 4
    run.publisher.close()
    assert tools.opened(run.address).snapshot["trains"] == 8


def test_how_it_goes_is_told_while_a_snapshot_is_read_and_packed(server, live, tools, monkeypatch):
    """However long that takes; the name is kept meanwhile, and what was written before stays until all is there."""
    run = live(f"{server.url}?name=slow")
    run.shown(0)
    client, reads, done, real = server.client(), threading.Event(), threading.Event(), sending.open_result

    def slow(path):
        reads.set()
        assert done.wait(60)
        return real(path)

    monkeypatch.setattr(sending, "open_result", slow)
    run.show(1)
    assert reads.wait(60)
    try:
        client.expire("dxflow:slow:owner", 20)
        for elapsed in (1.0, 2.0, 3.0):
            run.publisher.status(tools.Status("running", elapsed_s=elapsed))
            tools.until(lambda s=elapsed: tools.opened(run.address).status.get("elapsed_s") == s)
        assert client.ttl("dxflow:slow:owner") > 20
        assert tools.opened(run.address).snapshot["trains"] == 4
    finally:
        done.set()
    tools.until(lambda: tools.opened(run.address).snapshot["trains"] == 8)


def test_a_snapshot_that_cannot_be_read_leaves_what_is_there(server, live, tools, monkeypatch):
    """Also where it is of another version, whose rows replace all."""
    run = live(f"{server.url}?name=unread")
    run.shown(0)
    before, real = server.client().dump("dxflow:unread:rows:frame"), sending.open_result
    monkeypatch.setattr(sending, "open_result", lambda path: real(path / "none"))
    run.show(1, version=2)
    tools.until(lambda: run.publisher.trouble)
    assert server.client().dump("dxflow:unread:rows:frame") == before
    assert len(tools.opened(run.address).rows) == 24
    monkeypatch.setattr(sending, "open_result", real)
    tools.until(lambda: tools.opened(run.address).snapshot["version"] == 2)
    assert len(tools.opened(run.address).rows) == 48


def test_a_publisher_that_never_began_ends():
    Publisher(Address.of("redis://127.0.0.1:1?name=x")).close()


@pytest.mark.usefixtures("_at_once")
def test_the_command_publishes(server, tiny, tmp_path, capsys):
    folder, to = tmp_path / "r0001", tmp_path / "x.zarr"
    shutil.copytree(tiny.path, folder)
    for file in folder.glob("*.h5"):
        os.utime(file, (1, 1))
    url = f"redis://any:n0body@127.0.0.1:{server.port}"
    line = ["live", str(folder), "litframes", "--to", str(to), "--end", "now", "--chunk", "2 trains"]
    server.client().acl_setuser("any", enabled=True, passwords=["+n0body"], keys=["*"], commands=["+@all"])
    assert main([*line, "--cluster", "here", "--publish", url, "--page"]) == 0
    said = capsys.readouterr().out
    assert f"publish  redis://127.0.0.1:{server.port}?name=x" in said
    assert "page     http://127.0.0.1:" in said
    ev = dxflow.open(f"{url}?name=x")
    assert ev.finished
    assert ev.snapshot["final"]
    assert ev.status["state"] == "finished"
    xr.testing.assert_identical(ev.data.drop_attrs(), dxflow.open(to).table.data.load().drop_attrs())
    # Neither what is left on the disk nor on the server has the password.
    assert "n0body" not in said
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"n0body" in one for one in kept)
    assert b"n0body" not in server.client().get("dxflow:x:about")


class Meddler:
    """An observer of a live run that stops its server after the second snapshot and starts it after the fifth."""

    def __init__(self, server, publisher, tools):
        self.server, self.publisher, self.tools, self.seen = server, publisher, tools, []

    def begin(self, about):
        pass

    def snapshot(self, snapshot):
        self.seen.append(snapshot.number)
        if snapshot.number == 2:
            self.look(snapshot)
            self.server.stop()
        elif snapshot.number == 4:
            self.tools.until(lambda: self.publisher.trouble)
        elif snapshot.number == 5:
            self.server.start()
            self.look(snapshot)

    def look(self, snapshot):
        """Compare what is published with the snapshot."""
        address = self.publisher.address
        self.tools.until(lambda: self.tools.opened(address).snapshot["number"] == snapshot.number)
        ev, table = self.tools.opened(address), dxflow.open(snapshot.path).table
        for name in ("above.bright", "above.intensity", "stats.mean", "train_id", "pulse_id"):
            xr.testing.assert_identical(ev.data[name].variable, table.data[name].variable.load())
        assert "provisional" in ev.data["above.bright"].attrs

    def status(self, status):
        pass

    def close(self):
        pass


class Asker:
    """An observer that asks for another option after the third snapshot."""

    def __init__(self, folder):
        self.folder, self.versions = folder, []

    def begin(self, about):
        pass

    def snapshot(self, snapshot):
        self.versions.append(snapshot.version)
        if len(self.versions) == 3:
            ask(self.folder, "above", {"ss": "2 6"})

    def status(self, status):
        pass

    def close(self):
        pass


@pytest.mark.usefixtures("now", "_at_once")
def test_feedback_is_of_the_newest_version_alone(server, tools, whole, tmp_path):
    publisher, asker = Publisher(Address.of(f"{server.url}?name=asked")), Asker(tmp_path / "x.live")
    source = Fed(whole.path, tmp_path / "run", [[f"S{n:05d}"] for n in range(7)])
    result = follow(source, tmp_path / "x.zarr", [publisher, asker], "here")
    assert asker.versions[2:4] == [1, 2]
    ev = tools.opened(publisher.address)
    assert ev.snapshot["version"] == 2
    xr.testing.assert_identical(ev.data.drop_attrs(), result.table.data.load().drop_attrs())


@pytest.mark.usefixtures("now", "_at_once")
def test_a_live_run_loses_nothing_when_its_server_stops_and_feedback_goes_on(
    own_server, tools, whole, tmp_path
):
    """As a whole: a run that grows, followed, with a server that is away for three snapshots."""
    publisher = Publisher(Address.of(f"{own_server.url}?name=r0001"))
    meddler = Meddler(own_server, publisher, tools)
    source = Fed(whole.path, tmp_path / "run", [[f"S{n:05d}"] for n in range(7)])
    result = follow(source, tmp_path / "x.zarr", [publisher, meddler], "here")
    assert meddler.seen == [1, 2, 3, 4, 5, 6, 7]
    expected = dxflow.execute(Planner()(whole.path, None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    ev = tools.opened(publisher.address)
    assert ev.finished
    assert ev.snapshot["final"]
    xr.testing.assert_identical(ev.data.drop_attrs(), result.table.data.load().drop_attrs())
