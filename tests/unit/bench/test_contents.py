import pytest
from bench.contents import NAMES, asked_for, wants_peers
from bench.options import parsed


def sections(*arguments):
    return [entry.name for entry in asked_for(parsed(arguments, NAMES))]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["flights", "generated", "rest"]),
        (["--growth", "--stream-gib", "1"], ["flights", "generated", "rest", "growth", "stream"]),
        (["--only", "ingest"], ["flights", "generated"]),
        (["--only", "generated,ingest"], ["generated"]),
        (["--only", "generated,ingest,pages-0ms"], ["generated", "rest"]),
        (["--only", "rest,sling"], ["flights", "rest"]),
        (["--only", "stream"], ["stream"]),
        (["--only", "rest", "--growth"], ["rest", "growth"]),
    ],
)
def test_sections_are_those_named_and_those_that_have_what_is_named(arguments, expected):
    assert sections(*arguments) == expected


def test_a_name_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit):
        sections("--only", "ingest,nothing")

    assert "there is no nothing; there are flights, floor, start, ingest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "wanted"), [([], False), (["--peers"], True), (["--only", "orm"], True)]
)
def test_peers_are_installed_only_where_they_are_asked_for(arguments, wanted):
    assert wants_peers(parsed(arguments, NAMES)) is wanted
