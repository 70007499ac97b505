import csv

from bench.csv_section import GENERATED
from bench.data import prepared
from bench.generated import generated


def rows(dataset, version):
    with (dataset.folder / f"{version}.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_same_rows_come_every_time():
    assert list(generated(50)) == list(generated(50))


def test_rows_behind_others_have_new_keys():
    keys = [row[0] for row in (*generated(50), *generated(50, 50))]

    assert len(set(keys)) == 100


def test_exactly_every_hundredth_row_is_changed_and_no_key(tmp_path):
    dataset = prepared(GENERATED, tmp_path / "made", 250)
    pairs = list(zip(rows(dataset, "original"), rows(dataset, "changed"), strict=True))

    assert dataset.part == 3
    assert sum(before != after for before, after in pairs) == dataset.part
    assert all(before[0] == after[0] for before, after in pairs)


def test_a_hundredth_of_new_rows_is_appended_to_the_same_bytes(tmp_path):
    dataset = prepared(GENERATED, tmp_path / "made", 250)
    before, after = ((dataset.folder / f"{v}.csv").read_bytes() for v in ("original", "appended"))

    assert after.startswith(before)
    assert len(rows(dataset, "appended")) == 1 + 250 + dataset.part


def test_a_version_takes_the_place_of_the_one_before(tmp_path):
    dataset = prepared(GENERATED, tmp_path / "made", 100)
    for version in ("changed", "original", "original", "empty"):
        dataset.show(version)
        assert dataset.path.read_bytes() == (dataset.folder / f"{version}.csv").read_bytes()
