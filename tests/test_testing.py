"""The checks notice what they are there for: each of these algorithms and stores breaks one promise."""

import numpy as np
import pytest
import samples
from samples import RoiSum, Stats, TrainSums, scaled

from dxflow import Algorithm, Frames, Output
from dxflow.reader.ring import PAGE
from dxflow.stores.formats.zarr import Zarr
from dxflow.testing import CheckFailed, check_algorithm, check_input, check_store, make_run


@pytest.mark.parametrize(
    "factory",
    [RoiSum, Stats, TrainSums, lambda: scaled(TrainSums()), lambda: scaled(Stats(), samples.ScaleTrains)],
    ids=["blocks", "pixels", "trains", "chain", "chain of trains"],
)
def test_algorithms_that_keep_their_promises_pass(gappy, factory):
    result = check_algorithm(factory, gappy.path)
    assert len(result.dataset.data_vars) > 0


class Counts(Algorithm):
    """Keeps all promises; each class below breaks one."""

    ALG_ID = "counts"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"n": Output(per="run"), "per": Output(per="img")}

    def process_module_data(self, block, out):
        out.n += len(block)
        out.per += 1


class DependsOnChunks(Counts):
    def finalize_chunk_processing(self, out):
        out.n += 1


class DependsOnBlocks(Counts):
    def process_module_data(self, block, out):
        out.n += 1


class DependsOnTrains(Counts):
    def process_module_data(self, block, out):
        out.n += len(np.unique(block.train_ids)) ** 2


class ChangesInput(Counts):
    def process_module_data(self, block, out):
        block["img"][:] = 0
        super().process_module_data(block, out)


class ChangesSelf(Counts):
    def process_module_data(self, block, out):
        self.seen = getattr(self, "seen", 0) + 1
        super().process_module_data(block, out)


class SharesState(Counts):
    def configure(self, args):
        self.tables = {}

    def initialize(self, info):
        self.tables["made"] = True


class CannotBePickled(Counts):
    def configure(self, args):
        self.open = (n for n in ())


class ImpureOutputs(Counts):
    def outputs(self, info):
        self.asked = True
        return super().outputs(info)


class ForgetfulOutputs(Counts):
    def outputs(self, info):
        return {
            "n": Output(per="run", doc=str(id(object())) + str(np.random.default_rng().random())),
            "per": Output(per="img"),
        }


class MergesTwice(Counts):
    def merge(self, into, other):
        into.n += 2 * other.n


class PerTrain(Counts):
    """Adds to one number of a train, as do all blocks of all modules."""

    def outputs(self, info):
        return super().outputs(info) | {"per": Output(per="train")}


class KeepsOneModule(PerTrain):
    def process_module_data(self, block, out):
        out.n += len(block)
        out.per[...] = block.module + 1


class CountsBlocksOfModules(PerTrain):
    """Right in any order of modules, but what a module leaves depends on those before it."""

    def process_module_data(self, block, out):
        out.n += len(block)
        first = block.pulse_ids[0] == 0
        out.per += first * (1 + 1e6 * (out.per != 0))


class KeepsArray(Counts):
    """Adds to an array of self, which is no new attribute."""

    def initialize(self, info):
        self.seen = np.zeros(1)

    def process_module_data(self, block, out):
        self.seen += len(block)
        super().process_module_data(block, out)


class ReadsStale(Counts):
    """Looks at the memory behind its block."""

    def process_module_data(self, block, out):
        whole = block["img"].base
        while whole.base is not None:
            whole = whole.base
        # The buffer begins at the first page of it.
        stale = whole[-whole.ctypes.data % PAGE :][: whole.nbytes - PAGE]
        out.n += int(stale[-1])
        out.per += 1


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (DependsOnChunks, "chunks of 1 trains: counts.n differs"),
        (DependsOnBlocks, "counts.n differs"),
        (DependsOnTrains, "counts.n differs"),
        (ChangesInput, r"counts.process_module_data\(\) changed its input 'img'"),
        (ChangesSelf, r"counts.process_module_data\(\) changed self: \['seen'\]"),
        (KeepsArray, r"counts.process_module_data\(\) changed self: \['seen'\]"),
        (KeepsOneModule, "modules in reverse order: counts.per differs"),
        (CountsBlocksOfModules, "counts.per is not that of half of the modules"),
        (SharesState, r"a run changed \['tables'\] of the client's object"),
        (ImpureOutputs, r"counts.outputs\(\) changed self"),
        (ForgetfulOutputs, r"said something else when asked again"),
        (MergesTwice, "counts.n"),
        (ReadsStale, "buffers full of 0x"),
    ],
)
def test_an_algorithm_that_breaks_a_promise_is_told_which(tiny, broken, says):
    with pytest.raises(CheckFailed, match=says):
        check_algorithm(broken, tiny.path)


def test_an_algorithm_that_cannot_be_pickled_is_noticed(tiny):
    with pytest.raises(TypeError, match="pickle"):
        check_algorithm(CannotBePickled, tiny.path)


class OverLimit(Algorithm):
    """Pixels over a limit, from blocks of several modules: those of a frame come in the order of modules."""

    inputs = {"img": Frames("image.data", mask=None)}

    def outputs(self, info):
        return {"pixels": Output(per="event", shape=(3,))}

    def process_module_data(self, block, out):
        frames, rows, columns = np.nonzero(block["img"] > 5)
        found = np.stack([rows, columns, block["img"][frames, rows, columns]], axis=-1)
        out.pixels.append(found, frames=frames)


def test_events_of_several_modules_pass(tiny):
    events = check_algorithm(OverLimit, tiny.path).dataset["overlimit.pixels"]
    assert len(events) > 20


def test_a_tolerance_is_allowed_where_it_is_given(tiny):
    class Noisy(Counts):
        def finalize_chunk_processing(self, out):
            out.n += 1e-3

    with pytest.raises(CheckFailed, match="differs: 1 of 1 values"):
        check_algorithm(Noisy, tiny.path)
    check_algorithm(Noisy, tiny.path, rtol=1e-4)


def test_an_input_that_mixes_up_frames_is_noticed(gappy, monkeypatch):
    from dxflow.run import frameids

    real = frameids.align

    def shifted(*args):
        from dataclasses import replace

        index = real(*args)
        return replace(index, entry=np.roll(index.entry, 1, axis=1))

    monkeypatch.setattr(frameids, "align", shifted)
    with pytest.raises(CheckFailed):
        check_input(Frames(), gappy.path)


class NoChecksum(Zarr):
    """Coordinates without the checksum that zarr looks at."""

    def create(self, contents):
        from unittest import mock

        from dxflow.stores.shards import metadata

        real = metadata.array, metadata.encoded

        def array(*args, **options):
            made = real[0](*args, **options)
            made["codecs"] = [one for one in made["codecs"] if one["name"] != "crc32c"]
            return made

        with (
            mock.patch.object(metadata, "array", array),
            mock.patch.object(metadata, "encoded", lambda *args: real[1](*args)[:-4]),
        ):
            return super().create(contents)


class WritesInPlace(Zarr):
    @property
    def _root(self):
        return self.path

    def create(self, contents):
        # Notes of shards are there.
        pieces = super().create(contents)
        self.work.mkdir(parents=True)
        return pieces

    def commit(self, contents, manifest):
        pass


class Overwrites(Zarr):
    def check(self, plan):
        pass


class Rounds(Zarr):
    def write(self, contents, piece):
        if piece[0] != "every.event":
            super().write(contents, piece)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (WritesInPlace, r"appeared before commit\(\)"),
        (Overwrites, "exists and was not refused"),
        (Rounds, "the output per event came back different"),
    ],
)
def test_a_store_that_breaks_a_promise_is_told_which(broken, says):
    with pytest.raises(CheckFailed, match=says):
        check_store(broken, "result.zarr")


def test_damage_of_a_store_without_checksums_is_noticed_by_the_manifest():
    check_store(NoChecksum, "result.zarr")


def test_make_run_is_there_for_users_tests(tmp_path):
    assert make_run(tmp_path, trains=2, pulses=2, module_shape=(8, 8)).train_ids.tolist() == [10001, 10002]
