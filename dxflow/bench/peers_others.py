"""The same work with Dask arrays, pasha and LiberTEM, where they can do it."""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .peers import Share, opened
from .rounds import Cannot, Sample

if TYPE_CHECKING:
    from ..run.bound import BoundInput


def dask_moments(client: Any, share: Share) -> Sample:
    """Make mean, variance and count of each pixel, without NaN, of EXtra-data's Dask arrays.

    Raises
    ------
    Cannot
        Where EXtra-data finds no array to make.
    """
    try:
        import dask.array as da
    except ImportError:
        raise Cannot("dask.array is not installed") from None
    arrays = [opened(share.run)[s, share.key][share.first : share.last].dask_array() for s in share.sources]
    start = perf_counter()
    made = [(da.nanmean(x, axis=0), da.nanvar(x, axis=0), (~da.isnan(x)).sum(axis=0)) for x in arrays]
    client.gather(client.compute(made, sync=False))
    return Sample(perf_counter() - start, sum(x.nbytes for x in arrays))


def pasha_moments(share: Share, workers: int) -> Sample:
    """Make the same with pasha, train by train, per-worker sums; runs in a process that may fork.

    Raises
    ------
    Cannot
        Without pasha.
    """
    try:
        from pasha.context import ProcessContext
    except ImportError:
        raise Cannot("pasha is not installed: dxflow[bench]") from None
    context, (data, shape) = ProcessContext(num_workers=workers), _selected(share)
    state = [context.alloc(shape=(workers, *shape), dtype=t, fill=0) for t in ("i4", "f8", "f8")]
    counted = context.alloc(shape=(workers,), dtype="i8", fill=0)

    def add(worker: int, index: int, train: int, found: dict[str, Any]) -> None:
        count, total, squares = (array[worker] for array in state)
        for module, source in enumerate(share.sources):
            x = found[source][share.key]
            good = ~np.isnan(x)
            clean = np.where(good, x, x.dtype.type(0))
            count[module] += good.sum(axis=0, dtype=np.int32)
            total[module] += clean.sum(axis=0, dtype=np.float64)
            squares[module] += np.einsum("fij,fij->ij", clean, clean, dtype=np.float64)
            counted[worker] += x.nbytes

    start = perf_counter()
    context.map(add, data)
    for array in state:
        array.sum(axis=0)
    return Sample(perf_counter() - start, int(counted.sum()))


def _selected(share: Share) -> tuple[Any, tuple[int, ...]]:
    """Return what pasha maps over, and the shape of a frame of all modules."""
    run = opened(share.run).select([(source, share.key) for source in share.sources])
    data = run.select_trains(np.s_[share.first : share.last])
    return data, (len(share.sources), *data[share.sources[0], share.key].entry_shape)


def libertem_std(files: tuple[tuple[str, str], ...], workers: int) -> Sample:
    """Make sum and variance of each pixel with LiberTEM's StdDev, which has no test for NaN, file by file.

    Parameters
    ----------
    files : tuple of (path, dataset)

    Raises
    ------
    Cannot
        Without LiberTEM.
    """
    context, udf = _libertem(workers)
    loaded = [_loaded(workers, path, name) for path, name in files]
    start = perf_counter()
    for dataset in loaded:
        context.run_udf(dataset=dataset, udf=udf)
    return Sample(perf_counter() - start, sum(int(np.prod(d.shape)) * d.dtype.itemsize for d in loaded))


@cache
def _libertem(workers: int) -> tuple[Any, Any]:
    """Return context and reduction, made once per process."""
    try:
        from libertem.api import Context
        from libertem.udf.stddev import StdDevUDF
    except ImportError:
        raise Cannot("LiberTEM is not installed: dxflow[bench]") from None
    return Context.make_with("dask", cpus=workers), StdDevUDF()


@cache
def _loaded(workers: int, path: str, name: str) -> Any:
    return _libertem(workers)[0].load("hdf5", path=path, ds_path=name, sig_dims=2)


def end(workers: int) -> None:
    """End the processes that LiberTEM started, if it did."""
    if _libertem.cache_info().currsize:
        _libertem(workers)[0].close()


def datasets(bound: BoundInput) -> tuple[tuple[str, str], ...]:
    """Return (file, dataset) of each module and file of an input.

    Raises
    ------
    Cannot
        Where only a part of the files is wanted: LiberTEM takes whole datasets.
    """
    at = bound.location
    used = {(int(f), m) for m in range(len(bound.modules)) for f in np.unique(at.file[m]) if f >= 0}
    if at.roi or at.plane is not None or not np.all(bound.index.entry >= 0):
        raise Cannot("LiberTEM takes whole datasets, not some frames or pixels of them")
    return tuple((at.files[f], at.datasets[m]) for f, m in sorted(used))
