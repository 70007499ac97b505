from contextlib import nullcontext

import pytest
from bench.measuring import Chain, Measured, Step, rotated
from bench.report import aligned, as_json
from bench.results import Results
from bench.sections import Section
from bench.targets import Target


def never(_url):
    raise AssertionError


def measured(seconds, **more):
    return Measured(seconds, 1.0, **more)


def results(**by_step):
    """Each step with its seconds in each round; they are of a thousand records, but for `small` and `start`."""
    records = {"small": 10, "start": 0}
    steps = tuple(Step(name, records.get(name, 1000), never) for name in by_step)
    rounds = [
        dict(zip(by_step, map(measured, round_), strict=True))
        for round_ in zip(*by_step.values(), strict=True)
    ]
    return Results(Section("made_up", {}, [Chain(steps, lambda _: nullcontext(""))]), rounds)


def test_a_step_is_reported_by_its_median_and_its_spread():
    figures = results(ingest=[3.0, 1.0, 2.0]).of("ingest")

    assert (figures["median_s"], figures["fastest_s"], figures["slowest_s"]) == (2.0, 1.0, 3.0)
    assert figures["records_per_s"] == 500


def test_a_ratio_is_taken_within_each_round_and_not_of_the_medians():
    """A machine that is slow for one round is slow for both."""
    of = results(floor=[1.0, 10.0, 1.0], ingest=[2.0, 20.0, 4.0])

    assert of.as_fast("ingest", "floor") == 0.5


def test_steps_of_different_size_are_compared_record_by_record():
    assert results(floor=[1.0], small=[1.0]).as_fast("small", "floor") == pytest.approx(0.01)


def test_a_mere_start_has_no_figures_by_record():
    figures = results(floor=[1.0], start=[1.0]).of("start")

    assert figures["median_s"] == 1.0
    assert figures["records_per_s"] is figures["of_floor"] is figures["cpu_us"] is None


def test_a_target_says_nothing_of_what_was_not_measured():
    target = Target("first load", lambda sections: sections["made_up"].as_fast("sling", "floor"), at_least=1)

    assert target.measured({"made_up": results(floor=[1.0])}) is None
    assert target.measured({}) is None


@pytest.mark.parametrize(("value", "met"), [(0.89, False), (0.9, True), (2.0, True)])
def test_a_target_is_met_from_its_bound_on(value, met):
    assert Target("", lambda _: None, at_least=0.9).met(value) is met


def test_every_chain_comes_first_once():
    chains = [Chain((Step(name, 1, never),), lambda _: nullcontext("")) for name in "abc"]

    assert [rotated(chains, n)[0] for n in range(3)] == chains
    assert all(len(rotated(chains, n)) == 3 for n in range(3))


def test_what_could_not_be_measured_is_null_in_json():
    assert as_json(measured(1.0, server_cpu_seconds=float("nan")))["server_cpu_seconds"] is None


def test_columns_are_aligned():
    assert aligned([["", "s"], ["ingest", "10.5"]]) == "           s\ningest  10.5"
