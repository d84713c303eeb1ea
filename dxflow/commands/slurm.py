"""The commands ``dxflow cluster | submit | jobs | logs | cancel``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..slurm import commands, listing
from ..slurm.commands import OptionError, SlurmError
from . import job as driver

MEANT = {
    "site": "named set of options, of dxflow or of ~/.config/dxflow/clusters.yaml (default: that of this machine)",
    "partition": "of Slurm, as sinfo lists them (default: that of the site, or of Slurm)",
    "reservation": "of Slurm, such as that of a beamtime (default: none)",
    "account": "that is charged (default: yours in Slurm)",
    "qos": "quality of service in Slurm (default: that of the account)",
    "walltime": "time limit: HH:MM:SS, D-HH:MM:SS or minutes (default: that of the site, or 01:00:00)",
    "memory": "of the job, with a unit: 64GB (default: that of the site, or of the partition)",
    "constraint": "feature that nodes must have (default: none)",
    "python": "interpreter on the node (default: this one)",
    "directory": "for logs and credentials, shared by the nodes (default: $DXFLOW_HOME or ~/.dxflow)",
}
EXAMPLE = "example: dxflow submit --partition upex --walltime 4:00:00 --name mean reduce r0012 average --to mean.zarr"


def cluster(argv: Sequence[str], parser: argparse.ArgumentParser, say: Callable[[str], None]) -> None:
    """Try out a cluster: ``dxflow cluster check slurm:partition=upex``."""
    from ..clusters.named import cluster_of
    from .check import LASTS, check

    parser.add_argument(
        "action", choices=["check"], help="submit a small job, run one task on it, say what is wrong"
    )
    parser.add_argument(
        "cluster", nargs="?", default="slurm", help="with its options: slurm:partition=upex,cores=8"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=LASTS,
        metavar="SECONDS",
        help="in the queue, at most (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if args.cluster.partition(":")[0] != "slurm":
        raise OptionError(
            f"{args.cluster}: only SLURM is checked so far: dxflow cluster check slurm:partition=upex"
        )
    check(cluster_of(args.cluster), say, args.wait)
    say("all is well")


def submit(argv: Sequence[str], parser: argparse.ArgumentParser, say: Callable[[str], None]) -> None:
    """Put a command into the queue: ``dxflow submit [options] reduce RUN ...``."""
    from ..slurm.options import resolve

    parser.epilog = EXAMPLE
    for name, meaning in MEANT.items():
        parser.add_argument(f"--{name}", help=meaning)
    parser.add_argument("--cores", type=int, help="of the job, a number (default: 4)")
    parser.add_argument(
        "--exclusive", action="store_true", default=None, help="a whole node (default: its share)"
    )
    parser.add_argument("--name", help="of the job, in lists")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="of dxflow, or script.py -- ..."
    )
    given = vars(parser.parse_args(argv))
    words, name, site = given.pop("words"), given.pop("name"), given.pop("site")
    job, log = driver.submit(words, resolve(site, given), name)
    say(
        f"job {job} is in the queue; its log: {log}\n'dxflow jobs' shows it, 'dxflow logs {job}', 'dxflow cancel {job}'"
    )


def jobs(argv: Sequence[str], parser: argparse.ArgumentParser, say: Callable[[str], None]) -> None:
    """List jobs."""
    parser.parse_args(argv)
    found = listing.rows()
    say(listing.table(found) if found else "no jobs of dxflow")


def logs(argv: Sequence[str], parser: argparse.ArgumentParser, say: Callable[[str], None]) -> None:
    """Print a log, all of it or what comes."""
    parser.add_argument("job", help="id, as 'dxflow jobs' shows it")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows, until the job ends")
    parser.add_argument("-n", "--lines", type=int, default=200, help="at most (default: %(default)s)")
    args = parser.parse_args(argv)
    log = listing.log_of(args.job)
    if not log:
        known = ", ".join(r.id for r in listing.rows()) if commands.there() else ""
        raise SlurmError(f"there is no log of job {args.job}: has it begun? Jobs: {known or 'none'}")
    text = Path(log).read_text(errors="replace")
    say("\n".join(text.splitlines()[-args.lines :]))
    if args.follow:
        for more in _growing(Path(log), args.job, len(text.encode(errors="replace"))):
            sys.stdout.write(more)
            sys.stdout.flush()


def _growing(log: Path, job: str, position: int) -> Iterator[str]:
    """Yield what is added to a log as long as its job is in the queue."""
    while True:
        ended = not any(
            r.id == job and r.state in ("RUNNING", "PENDING", "COMPLETING") for r in listing.rows()
        )
        with log.open("rb") as f:
            f.seek(position)
            more = f.read()
        position += len(more)
        yield more.decode(errors="replace")
        if ended:
            return
        time.sleep(2)


def cancel(argv: Sequence[str], parser: argparse.ArgumentParser, say: Callable[[str], None]) -> None:
    """Cancel a job, and the jobs of its workers."""
    parser.add_argument("job", help="id or name, as 'dxflow jobs' shows it")
    found = driver.cancel(parser.parse_args(argv).job)
    say(f"cancelled {', '.join(found)}; what is finished is kept, --resume goes on with it")
