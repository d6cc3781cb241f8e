"""The Python client against a real server: the example of its page, word for word."""

from __future__ import annotations

import contextlib
import io
import json

from stream import topics
from tests.api.conftest import INGEST, Server
from tests.docs.pages import ROOT, blocks
from tests.e2e.records import read


def test_the_page_s_example_prints_what_the_page_says(server: Server, broker: str) -> None:
    """Only address and key are other ones; what was accepted is on Kafka."""
    page = blocks(ROOT / "docs" / "client.md")
    [code] = [block.text for block in page if block.word == "client"]
    [shown] = [block.text for block in page if block.word == "shown"]
    code = code.replace("http://localhost:8080", server.url)
    code = code.replace("an API key with the role ingest", INGEST)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "client.md", "exec"), {})  # noqa: S102 - our own page
    assert said.getvalue() == shown
    replies = [json.loads(message.value() or b"") for message in read(broker, topics.REPLIES)]
    assert {"c-77", "c-78"} <= {each["customer_id"] for each in replies}
    touchpoints = [json.loads(message.value() or b"") for message in read(broker, topics.TOUCHPOINTS)]
    assert any(each["kind"] == "ticket_opened" and each["ref"] == "T-1" for each in touchpoints)
