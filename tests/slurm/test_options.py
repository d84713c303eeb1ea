"""Options of SLURM: of the call before the user's file, before Dask's configuration, before the site; mistakes told."""

import dask
import pytest

from dxflow.clusters import Slurm
from dxflow.clusters.named import cluster_of
from dxflow.slurm import options as sites
from dxflow.slurm.commands import OptionError
from dxflow.slurm.head import Shape, directives, margins
from dxflow.slurm.options import Options, resolve


@pytest.fixture
def users(tmp_path, monkeypatch):
    """Return a function that writes the user's file."""
    path = tmp_path / "clusters.yaml"
    monkeypatch.setattr(sites, "USERS", path)
    return path.write_text


def test_each_option_is_of_the_first_that_has_it(users):
    users(
        "default: {site: maxwell-upex, walltime: '03:00:00', cores: 20}\nmine: {partition: short, jobs: [1, 4]}\n"
    )
    with dask.config.set(
        {"jobqueue.slurm.account": "lab", "jobqueue.slurm.cores": 10, "jobqueue.slurm.walltime": "09:00:00"}
    ):
        found = resolve(None, {"cores": 30})
        mine = resolve("mine", {})
    assert (found.cores, found.walltime, found.account) == (30, "03:00:00", "lab")
    assert (found.partition, found.exclusive, found.interface) == ("upex", True, "ib0")
    assert (mine.partition, mine.cores, mine.walltime, mine.least, mine.most) == (
        "short",
        10,
        "09:00:00",
        1,
        4,
    )


def test_what_dask_jobqueue_comes_with_is_not_taken_for_the_users():
    # Its walltime of half an hour would end long runs.
    assert resolve("generic", {}).walltime == "01:00:00"


def test_a_reservation_stands_for_its_partition():
    assert resolve("maxwell-upex", {"reservation": "upex_007"}).partition is None
    both = resolve("maxwell-upex", {"reservation": "upex_007", "partition": "all"})
    assert (both.reservation, both.partition) == ("upex_007", "all")


def test_a_site_is_known_by_the_name_of_the_machine(monkeypatch):
    monkeypatch.setattr(sites.socket, "getfqdn", lambda: "max-display007.desy.de")
    assert resolve(None, {}).partition == "upex"
    monkeypatch.setattr(sites.socket, "getfqdn", lambda: "sdfiana003.sdf.slac.stanford.edu")
    assert resolve(None, {}).partition == "milano"
    monkeypatch.setattr(sites.socket, "getfqdn", lambda: "laptop")
    assert resolve(None, {}).partition is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "default: {partitoin: upex}",
            "default: 'partitoin': there is no such name. Did you mean 'partition'",
        ),
        ("- a\n- b\n", "expected sites, each with options below it"),
        ("default: [\n", "cannot be read"),
        ("default: !!python/object/apply:os.getcwd []", "cannot be read.*could not determine a constructor"),
        ("default: {site: maxwel}", "site='maxwel': there is no such name. Did you mean 'maxwell-"),
        (" " * 2**20 + "#", "is larger than"),
        ("default: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("default: {jobs: [1, [2]]}", "default: jobs: expected a word, a number, or a list of these"),
        ("a: &a {jobs: 1}\ndefault: {partition: [*a, *a]}", "default: partition: expected a word"),
    ],
)
def test_a_broken_file_of_the_user_is_told(users, text, said):
    users(text)
    with pytest.raises(OptionError, match=said):
        Slurm(jobs=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"jobs": 0}, "jobs=0: expected a number"),
        ({"jobs": (4, 2)}, r"jobs=\(4, 2\)"),
        ({"jobs": "many"}, "jobs='many'"),
        ({"walltime": "soon"}, "walltime='soon': expected HH:MM:SS"),
        ({"walltime": "00:00:30"}, "jobs last a minute at least"),
        ({"cores": 0}, "cores=0"),
        ({"cores": 2, "processes": 4}, "processes=4 are more than cores=2"),
        ({"memory": "lots"}, "memory='lots': expected a size such as 64 GB"),
        ({"partition": "a; rm -rf /"}, "partition='a; rm -rf /': expected a name"),
        ({"account": "x\ny"}, "expected a name"),
        ({"directives": ["--x\nrm"]}, "without line breaks"),
        ({"site": "generc"}, "site='generc': there is no such name. Did you mean 'generic'"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, said):
    with pytest.raises(OptionError, match=said):
        Slurm(**given)


def test_a_command_line_gives_the_same_options():
    one = cluster_of(
        "slurm:jobs=1-4,partition=upex,walltime=02:00:00,memory=64GB,exclusive=True,account=0815"
    )
    given = {
        "partition": "upex",
        "walltime": "02:00:00",
        "memory": "64GB",
        "exclusive": True,
        "account": "0815",
    }
    assert one.options == Slurm("1-4", **given).options
    assert (one.options.least, one.options.most, one.options.account) == (1, 4, "0815")
    with pytest.raises(
        TypeError, match="--cluster slurm: unknown option 'job'. Its options: jobs, site, partition"
    ):
        cluster_of("slurm:job=1")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("01:02:03", 3723), ("2-00:00:00", 172800), ("1-12", 129600), (90, 5400), ("90", 5400), ("10:30", 630)],
)
def test_times_are_read_as_slurm_reads_them(text, seconds):
    assert sites.seconds(text, "walltime") == seconds


def test_workers_are_as_many_as_cores_and_memory_allow_with_room_beside_them():
    gb = 10**9
    free = Shape.of(Options(cores=4), need=gb)
    assert free.processes == 4
    assert free.limit > gb
    assert free.memory >= 4 * 1.1 * free.limit
    tight = Shape.of(Options(cores=32, memory="8 GB"), need=gb)
    assert 1 < tight.processes < 8
    assert tight.processes * tight.limit < 8 * gb / 1.1
    assert tight.limit > gb
    with pytest.raises(OptionError, match="memory='1 GB' per job: one worker of this plan needs"):
        Shape.of(Options(cores=4, memory="1 GB"), need=gb)
    with pytest.raises(OptionError, match="8 workers need .* Give more memory, or fewer processes"):
        Shape.of(Options(cores=8, processes=8, memory="8 GB"), need=gb)


@pytest.mark.parametrize("walltime", [60, 3600, 86400])
def test_workers_retire_before_slurm_ends_them(walltime):
    lifetime, stagger = margins(walltime)
    assert lifetime - stagger > 0
    assert lifetime + stagger <= walltime - 5


def test_names_are_quoted_in_scripts(tmp_path):
    text = directives(
        Options(partition="a&b", constraint="[x|y]", directives=("--nice=5",)), tmp_path / "a b"
    )
    assert '--partition="a&b"' in text
    assert f'--output="{tmp_path}/a b/logs/%j.log"' in text
    assert text[-1] == "--nice=5"
