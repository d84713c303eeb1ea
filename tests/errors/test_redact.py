"""Secrets are hidden in whatever is written down: logs, messages, losses, journals, manifests and results."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.errors.redact import hidden, hidden_in, logger

SEED = "xK9fQ2zRw7LpVt4N"
"""Stands in each of the secrets below."""
PEM = f"-----BEGIN PRIVATE KEY-----\nMIIE{SEED}\n{SEED}==\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f"token={SEED}",
        f"TOKEN: {SEED}",
        f"DASK_GATEWAY_TOKEN='{SEED} {SEED}'",
        f'{{"password": "{SEED}"}}',
        f"{{'api_key': '{SEED}', 'a': 1}}",
        f"--my-token {SEED} --other",
        f"https://dash.example.org:8787/status?token={SEED}&x=1",
        f"https://example.org/?a=1&key={SEED}",
        f"tls://user:{SEED}@10.0.0.1:8786",
        f"postgresql://user:{SEED}@db/x",
        f"Authorization: Bearer {SEED}",
        f"'authorization': 'Basic {SEED}='",
        f"got bearer {SEED} from there",
        f"aws_secret_access_key = {SEED}",
        f"passphrase={SEED}",
        f'password="{SEED}',
        json.dumps(json.dumps({"password": SEED, "b": 1})),
        repr(repr({"password": SEED, "b": "it's"})),
        f"token=a\\b{SEED}",
        PEM,
        repr(PEM),
        PEM[:-20],
        f"ghp_{SEED}abcdEFGH1234",
        f"eyJhbGciOi{SEED}.{SEED}xx.{SEED}",
    ],
)
def test_a_secret_is_hidden_in_any_text(text):
    said = hidden(f"before {text}")
    assert SEED not in said
    assert said.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "average: key=image.data, 3 frames",
        "tls://127.0.0.1:8786",
        "unexpected token in line 3",
        "ValueError: train 10003: sum is 3.5 (in x.process_train_data(), run /a/b, chunk 0)",
        "SPB_DET_AGIPD1M-1/DET/0CH0:xtdf@/gpfs/x",
    ],
)
def test_what_is_no_secret_stays(text):
    assert hidden(text) == text


def test_long_texts_take_no_time():
    # With a pattern that goes back and forth this would take hours.
    for text in ("A" * 10**6, "token " * 10**5, "://" * 10**5, "-----BEGIN " * 10**4, "eyJ-" * 10**5):
        hidden(text)


def test_values_that_are_named_as_secrets_are_hidden_and_others_are_told_apart():
    one = hidden_in({"a": [{"token": SEED, "n": 3, "api-key": [1, 2]}], "url": f"https://u:{SEED}@h/x"})
    two = hidden_in({"a": [{"token": f"{SEED}2", "n": 3, "api-key": [1, 2]}], "url": "https://h/x"})
    assert SEED not in json.dumps(one)
    assert one["a"][0]["n"] == 3
    assert one["a"][0]["api-key"] == two["a"][0]["api-key"]
    assert one["a"][0]["token"] != two["a"][0]["token"]
    assert hidden_in(one) == one


def test_what_is_logged_has_none_its_tracebacks_neither(caplog):
    log = logger("dxflow.of_this_test")
    try:
        raise ValueError(f"password={SEED}")
    except ValueError:
        log.exception("tried %s", f"https://u:{SEED}@h/x")
    assert SEED not in caplog.text
    assert "ValueError: password=(hidden)" in caplog.text


def test_no_module_logs_without_it():
    package = Path(dxflow.__file__).parent
    loud = [p.name for p in package.rglob("*.py") if "= logging.getLogger(__name__)" in p.read_text()]
    assert loud == []


class Guarded(Algorithm):
    """Needs a token, and tells it in its errors."""

    ALG_ID = "guarded"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--token", default="")
        parser.add_argument("--address", default="")
        parser.add_argument("--access", default=None)

    def configure(self, args):
        self.password = f"pw-{args.token}"

    def outputs(self, info):
        return {"n": Output(per="run", dtype="i8")}

    def process_train_data(self, train, out):
        if train.id % 5 == 0:
            raise ValueError(f"refused: Authorization: Bearer {self.options['token']}\n{PEM}")
        out.n += 1


OPTIONS = {"token": SEED, "address": f"tls://me:{SEED}@10.0.0.1:8786", "access": {"secret": SEED}}


def written(folder):
    """Return all that is in the files of a folder."""
    return b"\n".join(p.read_bytes() for p in Path(folder).rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["x.zarr", "x.nc", "x.nxs", "x/"])
def test_a_result_its_report_and_its_table_have_none(run, tmp_path, name):
    plan = dxflow.plan(run.path, Guarded(**OPTIONS), f"{tmp_path}/{name}", on_fault="mask", quiet=True)
    result = dxflow.execute(plan, "here")
    said = [plan, result, result.report, plan.fingerprint, plan._repr_html_(), result._repr_html_()]
    said += [json.dumps(result.manifest), result.losses.to_json(), result.dataset, result.dataset.attrs]
    assert SEED not in "\n".join(map(str, said))
    assert SEED.encode() not in written(tmp_path)
    assert "exception in hook" in str(result.losses.cause.tolist())
    opened = dxflow.open(f"{tmp_path}/{name}")
    assert SEED not in "\n".join(map(str, (opened, opened.report, opened.dataset.attrs)))


def test_a_journal_has_none_and_another_secret_is_another_reduction(run, tmp_path):
    with pytest.raises(ValueError, match=r"refused: Authorization"):
        dxflow.reduce(run.path, Guarded(**OPTIONS), tmp_path / "x.zarr", cluster="here", quiet=True)
    found = written(tmp_path)
    assert b"plan.json" in found or found
    assert SEED.encode() not in found
    first, other = (
        dxflow.plan(run.path, Guarded(token=t), quiet=True).fingerprint for t in (SEED, SEED[::-1])
    )
    (said, *_) = first.differences(other)
    assert "token" in said
    assert SEED not in said
    assert SEED[::-1] not in said


@pytest.mark.parametrize("cluster", ["here", "local"])
def test_the_command_line_says_none_on_the_terminal_and_in_logs(run, tmp_path, cluster):
    environment = os.environ | {"DASK_GATEWAY__AUTH__TOKEN": SEED, "DXFLOW_PASSWORD": SEED}
    options = ["--cluster", cluster, *(["--workers", "1"] if cluster == "local" else []), "--traceback"]
    algorithm = [f"{__file__}:Guarded", "--token", SEED, "--address", OPTIONS["address"]]
    command = [sys.executable, "-m", "dxflow", "reduce", run.path, "--to", tmp_path / "x.zarr", *options]
    done = subprocess.run(
        [*command, *algorithm], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "ValueError: refused: Authorization" in done.stderr
    assert SEED not in done.stdout + done.stderr
    assert SEED.encode() not in written(tmp_path)


def test_what_dask_logs_on_workers_has_none(run, client, tmp_path):
    log = tmp_path / "worker.log"

    def listen():
        logging.getLogger("distributed").addHandler(logging.FileHandler(log))
        logging.getLogger("distributed.worker").setLevel(logging.WARNING)

    client.run(listen)
    with pytest.raises(ValueError, match="refused"):
        dxflow.reduce(run.path, Guarded(**OPTIONS), tmp_path / "x.zarr", cluster=client, quiet=True)
    assert "Compute Failed" in log.read_text()
    assert "refused: Authorization: (hidden)" in log.read_text()
    assert SEED not in log.read_text()
