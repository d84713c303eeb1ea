"""Every source file has the test file of its name, or says in one table which tests try it and why it has none."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"dxflow": "tests", "algorithms": "tests/algorithms", "recipes": "tests/recipes"}
ELSEWHERE = (
    # source files, the tests that try them, why these and none of their own
    (
        "dxflow/api.py",
        "driver/test_execute.py planning/test_make.py",
        "it hands on: names become objects, a plan is made and runs",
    ),
    (
        "dxflow/bench/advice.py dxflow/bench/crew.py dxflow/bench/floor.py "
        "dxflow/bench/machine.py dxflow/bench/peers.py "
        "dxflow/bench/peers_others.py dxflow/bench/said.py "
        "dxflow/bench/subject.py dxflow/bench/table.py dxflow/bench/tasks.py "
        "dxflow/commands/bench.py",
        "bench/test_scripts.py bench/test_command.py bench/test_load.py",
        "parts of scripts and of `dxflow bench`, which run as a whole at a small size",
    ),
    (
        "dxflow/clusters/named.py dxflow/clusters/patience.py dxflow/clusters/runner.py",
        "clusters/kinds/test_local.py clusters/test_lost.py clusters/test_here.py clusters/test_tasks.py",
        "what they do shows in runs on a cluster",
    ),
    (
        "dxflow/commands/arguments.py dxflow/commands/describe.py dxflow/commands/slurm.py dxflow/line/exits.py "
        "dxflow/errors/usage.py",
        "commands/test_main.py commands/test_job.py clusters/kinds/test_slurm.py line/test_options.py",
        "tried as users meet them: by lines that are typed",
    ),
    (
        "dxflow/declare/bunches.py dxflow/run/timing.py dxflow/run/runvalues.py",
        "declare/test_exposures.py declare/test_pulses.py algorithms/test_litfrm.py",
        "what a run says of its pulses and frames shows in what becomes of them",
    ),
    (
        "dxflow/analysis/beam.py dxflow/analysis/flags.py dxflow/analysis/passing.py dxflow/analysis/pyconfig.py "
        "dxflow/analysis/template.py",
        "analysis/test_making.py analysis/test_joining.py analysis/test_config.py commands/test_table.py",
        "parts of tables and of their configurations, tried as users meet them",
    ),
    (
        "dxflow/live/blocks.py dxflow/live/collecting.py dxflow/live/layout.py dxflow/live/sending.py "
        "dxflow/live/shares.py",
        "live/test_publish.py live/test_feed.py",
        "the two ends of feedback, tried with a real server between them",
    ),
    (
        "dxflow/handover/asarrays.py dxflow/handover/asrows.py dxflow/handover/needed.py dxflow/handover/parts.py "
        "dxflow/handover/spelled.py",
        "handover/test_exporting.py commands/test_export.py",
        "parts of an export: right when other programs read what there was",
    ),
    ("dxflow/handover/cells.py", "handover/test_damnit.py", "what is in a cell is what DAMNIT reads of it"),
    ("dxflow/analysis/cxifile.py", "analysis/test_ptycho.py", "what is in the file is read as programs do"),
    (
        "dxflow/watch/answers.py dxflow/watch/asking.py dxflow/watch/attempt.py dxflow/watch/reading.py "
        "dxflow/watch/seeing.py dxflow/watch/sight.py dxflow/watch/template.py dxflow/watch/times.py "
        "dxflow/watch/work.py dxflow/commands/runs.py",
        "watch/test_loop.py watch/test_eyes.py watch/test_orders.py watch/test_filling.py commands/test_watch.py",
        "parts of one watcher, which is tried with processes that are killed",
    ),
    ("dxflow/commands/copy.py", "copying/test_command.py", "beside the other tests of copies"),
    (
        "dxflow/copying/bytewise.py dxflow/copying/choice.py dxflow/copying/estimate.py dxflow/copying/frames.py "
        "dxflow/copying/notes.py dxflow/copying/objects.py dxflow/copying/plan.py dxflow/copying/record.py "
        "dxflow/copying/sections.py dxflow/copying/tasks.py",
        "copying/test_copy.py copying/test_cut.py copying/test_rows.py",
        "steps of one copy: right when what was copied is what EXtra-data and h5py read of the original",
    ),
    (
        "dxflow/copying/folder.py dxflow/copying/hands.py",
        "copying/test_breaks.py copying/test_copy.py",
        "they matter where a copy is interrupted or fails",
    ),
    (
        "dxflow/commands/varied.py dxflow/planning/variants.py dxflow/run/variants.py",
        "declare/test_variants.py stores/test_variants.py",
        "one thing, from the list of values to the axis in the result",
    ),
    (
        "dxflow/analysis/evaluating.py dxflow/analysis/links.py",
        "analysis/test_values.py analysis/test_selections.py",
        "what expressions give shows in values and selections",
    ),
    (
        "dxflow/analysis/grid.py dxflow/analysis/moments.py dxflow/analysis/quantities.py dxflow/analysis/sums.py "
        "dxflow/analysis/counted.py dxflow/analysis/specs.py dxflow/analysis/variables.py",
        "analysis/test_bins.py analysis/test_cubes.py campaign/cubes.py",
        "parts of a cube, which is compared with loops over rows",
    ),
    (
        "dxflow/live/folder.py dxflow/live/observers.py dxflow/live/state.py dxflow/run/part.py",
        "live/test_following.py",
        "what they do shows in a run that is followed from its first file to its end",
    ),
    ("dxflow/declare/narrowed.py", "run/test_regions.py", "beside the regions that it narrows frames to"),
    (
        "dxflow/codecs/kernels.py dxflow/codecs/rounding.py dxflow/codecs/samples.py "
        "dxflow/copying/coded.py dxflow/copying/warm.py",
        "codecs/test_frames.py codecs/test_trial.py algorithms/test_rounding.py copying/test_coding.py",
        "one path: frames are rounded, stored and compared",
    ),
    (
        "dxflow/declare/fitting.py dxflow/declare/kinds.py dxflow/declare/lack.py dxflow/declare/signatures.py",
        "declare/test_algorithm.py declare/test_inputs.py declare/test_outputs.py driver/test_report.py",
        "checks of declarations, tried through what is declared",
    ),
    (
        "dxflow/disk/manifest.py dxflow/stores/problems.py",
        "stores/test_opening.py disk/test_ours.py",
        "a thousand damages of results of every format are found by them",
    ),
    (
        "dxflow/disk/marks.py dxflow/disk/process.py dxflow/disk/terminated.py",
        "disk/test_ours.py hdf5/test_sink.py clusters/kinds/test_local.py",
        "tried by processes that start, are asked to end, and die",
    ),
    ("dxflow/driver/copied.py", "driver/test_result.py", "a result whose folder is copied or goes"),
    (
        "dxflow/hdf5/child.py dxflow/hdf5/content.py dxflow/hdf5/errors.py dxflow/hdf5/wire.py",
        "hdf5/test_sink.py hdf5/test_process.py copying/test_breaks.py stores/formats/test_exdf.py",
        "two ends of one protocol, tried from the end that asks",
    ),
    (
        "dxflow/planning/binding.py dxflow/planning/bound.py dxflow/planning/destination.py dxflow/planning/hints.py "
        "dxflow/planning/lacks.py dxflow/planning/plan.py dxflow/planning/sight.py dxflow/planning/steps.py "
        "dxflow/planning/stages.py",
        "planning/test_make.py planning/test_memory.py planning/test_explain.py planning/test_public.py "
        "worker/test_presence.py test_unread.py",
        "parts of one plan, whose contents and refusals are tried",
    ),
    (
        "dxflow/declare/spelled.py dxflow/planning/asked.py",
        "line/test_config.py",
        "what is spelled is right when it makes the same plan again",
    ),
    (
        "dxflow/planning/digests.py dxflow/planning/diskdigests.py dxflow/planning/factwords.py "
        "dxflow/planning/places.py dxflow/planning/same.py",
        "planning/test_fingerprint.py driver/test_journal.py",
        "all that they find is in a fingerprint, and decides what may be resumed",
    ),
    (
        "dxflow/declare/labelled.py dxflow/run/whole.py dxflow/planning/selecting.py",
        "declare/test_labels.py planning/test_where.py",
        "what is made of values with ids shows in labels, and in what is selected by them",
    ),
    ("dxflow/planning/units.py", "planning/test_cutting.py test_company.py", "a cut is whole units"),
    ("dxflow/planning/walking.py", "planning/test_walks.py", "which of the walks a plan takes"),
    ("dxflow/planning/words.py", "driver/test_words.py", "one file for what plans and reports say"),
    (
        "dxflow/reader/faults.py dxflow/reader/kernels.py dxflow/reader/opened.py dxflow/reader/ways.py "
        "dxflow/reader/stretches.py "
        "dxflow/run/ahead.py dxflow/run/extents.py dxflow/run/fileindex.py",
        "reader/test_exactness.py reader/test_extents.py reader/test_decode.py reader/test_files.py "
        "reader/test_gate.py",
        "right when the bits that are read are those of EXtra-data and h5py, and faults are named",
    ),
    (
        "dxflow/run/answers.py dxflow/run/bound.py dxflow/run/file.py dxflow/run/findings.py dxflow/run/frameids.py "
        "dxflow/run/gaps.py dxflow/run/info.py dxflow/run/locate.py",
        "run/test_open.py run/test_index.py run/test_losses.py run/test_selection.py declare/test_inputs.py",
        "what a run holds is tried on whole runs, healthy and faulty",
    ),
    (
        "dxflow/run/badpixels.py",
        "run/test_masks.py worker/test_masks.py",
        "pixels are bad by a mask of the run",
    ),
    (
        "dxflow/run/detectors/agipd.py dxflow/run/detectors/dssc.py dxflow/run/detectors/jungfrau.py "
        "dxflow/run/detectors/lpd.py",
        "run/detectors/test_detectors.py declare/test_inputs.py",
        "a few facts each, compared with EXtra-data's in one test of all detectors",
    ),
    (
        "dxflow/slurm/commands.py dxflow/slurm/diagnose.py dxflow/slurm/head.py dxflow/slurm/jobqueue.py "
        "dxflow/slurm/jobs.py dxflow/slurm/private.py",
        "slurm/test_keeper.py slurm/test_listing.py slurm/test_options.py clusters/kinds/test_slurm.py "
        "commands/test_check.py",
        "tried with a real Slurm, where they work together",
    ),
    (
        "dxflow/analysis/netcdf.py",
        "analysis/test_saved.py",
        "a dataset is read the same from each format",
    ),
    (
        "dxflow/analysis/addition.py dxflow/analysis/aligned.py dxflow/analysis/beside.py",
        "analysis/test_added.py",
        "how variables are added, and kept, shows in those that are",
    ),
    (
        "dxflow/stores/lazy.py",
        "stores/test_variants.py analysis/test_runs.py analysis/test_results.py",
        "arrays that are made of others show in datasets whose variables they are",
    ),
    (
        "dxflow/stores/axes.py dxflow/stores/labels.py dxflow/stores/named.py dxflow/stores/store.py "
        "dxflow/stores/variables.py dxflow/stores/exdf/reduced.py",
        "stores/test_round_trips.py stores/test_names.py stores/test_contents.py stores/test_publish.py "
        "stores/formats/test_exdf.py stores/formats/test_netcdf.py",
        "shared by the formats, each of which is read back by the programs it is for",
    ),
    (
        "dxflow/stores/shards/reading.py dxflow/stores/shards/shard.py dxflow/stores/shards/sharding.py",
        "stores/formats/test_zarr.py",
        "shards are right when zarr reads them",
    ),
    (
        "dxflow/testing/algorithm.py dxflow/testing/case.py dxflow/testing/input.py dxflow/testing/store.py",
        "test_testing.py",
        "one file for all checks: each passes what is right and tells what is wrong",
    ),
    ("dxflow/worker/alone.py", "deaths/test_search.py", "beside the other deaths of workers"),
    (
        "dxflow/worker/account.py dxflow/worker/merging.py dxflow/worker/shares.py "
        "dxflow/worker/summary.py dxflow/worker/totals.py dxflow/worker/views.py",
        "worker/test_chunk.py worker/test_work.py worker/test_presence.py driver/test_report.py test_company.py",
        "parts of one pass, whose results are compared with numpy however it is cut",
    ),
    (
        "algorithms/_average_kernels.py algorithms/_azint_kernels.py algorithms/_azint_tables.py "
        "algorithms/_azint_layers.py "
        "algorithms/_frame_kernels.py "
        "algorithms/_peaks_kernels.py algorithms/_peaks_tables.py algorithms/_peaks_background.py "
        "algorithms/_photon_kernels.py algorithms/_spectrum_kernels.py algorithms/_timetool_kernels.py "
        "algorithms/_waveform_kernels.py "
        "algorithms/_region_kernels.py algorithms/_rois.py algorithms/_histogram_kernels.py "
        "algorithms/_imagecube_kernels.py "
        "algorithms/_sums_kernels.py algorithms/_assemble_kernels.py algorithms/_sparsify_kernels.py "
        "algorithms/_subtract_kernels.py",
        "algorithms/test_average.py algorithms/test_azint.py algorithms/test_litframes.py algorithms/test_peaks.py "
        "algorithms/test_droplets.py algorithms/test_roi.py algorithms/test_spectrum.py algorithms/test_subtract.py",
        "beside the algorithm that calls them",
    ),
    (
        "algorithms/_raw.py algorithms/_constants.py algorithms/_constants_given.py "
        "algorithms/_calibrate_kernels.py algorithms/_common_kernels.py "
        "algorithms/_dark_kernels.py algorithms/_dark_light.py",
        "algorithms/test_calibrate.py algorithms/test_dark.py",
        "how raw frames are read shows in what is made of them",
    ),
    (
        "algorithms/_blas.py algorithms/_products.py algorithms/_regions.py algorithms/_twotime_kernels.py "
        "algorithms/_contrast_kernels.py algorithms/_likelihood.py",
        "algorithms/test_twotime.py algorithms/test_contrast.py",
        "what correlations and contrasts have in common, beside the first of them",
    ),
    (
        "algorithms/_signal_kernels.py algorithms/_signal_regions.py algorithms/_signal_statistics.py",
        "algorithms/test_signal.py",
        "parts of one algorithm, whose marks are compared with what was planted",
    ),
    (
        "dxflow/analysis/plots/bars.py dxflow/analysis/plots/lines.py dxflow/analysis/plots/plotted.py "
        "dxflow/analysis/plots/points.py dxflow/analysis/plots/series.py "
        "dxflow/analysis/plots/samples.py dxflow/analysis/plots/parts.py "
        "dxflow/analysis/plots/images.py dxflow/analysis/plots/drawing.py",
        "analysis/plots/test_kinds.py",
        "the kinds of pictures, tried by what each is chosen for",
    ),
    (
        "dxflow/analysis/plots/correlations.py",
        "analysis/test_plotting.py",
        "beside the other plots of tables",
    ),
    (
        "dxflow/red/finishing.py dxflow/red/folder.py dxflow/red/planning.py dxflow/red/source.py "
        "dxflow/red/following.py dxflow/red/readme.py dxflow/commands/red.py",
        "red/test_making.py",
        "parts of making a volume, tried as users meet them: by lines that are typed",
    ),
    (
        "dxflow/red/checking.py dxflow/red/citing.py",
        "red/test_crate.py red/test_verifying.py",
        "what a volume says of itself to programs, and how that is checked",
    ),
    (
        "dxflow/red/facts.py dxflow/red/template.py",
        "red/test_asked.py",
        "what is in the file, and a file to begin with",
    ),
    ("dxflow/analysis/placed.py", "analysis/test_images.py", "it says where images go"),
    ("dxflow/commands/show.py", "analysis/test_show.py", "tried as users meet it: by lines that are typed"),
    ("dxflow/commands/report.py", "pages/test_report.py", "tried as users meet it: by lines that are typed"),
    ("dxflow/pages/drawn.py", "pages/test_figures.py", "a figure is a picture that is drawn"),
    (
        "dxflow/html/bars.py dxflow/html/page.py",
        "pages/test_sections.py pages/test_report.py pages/test_looks.py",
        "parts of pages, seen in pages",
    ),
    ("recipes/_xpcs_plot.py", "recipes/test_xpcs.py", "the plot that the recipe draws"),
    ("recipes/_pumpprobe_plot.py", "recipes/test_pumpprobe.py", "the plot that the recipe draws"),
    ("recipes/_spectroscopy_plot.py", "recipes/test_spectroscopy.py", "the plot that the recipe draws"),
    ("recipes/_dark_plot.py", "recipes/test_dark.py", "the plot that the recipe draws"),
    ("recipes/_saxs_plot.py", "recipes/test_saxs.py", "the plot that the recipe draws"),
    ("recipes/_reduce_raw_plot.py", "recipes/test_reduce_raw.py", "the plot that the recipe draws"),
    ("recipes/_spi_plot.py", "recipes/test_spi.py", "the plot that the recipe draws"),
    (
        "recipes/_sfx_files.py recipes/_sfx_plot.py",
        "recipes/test_sfx.py",
        "what the recipe writes, and the plot that it draws",
    ),
)
"""What has no test file of its own: a row is short because tests of behaviour belong to what users do, not to files."""


def sources():
    """Yield each source file, and where its test file would be."""
    for folder, tests in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.startswith("__"):
                place = path.relative_to(ROOT / folder)
                yield (
                    str(path.relative_to(ROOT)),
                    ROOT / tests / place.parent / f"test_{place.name.lstrip('_')}",
                )


def test_every_source_file_has_its_test_file_or_is_in_the_table():
    without = {source for source, test in sources() if not test.exists()}
    listed = [source for row in ELSEWHERE for source in row[0].split()]
    assert len(listed) == len(set(listed))
    assert without - set(listed) == set(), (
        "write test_<name>.py, or say in ELSEWHERE which tests try it, and why"
    )
    assert set(listed) - without == set(), "these have a test file now, or are gone: out of the table"


def test_the_tests_of_the_table_are_there_and_each_has_its_reason():
    for _, tests, reason in ELSEWHERE:
        assert reason
        assert [name for name in tests.split() if not (ROOT / "tests" / name).exists()] == []
