"""Paths and names of the accepted shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.drift.cells import kinds_of_cells
from kasparro.ingestion.drift.shape import Field, Node, Shape, clean, dump, join, load, places

anything = st.text(st.characters(), max_size=12)


@given(st.lists(anything, min_size=1, max_size=3), anything, st.sampled_from(["", "users:"]))
def test_a_path_leads_to_the_field_it_was_made_of(within, name, root):
    shape = Shape(nodes={root: Node()})
    node = root
    for inner in map(clean, within):
        node = join(node, inner)
        shape.nodes[node] = Node()

    assert (node, clean(name)) in list(places(shape, join(node, clean(name))))


@given(anything)
def test_a_name_is_one_that_postgresql_can_hold(name):
    assert "\0" not in clean(name)
    assert clean(name).encode().decode() == clean(name)


def test_a_shape_is_stored_and_loaded_the_same():
    shape = Shape(5, True, True, {"": Node(3, False, {"a": Field(True, 3, 3, 1, {"text": 5}, ["x"])})})

    assert load(dump(shape)) == shape


def test_cells_are_told_by_their_looks():
    looks = {
        "number": ["1", "-1.5", "+.5", "1e5", "007", "2."],
        "timestamp": ["2024-01-02", "2024-01-02 03:04", "2024-01-02T03:04:05.678+02:00"],
        "boolean": ["true", "False"],
        "text": ["1.2.3", "1,5", "N/A", "2024-1-2", "yes", "12 km", " 1", "x\n1", "1\n2"],
    }
    for kind, cells in looks.items():
        assert kinds_of_cells(cells) == {kind: len(cells)}, kind
        assert all(kinds_of_cells([cell]) == {kind: 1} for cell in cells)
    together = [cell for cells in looks.values() for cell in cells]
    assert kinds_of_cells(together) == {kind: len(cells) for kind, cells in looks.items()}
