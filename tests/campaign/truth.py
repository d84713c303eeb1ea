"""What is in the files of a run, by h5py alone, and whether a result holds just that."""

import json
import re
import zlib
from pathlib import Path

import h5py
import numpy as np


def module_number(source):
    """Return the module number in the name of a detector's source, None for other sources."""
    found = re.search(r"/(\d+)CH0", source) or re.search(r"JNGFR(\d+)", source)
    return int(found[1]) if found else None


def truth(run, plane=0):
    """Return {(module, train, pulse): frame} of a pristine run; pulses of JUNGFRAU are positions in the train."""
    out = {}
    for path in sorted(Path(run).glob("*.h5")):
        with h5py.File(path) as file:
            for source in _detector_sources(file):
                out |= _frames(file, source, plane)
    return out


def _detector_sources(file):
    """Return the sources of detector modules, links to old names left out."""
    found = []
    for domain in file.get("INSTRUMENT", {}):
        for kind in file["INSTRUMENT"][domain]:
            if isinstance(file["INSTRUMENT"][domain].get(kind, getlink=True), h5py.SoftLink):
                continue
            for member in file["INSTRUMENT"][domain][kind]:
                link = file["INSTRUMENT"][domain][kind].get(member, getlink=True)
                source = f"{domain}/{kind}/{member}"
                if module_number(source) is not None and not isinstance(link, h5py.SoftLink):
                    found.append(source)
    return found


def _frames(file, source, plane):
    group, key = ("image", "data") if "image" in file["INSTRUMENT"][source] else ("data", "adc")
    at = file[f"INSTRUMENT/{source}/{group}"]
    if key not in at:
        return {}
    data, index = at[key][()], file[f"INDEX/{source}/{group}"]
    spans = zip(file["INDEX/trainId"][()], index["first"][()], index["count"][()], strict=True)
    number, out = module_number(source), {}
    if key == "adc":
        data = data[:, None] if data.ndim == 3 else data
        for train, first, count in spans:
            cells = data[int(first) : int(first + count)].reshape(-1, *data.shape[2:])
            out |= {(number, int(train), k): frame for k, frame in enumerate(cells)}
        return out
    data = data[:, plane] if data.ndim == 4 else data
    pulses = at["pulseId"][()].ravel()
    for train, first, count in spans:
        for row in range(int(first), int(first + count)):
            out[number, int(train), int(pulses[row])] = data[row]
    return out


def checksum(frame):
    # Numbers are the same in any order of their bytes.
    return zlib.crc32(np.ascontiguousarray(frame, frame.dtype.newbyteorder("=")).tobytes())


def compare(path, frames, pulses=True):
    """Compare a result of average, litframes and `finger.Finger` with the truth; return what is not as it should be.

    The account must add up, every frame that was delivered must be the one of the files, the numbers those of numpy
    over the frames that were delivered, and every frame that was not must be in a row of the losses.
    """
    import dxflow

    result = dxflow.open(path)
    dataset = result.dataset.load()
    losses = json.loads(result.losses.to_json(orient="records"))
    got = _delivered(dataset, frames, pulses)
    missing = sorted(set(frames) - set(got["keys"]))
    out = {"exact": got["exact"], "missing": len(missing), "losses": losses}
    out["wrong"] = [*got["wrong"], *_numbers(dataset, frames, got["keys"])]
    out["unnamed"] = [key for key in missing if not any(_names(loss, *key) for loss in losses)][:3]
    out["account"] = [
        row
        for row in result.manifest["account"]
        if row["expected"] != row["used"] + sum(row["masked"].values())
        or min([row["used"], *row["masked"].values()]) < 0
    ]
    return out


def _modules(dataset, frames):
    if "module" in dataset.coords:
        return [int(m) for m in dataset.coords["module"].values]
    return sorted({module for module, _, _ in frames})


def _delivered(dataset, frames, pulses):
    """Return which frames came out, and those that are not in the files or are others there."""
    crcs, there = dataset["finger.crc"].values, dataset["finger.ok"].values
    labels, modules = _labels(dataset["finger.crc"], pulses), _modules(dataset, frames)
    out = {"exact": 0, "wrong": [], "keys": {}}
    for row, (train, pulse) in enumerate(labels):
        for column, module in enumerate(modules):
            if not there[row, column]:
                continue
            key = (module, train, pulse)
            out["keys"][key] = row
            if key not in frames:
                out["wrong"].append(f"frame {key} is not in the files")
            elif int(crcs[row, column]) != checksum(frames[key]):
                out["wrong"].append(f"frame {key} is not that of the files")
            else:
                out["exact"] += 1
    return out


def _labels(array, pulses):
    """Return (train, pulse) of each row; positions in the train where there are no pulse ids to compare."""
    trains = [int(t) for t in array.coords["train_id"].values]
    if pulses and "pulse_id" in array.coords:
        return list(zip(trains, (int(p) for p in array.coords["pulse_id"].values), strict=True))
    seen: dict[int, int] = {}
    out = []
    for train in trains:
        seen[train] = seen.get(train, -1) + 1
        out.append((train, seen[train]))
    return out


def _numbers(dataset, frames, keys):
    """Return what average and litframes got wrong over the frames that were delivered."""
    if not keys or any(key not in frames for key in keys):
        return []
    wrong = []
    for position, module in enumerate(_modules(dataset, frames)):
        own = [frames[key] for key in sorted(keys) if key[0] == module]
        wrong += _average(dataset, position, module, own)
    return wrong + _intensities(dataset, frames, keys)


def _average(dataset, position, module, own):
    mean, variance, count = (dataset[f"average.{n}"].values[position] for n in ("mean", "variance", "count"))
    if not own:
        empty = not count.any() and np.isnan(mean).all()
        return [] if empty else [f"average of module {module} is not empty"]
    stack = np.stack(own).astype("f8")
    good = ~np.isnan(stack)
    n = good.sum(axis=0)
    with np.errstate(all="ignore"):
        expected = np.where(good, stack, 0).sum(axis=0) / n
        spread = np.where(good, (stack - expected) ** 2, 0).sum(axis=0) / (n - 1)
    wrong = [] if np.array_equal(count, n) else [f"count of module {module}"]
    finite, several = np.isfinite(expected), np.isfinite(expected) & (n > 1)
    if not np.allclose(mean[finite], expected[finite], rtol=1e-10, atol=1e-9):
        wrong.append(f"mean of module {module}")
    if not np.allclose(variance[several], spread[several], rtol=1e-6, atol=1e-9):
        wrong.append(f"variance of module {module}")
    return wrong


def _intensities(dataset, frames, keys):
    rows: dict[int, float] = {}
    for key, row in keys.items():
        rows[row] = rows.get(row, 0.0) + float(np.nansum(frames[key].astype("f8")))
    found = dataset["litframes.intensity"].values
    off = [
        row
        for row, expected in rows.items()
        if not np.isclose(found[row], expected, rtol=1e-5, equal_nan=True)
    ]
    return [f"litframes.intensity of rows {off[:3]}"] if off else []


def _names(loss, module, train, _pulse):
    """Return whether a row of the losses speaks of a frame."""
    if loss["module"] not in (module, -1):
        return False
    of_source = module_number(loss["source"] or "")
    if loss["module"] == -1 and of_source not in (module, None):
        return False
    everything = not loss["trains"] or not (loss["first_train"] or loss["last_train"])
    return everything or loss["first_train"] <= train <= loss["last_train"]
