"""Which entity a record speaks of."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.schemas.matching import Matchable, MatchKey
from kasparro.storage.entities.resolving import DecidedBy, Known, Link, Resolver, digests


class Memory:
    """What a database would hold between batches."""

    def __init__(self):
        self.links, self.entities, self.keys = {}, Counter(), Counter()
        self.merged, self.ids = {}, (f"e{n}" for n in itertools.count())

    def batch(self, records=(), gone=()):
        ids = {record.source_id for record in records} | set(gone)
        known = Known({i: self.links[i] for i in ids if i in self.links})
        known.sizes.update({link.entity: self.entities[link.entity] for link in known.links.values()})
        wanted = {key.digest for record in records for key in record.keys}
        for (key, entity), count in self.keys.items():
            if key in wanted and count:
                known.holders.setdefault(key, {})[entity] = count
        resolver = Resolver(known, lambda: next(self.ids))
        resolver.unlink(gone)
        resolver.link(records)
        changes = resolver.changes
        for source_id in changes.unlinked:
            del self.links[source_id]
        self.links |= changes.links
        self.entities.update(changes.sizes)
        self.keys.update(changes.keys)
        self.merged |= changes.merged
        self.check()
        return changes

    def check(self):
        """The sums are those of the links."""
        assert +self.entities == Counter(link.entity for link in self.links.values())
        held = Counter((key, link.entity) for link in self.links.values() for key in link.held())
        assert +self.keys == held
        assert min([*self.keys.values(), *self.entities.values(), 0]) == 0
        assert all(not self.entities[entity] for entity in self.merged)

    def partition(self):
        together = defaultdict(set)
        for source_id, link in self.links.items():
            together[link.entity].add(source_id)
        return set(map(frozenset, together.values()))

    def conflicts(self):
        return {source_id for source_id, link in self.links.items() if link.conflict is not None}

    def entity(self, source_id):
        return self.links[source_id].entity


def record(source_id, *keys):
    """`url:a` is the key that rule `url` makes of `a`."""
    return Matchable(
        source_id, tuple(MatchKey(key.partition(":")[0], key.encode().ljust(16)) for key in keys)
    )


@pytest.fixture
def memory():
    return Memory()


def components(records):
    """Records that share a key, over however many others, are together."""
    groups = []
    for one in records:
        keys, members = set(one.keys), {one.source_id}
        for group in [group for group in groups if group[0] & keys]:
            groups.remove(group)
            keys, members = keys | group[0], members | group[1]
        groups.append((keys, members))
    return {frozenset(members) for _, members in groups}


KEYS = st.tuples(
    *(st.sampled_from([None, *(f"{rule}:{n}" for n in range(5))]) for rule in ("url", "title+author"))
).map(lambda keys: [key for key in keys if key])
RECORDS = st.lists(KEYS, max_size=12).map(
    lambda all_: [record(f"r{n}", *keys) for n, keys in enumerate(all_)]
)


@given(RECORDS, st.data())
def test_without_conflicts_who_is_together_depends_on_no_order_and_no_batching(records, data):
    memory, left = Memory(), data.draw(st.permutations(records))
    while left:
        size = data.draw(st.integers(1, len(left)))
        memory.batch(left[:size])
        left = left[size:]
    if not memory.conflicts():
        assert memory.partition() == components(records)


@given(st.lists(st.integers(0, 4), max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
def test_where_agreeing_is_mutual_there_are_no_conflicts(things, chance, size):
    """Each record has the address of its thing, and one of two titles nobody else has."""
    records = [
        record(f"r{n}", f"url:{thing}", f"title+author:{thing}{n % 2}") for n, thing in enumerate(things)
    ]
    chance.shuffle(records)
    memory = Memory()
    for start in range(0, len(records), size):
        memory.batch(records[start : start + size])
    assert not memory.conflicts()
    assert memory.partition() == components(records)


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), KEYS)), max_size=30), st.integers(1, 4))
def test_the_sums_are_those_of_the_links_whatever_comes_changes_and_goes(steps, size):
    memory = Memory()
    for start in range(0, len(steps), size):
        last = {f"r{n}": keys for n, keys in steps[start : start + size]}
        come = [record(source_id, *keys) for source_id, keys in last.items() if keys is not None]
        gone = [source_id for source_id, keys in last.items() if keys is None]
        changes = memory.batch(come, gone)
        assert set(last) - set(gone) <= set(memory.links)
        assert not set(gone) & set(memory.links)
        assert all(changes.sizes[entity] >= 0 for entity in changes.new)


def test_the_first_rule_that_leads_somewhere_is_the_method(memory):
    memory.batch([record("a", "url:1", "title+author:1")])
    memory.batch([record("b", "url:2", "title+author:1"), record("c", "url:1", "title+author:1")])
    assert memory.partition() == {frozenset("abc")}
    assert [memory.links[i].method for i in "abc"] == ["first", "title+author", "url"]
    assert [memory.links[i].confidence for i in "abc"] == [1.0, 0.8, 0.95]


def test_keys_that_lead_to_different_entities_are_a_conflict_and_lead_nobody(memory):
    memory.batch([record("a", "url:1"), record("b", "title+author:1")])
    memory.batch([record("c", "url:1", "title+author:1")])
    assert memory.partition() == {frozenset("a"), frozenset("b"), frozenset("c")}
    assert memory.links["c"].conflict == {"url": [memory.entity("a")], "title+author": [memory.entity("b")]}
    memory.batch([record("d", "url:1")])
    assert memory.entity("d") == memory.entity("a")


def test_a_key_that_two_entities_hold_is_a_conflict(memory):
    memory.batch([record("a", "url:1"), record("b", "url:1")])
    split = Link("b", "other", "split", 1.0, memory.links["b"].keys, DecidedBy.OPERATOR)
    memory.entities.update({"other": 1, memory.entity("b"): -1})
    memory.keys.update(
        {(digests(split.keys)[0], "other"): 1, (digests(split.keys)[0], memory.entity("b")): -1}
    )
    memory.links["b"] = split
    memory.batch([record("c", "url:1")])
    assert memory.conflicts() == {"c"}


def test_a_conflict_that_is_over_is_found_when_the_record_is_looked_at_again(memory):
    memory.batch(
        [record("a", "url:1"), record("b", "title+author:1"), record("c", "url:1", "title+author:1")]
    )
    again = memory.batch([record("c", "url:1", "title+author:1")])
    assert not again.links
    own = memory.entity("c")
    memory.batch(gone=["b"])
    memory.batch([record("c", "url:1", "title+author:1")])
    assert memory.partition() == {frozenset("ac")}
    assert memory.merged == {own: memory.entity("a")}


def test_a_record_that_is_looked_at_again_writes_nothing(memory):
    memory.batch([record("a", "url:1"), record("b", "url:1"), record("c")])
    again = memory.batch([record("c"), record("b", "url:1"), record("a", "url:1")])
    assert not again.links
    assert not any(again.sizes.values())


def test_a_record_whose_keys_change_keeps_the_entity_that_is_its_alone(memory):
    memory.batch([record("a", "url:1")])
    entity = memory.entity("a")
    memory.batch([record("a", "url:2")])
    memory.batch([record("b", "url:2"), record("c", "url:1")])
    assert memory.entity("a") == memory.entity("b") == entity != memory.entity("c")


def test_a_record_whose_keys_change_leaves_those_it_agrees_with_no_more(memory):
    memory.batch([record("a", "url:1"), record("b", "url:1")])
    memory.batch([record("a", "url:2")])
    assert memory.partition() == {frozenset("a"), frozenset("b")}


def test_an_entity_whose_last_record_went_to_another_answers_with_that(memory):
    memory.batch([record("a", "url:1"), record("b", "url:2")])
    left = memory.entity("a")
    memory.batch([record("a", "url:2")])
    assert memory.merged == {left: memory.entity("b")}


def test_what_an_operator_decided_stays_when_the_keys_change(memory):
    memory.batch([record("a", "url:1"), record("b", "url:2")])
    link = memory.links["a"]
    memory.links["a"] = Link("a", link.entity, "merge", 1.0, link.keys, DecidedBy.OPERATOR)
    memory.batch([record("a", "url:2")])
    assert memory.entity("a") == link.entity != memory.entity("b")
    assert memory.links["a"].decided_by is DecidedBy.OPERATOR
    memory.batch([record("c", "url:2")])
    assert memory.conflicts() == {"c"}
