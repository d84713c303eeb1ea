"""Damage to a volume, each kind named; and volumes that were moved, without the runs they were made of."""

import hashlib
import json
import os
import shutil

import pytest
from proposals import FACTS, SMALL
from runs import make_run

from dxflow.commands.main import main
from dxflow.red.hashed import listed, read_list


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the runs of a proposal, and a volume."""
    folder = tmp_path_factory.mktemp("whole")
    for number in (1, 2):
        make_run(folder / f"raw/r{number:04}", run=number, **SMALL)
    lines = ["{run: raw/r0001, keep: raw}", "{run: raw/r0002, keep: frames, frames: 'pulses=0:1'}"]
    (folder / "red.yaml").write_text(f"to: red\n{FACTS}runs: [{', '.join(lines)}]\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert main(["red", "run", "red.yaml", "--quiet"]) == 0
    return folder


@pytest.fixture
def volume(whole, tmp_path, monkeypatch):
    """A volume that may be damaged; it knows where its runs are, which are where it was made."""
    shutil.copytree(whole / "red", tmp_path / "red")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "red"


def test_a_volume_is_whole_wherever_it_lies_and_whatever_became_of_the_runs(volume, whole, cli, tmp_path):
    code, said = cli("verify", "red", "--deep")
    assert (code, "compared with what was to remain of their originals" in said) == (0, True)
    (tmp_path / "other place").mkdir()
    shutil.move(volume, tmp_path / "other place/moved")
    os.chdir(tmp_path / "other place")
    code, said = cli("verify", "moved")
    assert (code, "as it was written" in said) == (0, True)
    (whole / "raw").rename(whole / "gone")
    try:
        code, said = cli("verify", "moved", "--deep")
    finally:
        (whole / "gone").rename(whole / "raw")
    assert (code, "originals not there" in said) == (0, True)


def test_each_kind_of_damage_is_named_with_its_file(volume, cli):
    files = sorted(volume.rglob("*.h5"))
    raw = files[0].read_bytes()
    files[0].write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    files[1].write_bytes(raw[:100])
    files[2].unlink()
    real = files[3].with_suffix(".real")
    files[3].rename(real)
    files[3].symlink_to(real)
    (volume / "runs/extra.h5").write_text("x")
    code, said = cli("verify", "red")
    names = [str(file.relative_to(volume)) for file in files]
    assert code == 1
    assert f"{names[0]}: changed" in said
    assert f"{names[1]}: 100 bytes, " in said
    assert f"{names[2]}: missing" in said
    assert f"{names[3]}: is, or lies behind, a symbolic link" in said
    assert "runs/extra.h5: is no part of the volume" in said
    assert f"{names[2].replace(os.sep, '/')}: is not there" in said


def test_what_readers_leave_beside_data_is_no_damage(volume, cli):
    (volume / "runs/r0001/karabo_data_map.json").write_text("[]")
    assert cli("verify", "red")[0] == 0


def test_originals_that_changed_are_told_if_asked(volume, whole, cli):
    file = next((whole / "raw/r0001").glob("*.h5"))
    raw = file.read_bytes()
    file.write_bytes(raw + b"x")
    assert cli("verify", "red")[0] == 0
    code, said = cli("verify", "red", "--deep")
    file.write_bytes(raw)
    assert (code, f"runs/r0001/{file.name}: is not its original" in said) == (1, True)


def again(volume, name, change):
    """Change a file of JSON, and its checksum with it, as one would who tampers with it."""
    made = json.loads((volume / name).read_text())
    change(made)
    (volume / name).write_text(json.dumps(made))
    sums = read_list((volume / "manifest-sha256.txt").read_bytes())
    sums[name] = hashlib.sha256((volume / name).read_bytes()).hexdigest()
    (volume / "manifest-sha256.txt").write_bytes(listed(sums))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("datacite.json", lambda d: d.pop("creators"), "'creators' is a required property"),
        ("datacite.json", lambda d: d["dates"][0].update(dateType="Soon"), "dates.0.dateType"),
        ("ro-crate-metadata.json", lambda d: d["@graph"].pop(1), "there is no root"),
        ("ro-crate-metadata.json", lambda d: d["@graph"][1].pop("license"), "./: license is missing"),
        ("red.json", lambda d: next(iter(d["files"].values())).update(size=1), "1 were written"),
        ("red.json", lambda d: d.pop("files"), "red.json"),
        ("red.json", lambda d: next(iter(d["files"].values())).update(sha256="0"), "has another SHA-256"),
    ],
)
def test_what_it_says_of_itself_must_be_right_even_if_the_checksum_is(volume, cli, name, change, said):
    again(volume, name, change)
    code, shown = cli("verify", "red")
    assert (code, said in shown) == (1, True), shown


def test_lists_that_are_damaged_or_lead_elsewhere_are_named(volume, cli):
    sums = volume / "manifest-sha256.txt"
    raw = sums.read_bytes()
    sums.write_bytes(raw + b"0" * 64 + b"  ../../etc/passwd\n")
    code, said = cli("verify", "red")
    assert (code, "is outside of the volume" in said) == (1, True)
    sums.unlink()
    assert cli("verify", "red")[0] == 1
    (volume / "red.json").unlink()
    code, said = cli("verify", "red")
    assert (code, "no volume is there" in said) == (2, True)
    assert cli("verify", "nowhere")[0] == 2
