"""`dxflow cluster check`: each step that works is said, and what does not in plain words."""

import pytest

from dxflow.clusters import Slurm
from dxflow.commands import main as cli
from dxflow.commands.check import check
from dxflow.slurm import keeper
from dxflow.slurm.commands import SlurmError


def test_a_cluster_that_works_is_said_to(slurm, capsys):
    assert cli.main(["cluster", "check", "slurm:cores=1,poll=0.5"]) == 0
    said = capsys.readouterr().out
    for step in (
        "Slurm ",
        "network ",
        "submitted ",
        "worker         on node",
        "the same as here",
        "shared",
        "all is well",
    ):
        assert step in said
    slurm.wait(lambda: not slurm.jobs())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"python": "/no/python3"}, "Probably /no/python3 is not there on the node: install the environment"),
        (
            {"prologue": ["module() { no-such-command; }", "module load x"], "python": "/bin/false"},
            "exit code 3",
        ),
        ({"prologue": ["rm -rf {home}/runs/*/tls"]}, "Probably the shared directory is not shared"),
        (
            # Nothing listens at port 1, as behind a firewall that rejects.
            {"prologue": ['python3() { /usr/bin/env python3 "${@:1:4}" 1; }'], "python": "python3"},
            "Probably the node does not reach the scheduler on this machine .*a firewall, or the wrong interface",
        ),
        (
            {"prologue": ["sleep 60"]},
            "no worker of it has reached the scheduler .*: a firewall, or the wrong interface",
        ),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(slurm, tmp_path, monkeypatch, given, said):
    monkeypatch.setattr(keeper, "SILENT", 3.0)
    given = {
        k: [line.replace("{home}", str(tmp_path / "home")) for line in v] if k == "prologue" else v
        for k, v in given.items()
    }
    with pytest.raises(SlurmError, match=said):
        check(Slurm(jobs=1, cores=1, poll=0.5, **given), lambda text: None)


def test_a_mistake_is_told_with_an_exit_code(slurm, capsys):
    assert cli.main(["cluster", "check", "slurm:partition=upx"]) == 1
    assert "Partitions: all, exfel, upex" in capsys.readouterr().err
    assert cli.main(["cluster", "check", "slurm:partitoin=upex"]) == 2
    assert "unknown option 'partitoin'" in capsys.readouterr().err
    assert cli.main(["cluster", "check", "local"]) == 2
