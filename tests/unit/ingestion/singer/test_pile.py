from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.singer.messages import Record
from kasparro.ingestion.singer.source import _Pile


@given(st.lists(st.sampled_from(["record", "state", "quiet"]), max_size=60), st.integers(1, 5))
def test_however_records_and_states_come_no_page_claims_a_record_that_was_not_handed_over(coming, size):
    pile, pages, written = _Pile(size, None), [], 0
    for what in coming:
        match what:
            case "record":
                written += 1
                pile.add(Record("s", b"%d" % written), None, written)
            case "state":
                pile.state, pile.at_state = str(written), True
            case "quiet" if len(pile):
                pages.append(pile.page())
        if pile.full:
            pages.append(pile.page())
    pages.append(pile.page(last=True))

    handed = 0
    for page in pages:
        handed += len(page.records)
        assert page.cursor is None or int(page.cursor["state"]) <= handed
        assert len(page.records) <= 2 * size
    assert [int(one.payload) for page in pages for one in page.records] == list(range(1, written + 1))
    assert pages[-1].cursor == (None if pile.state is None else {"state": pile.state})
