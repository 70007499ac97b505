import pytest

from kasparro.core.errors import ConfigurationError
from kasparro.playground import PlaygroundKeys
from kasparro.playground.keys import same_secret


def test_generated_keys_are_never_the_same():
    made = [PlaygroundKeys.generate() for _ in range(50)]

    assert len({key for keys in made for key in (keys.api_key, keys.token)}) == 100


def test_keys_do_not_show_in_a_repr():
    keys = PlaygroundKeys(api_key="secret-one", token="secret-two")

    assert "secret" not in repr(keys)


@pytest.mark.parametrize("unusable", ["", " ", "a b", "line\nbreak", "schlüssel", "nul\0"])
@pytest.mark.parametrize("name", ["api_key", "token"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_repeated(name, unusable):
    with pytest.raises(ConfigurationError) as refused:
        PlaygroundKeys(**{"api_key": "good", "token": "good", name: unusable})

    assert "playground" in str(refused.value)
    assert repr(unusable) not in str(refused.value)


def test_secrets_are_compared_whole_whatever_their_characters():
    assert same_secret("abc", "abc")
    assert not same_secret("ab", "abc")
    assert not same_secret("", "abc")
    assert not same_secret("äbc", "abc")
