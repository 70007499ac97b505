import json

from bench.rest_server import answers


def body(answer):
    head, _, content = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(content)}".encode() in head
    return json.loads(content)


def test_counted_pages_hold_every_record_once_and_say_how_many_there_are():
    made = [body(answer) for (kind, _), answer in answers(250).items() if kind == "pages"]

    assert [record["id"] for page in made for record in page["items"]] == list(range(250))
    assert {(page["total"], page["total_pages"]) for page in made} == {(250, 3)}


def test_each_page_of_the_chain_names_the_next_until_the_last():
    made, found, token = answers(250), [], ""
    while token is not None:
        page = body(made["cursor", token])
        found += [record["id"] for record in page["items"]]
        token = page["next"]

    assert found == list(range(250))
