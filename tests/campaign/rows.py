"""The rows of the catalogue that tests elsewhere show, and those that nobody can answer."""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from campaign.work import Row

ROOT = Path(__file__).parents[2]

ALL = [
    f"{kind}{n + 1}" for kind, number in (("D", 54), ("R", 25), ("S", 12), ("X", 18)) for n in range(number)
]
"""The rows of the catalogue: faults of data, at run time, of storage, and of security."""

IMPOSSIBLE = {
    "D5": "a bit flip in an uncompressed chunk: the files have no checksum, nothing tells it from data; a file that "
    "changes between planning and reading, while it is read (D42, D43) or before resuming, is found",
    "S12": "icechunk as a store is no fault but a choice: dxflow writes plain Zarr with checksums and one rename",
    "X18": "known faults of dependencies: no list of them can be had where tests run; lower bounds of versions "
    "leave out those that are known (distributed before 2026.1)",
}

# Files of tests; a row names tests in them, or all tests of a file.
TESTS = {
    "attempts": "tests/deaths/test_notes.py",
    "breaks": "tests/copying/test_breaks.py",
    "contents": "tests/stores/test_contents.py",
    "dask": "tests/clusters/test_tasks.py",
    "deaths": "tests/deaths/test_search.py",
    "driver": "tests/commands/test_job.py",
    "execute": "tests/driver/test_execute.py",
    "faults": "tests/worker/test_hooks.py",
    "fragments": "tests/disk/test_fragments.py",
    "gate": "tests/reader/test_gate.py",
    "guard": "tests/slurm/test_guard.py",
    "journal": "tests/driver/test_journal.py",
    "keeper": "tests/slurm/test_keeper.py",
    "local": "tests/clusters/kinds/test_local.py",
    "lock": "tests/disk/test_lock.py",
    "lost": "tests/clusters/test_lost.py",
    "openhdf5": "tests/disk/test_openhdf5.py",
    "options": "tests/slurm/test_options.py",
    "others": "tests/campaign/others.py",
    "ours": "tests/disk/test_ours.py",
    "redact": "tests/errors/test_redact.py",
    "ring": "tests/reader/test_ring.py",
    "security": "tests/test_security.py",
    "sink": "tests/hdf5/test_sink.py",
    "slurm": "tests/clusters/kinds/test_slurm.py",
    "stores": "tests/stores/formats/test_zarr.py",
    "threads": "tests/clusters/test_threads.py",
    "verify": "tests/stores/test_opening.py",
    "watch": "tests/deaths/test_watch.py",
}


NO_SHARED = "test_scratch_folders_of_workers_are_closed_to_others_and_they_share_no_memory"


def shown(text, *tests):
    """Return what a row is, with the tests that show it: ("file", "name of the test") or ("file",)."""
    return text, ["::".join((TESTS[file], *name)) for file, *name in tests]


SHOWN: dict[str, tuple[str, list[str]]] = {
    "D49": shown(
        "a control value is not there",
        ("others", "test_a_control_value_that_is_not_there_is_refused_by_name_or_costs_its_trains"),
    ),
    "D50": shown(
        "a process may open few files",
        ("others", "test_a_run_of_more_files_than_a_process_may_open_is_reduced"),
    ),
    "D54": shown(
        "what is valid of which train and module",
        ("contents", "test_which_modules_were_used_in_which_trains_and_which_integers_are_values"),
    ),
    "R1": shown("a worker is killed", ("execute", "test_a_worker_killed_during_the_run_changes_no_bit")),
    "R2": shown(
        "a train that always kills its worker",
        ("deaths", "test_a_train_that_kills_workers_is_left_out_exactly_and_its_cause_is_said"),
    ),
    "R3": shown(
        "out of memory",
        ("deaths", "test_a_train_that_kills_workers_is_left_out_exactly_and_its_cause_is_said"),
    ),
    "R4": shown("shared memory that counts against workers", ("security", NO_SHARED)),
    "R5": shown("shared memory that others unlink", ("security", NO_SHARED)),
    "R6": shown(
        "the scheduler is killed",
        ("lost", "test_a_cluster_whose_scheduler_is_killed_is_started_again_and_no_chunk_is_done_twice"),
        ("lost", "test_a_users_client_whose_scheduler_is_killed_gives_a_clear_error_and_resuming_goes_on"),
    ),
    "R7": shown(
        "the driver is killed",
        ("execute", "test_resuming_after_a_kill_of_the_driver_computes_only_the_missing_chunks"),
    ),
    "R8": shown("a worker is frozen", ("lost", "test_a_frozen_worker_is_replaced")),
    "R9": shown("no worker comes", ("watch", "test_a_client_without_workers_is_said_with_what_to_do")),
    "R10": shown("a worker is told to end", ("deaths", "test_deaths_that_mean_nothing_change_no_bit")),
    "R11": shown(
        "jobs are preempted again and again",
        ("attempts", "test_an_end_that_is_no_fault_of_the_data_does_not_count"),
        (
            "slurm",
            "test_a_run_survives_jobs_that_are_cancelled_preempted_and_out_of_time_and_a_node_that_restarts",
        ),
    ),
    "R12": shown("a job ends before its chunk", ("options", "test_workers_retire_before_slurm_ends_them")),
    "R13": shown(
        "jobs are not started again",
        ("keeper", "test_there_are_as_many_jobs_as_wanted_and_those_without_tasks_go_first"),
    ),
    "R14": shown(
        "what was scattered is lost",
        ("dask", "test_tasks_carry_numbers_and_names_and_workers_hold_one_workspace_each"),
        ("execute", "test_only_small_things_pass_through_the_client"),
    ),
    "R15": shown(
        "nothing gets done, or a hook never ends",
        ("lost", "test_a_cluster_on_which_nothing_gets_done_is_started_again"),
        ("watch", "test_a_hook_that_never_ends_is_an_error_that_names_it"),
    ),
    "R16": shown("a graph of many tasks", ("others", "test_a_large_run_is_at_most_two_tasks_per_chunk")),
    "R17": shown(
        "the disk of a worker is full",
        (
            "stores",
            "test_a_disk_that_fills_up_while_it_is_written_is_a_named_error_and_the_run_is_resumed",
        ),
    ),
    "R18": shown(
        "a hook raises", ("execute", "test_an_exception_in_a_hook_says_where_and_keeps_the_users_line")
    ),
    "R19": shown(
        "forks while threads read with HDF5",
        ("others", "test_forks_of_a_process_whose_threads_read_with_hdf5_reduce_and_end"),
        ("others", "test_workers_are_started_anew_and_not_forked"),
    ),
    "R20": shown("a reader thread at the end of a process", ("ring",)),
    "R21": shown(
        "HDF5's lock is held", ("others", "test_frames_are_read_while_somebody_else_holds_hdf5s_lock")
    ),
    "R22": shown(
        "a script without its guard",
        ("execute", "test_a_script_without_the_main_guard_gets_one_clear_sentence"),
    ),
    "R23": shown("a slow worker", ("others", "test_a_slow_worker_keeps_only_what_it_has_begun")),
    "R24": shown(
        "the process of a local cluster is killed",
        ("execute", "test_resuming_after_a_kill_of_the_driver_computes_only_the_missing_chunks"),
    ),
    "R25": shown(
        "bits", ("execute", "test_one_and_two_workers_and_this_process_give_the_same_bits"), ("threads",)
    ),
    "S1": shown(
        "killed while it stores",
        ("stores", "test_kill_9_at_any_moment_of_storing_leaves_a_whole_result_or_none"),
    ),
    "S2": shown(
        "a result is damaged", ("verify", "test_a_thousand_of_a_thousand_seeded_damages_are_found_and_named")
    ),
    "S3": shown(
        "two write one shard", ("stores", "test_shards_are_whole_chunks_and_no_two_pieces_share_one")
    ),
    "S4": shown("the writer of an HDF5 file is killed", ("sink",)),
    "S5": shown(
        "the disk is full",
        ("stores", "test_a_full_disk_is_foreseen_by_the_plan"),
        (
            "stores",
            "test_a_disk_that_fills_up_while_it_is_written_is_a_named_error_and_the_run_is_resumed",
        ),
    ),
    "S6": shown(
        "the disk is full, HDF5",
        ("breaks", "test_a_disk_that_gets_full_is_an_error_with_path_need_and_free_space"),
        ("sink",),
    ),
    "S7": shown(
        "too few file numbers",
        ("stores", "test_a_quota_of_files_that_is_used_up_meanwhile_is_a_named_error"),
    ),
    "S8": shown("two write one copy", ("breaks", "test_two_copies_to_one_place_at_once_are_refused")),
    "S9": shown(
        "a file system without locks",
        ("openhdf5",),
        ("lock", "test_without_locks_of_the_file_system_the_note_decides"),
    ),
    "S10": shown("metadata of a store", ("stores", "test_consolidated_and_plain_metadata_agree")),
    "S11": shown("power is lost", ("fragments", "test_data_are_synced_before_the_name_appears")),
    "X1": shown(
        "ports that run code",
        ("local", "test_only_a_client_with_the_clusters_certificate_is_let_in"),
        ("slurm", "test_nobody_else_is_let_in_or_can_read_the_credentials"),
    ),
    "X2": shown("keys on disk", ("slurm", "test_nobody_else_is_let_in_or_can_read_the_credentials")),
    "X3": shown(
        "secrets in scripts of jobs", ("slurm", "test_nobody_else_is_let_in_or_can_read_the_credentials")
    ),
    "X4": shown(
        "the dashboard",
        ("local", "test_workers_have_one_thread_each_and_tell_nobody_by_http"),
        ("local", "test_the_dashboard_is_there_if_asked_for_and_its_risk_is_said"),
    ),
    "X5": shown(
        "code that Dask's configuration loads",
        ("others", "test_no_configuration_of_dask_beside_the_data_or_in_the_working_directory_is_read"),
        ("local", "test_workers_that_die_as_they_start_are_an_error_that_says_why"),
    ),
    "X6": shown("scratch folders", ("security", NO_SHARED)),
    "X7": shown("shared memory that others read", ("security", NO_SHARED)),
    "X9": shown("pickles in a store", ("security", "test_a_result_with_pickles_in_it_is_not_unpickled")),
    "X10": shown(
        "links and storage outside of the run",
        ("gate", "test_nothing_outside_of_a_run_is_read"),
        ("gate", "test_a_control_value_outside_of_a_run_is_not_read"),
    ),
    "X11": shown(
        "decompression bombs",
        ("gate", "test_a_chunk_that_would_fill_the_memory_is_refused_before_it_is_made"),
        ("gate", "test_a_dataset_that_claims_too_many_rows_is_refused"),
    ),
    "X12": shown("YAML", ("options", "test_a_broken_file_of_the_user_is_told")),
    "X13": shown(
        "code beside the data",
        ("security", "test_code_beside_the_data_or_in_the_working_directory_is_not_run"),
    ),
    "X15": shown(
        "permissions of files", ("security", "test_files_get_the_permissions_that_the_user_has_chosen")
    ),
    "X8": shown("pickles", ("fragments", "test_pickles_are_neither_written_nor_read")),
    "X17": shown("secrets in what is written down", ("redact",)),
    "X14": shown("paths that lead elsewhere", ("ours",)),
    "X16": shown("names in shell scripts", ("options", "test_names_are_quoted_in_scripts")),
}
"""Row -> what it is, and the tests that show that it is answered as it must be."""


def outcomes(processes, pattern=lambda row: True):
    """Run the tests of all rows once; yield a `Row` each."""
    wanted = {row: shown for row, shown in SHOWN.items() if pattern(f"{row} {shown[0]}")}
    nodes = sorted({node for _, tests in wanted.values() for node in tests})
    if not nodes:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(processes), "--dist", "worksteal"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", *nodes], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if not report.exists():
            yield Row(
                "tests", "of other rows", "", f"CANNOT RUN: {done.stdout[-500:]}{done.stderr[-500:]}", False
            )
            return
        found = list(ElementTree.parse(report).iter("testcase"))
    for row, (text, tests) in wanted.items():
        yield _row(row, text, [case for node in tests for case in _of(node, found)], tests)


def _of(node, cases):
    """Return the test cases of a node: all parameters of a test, all tests of a file."""
    path, _, name = node.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    return [
        case
        for case in cases
        if case.get("classname", "").endswith(module.removeprefix("tests."))
        and (not name or case.get("name", "").split("[")[0] == name.split("[")[0])
    ]


def _row(row, text, cases, tests):
    bad = [
        c.get("name") for c in cases if any(c.find(x) is not None for x in ("failure", "error", "skipped"))
    ]
    if not cases:
        return Row(row, text, "tests", f"NO SUCH TESTS: {tests}", False)
    if bad:
        return Row(row, text, "tests", f"FAILED: {bad}", False)
    return Row(
        row, text, "tests", "shown by tests", True, seconds=max(float(c.get("time", 0)) for c in cases)
    )
