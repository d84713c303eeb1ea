"""Small-data files of LCLS as smalldata_tools and psana write them, by h5py alone, with what they must be read as."""

import h5py
import numpy as np

MISSING = -99999
START = {"lcls1": 1_500_000_000, "lcls2": 976_673_000}


def truth(events=60, seed=0):
    """Return values of events in order of time: floats, integers with gaps, and how many hits each has."""
    rng = np.random.default_rng(seed)
    number = np.arange(events)
    code = rng.integers(0, 200, events)
    return {
        "number": number,
        "sum": np.where(number % 11 == 3, np.nan, rng.normal(1, 0.2, events)),
        "code": code,
        "code_there": number % 7 != 2,
        "xray": number % 5 != 0,
        "laser": number % 2 == 0,
        "spectrum": rng.normal(size=(events, 6)).astype("f4"),
        "hits": number % 3,
        "delay": (number // 20) * 0.5,
    }


def stamps(layout, events, seconds=0):
    """Return timestamps of events at 120 Hz."""
    ns = np.arange(events, dtype=np.uint64) * np.uint64(8_333_333)
    whole = np.uint64(START[layout] + seconds) + ns // np.uint64(10**9)
    return (whole << np.uint64(32)) | (ns % np.uint64(10**9))


def write(path, layout="lcls2", events=60, seed=0, seconds=0, order=None):
    """Write such a file; return what is in it, in order of time.

    Parameters
    ----------
    order : ndarray, optional
        Which event is in which row.
    """
    known = truth(events, seed) | {"stamps": stamps(layout, events, seconds)}
    known["fiducials"] = 360 + 3 * known["number"]
    o = np.arange(events) if order is None else order
    with h5py.File(path, "w") as f:
        if layout == "lcls1":
            f["event_time"] = known["stamps"][o].astype("i8")
            f["fiducials"] = known["fiducials"][o].astype("i4")
        else:
            f["timestamp"] = known["stamps"][o]
        f["ipm2/sum"] = known["sum"][o]
        f["evr/code_90"] = np.where(known["code_there"], known["code"], MISSING)[o]
        f["lightStatus/xray"] = known["xray"][o].astype("i8")
        f["lightStatus/laser"] = np.where(known["number"] == 4, MISSING, known["laser"])[o]
        f["epix/spectrum"] = known["spectrum"][o]
        f["scan/lxt"] = known["delay"][o]
        f["damage/epix"] = np.ones(events, "i4")
        f["epicsUser/state"] = np.array([b"MOVING", b"ON"])[known["number"][o] % 2]
        f["Sums/epix_calib"] = np.arange(12.0).reshape(3, 4)
        f["UserDataCfg/epix/ped"] = np.ones((events, 2))
        f["UserDataCfg/epix/name"] = "epix_1"
        f["epicsOnce/photon_energy"] = 9.5
        f["epix/var_drop_len"] = known["hits"][o]
        f["epix/var_drop/adu"] = np.repeat(10.0 * known["number"][o], known["hits"][o])
        ragged = f.create_dataset("epix/ragged_phot", (events,), dtype=h5py.vlen_dtype("f4"))
        for row, n in enumerate(o):
            ragged[row] = np.full(n % 4, n, "f4")
    return known
