"""Redis without people who were erased: by key, by member, by what a value is about, and not a byte beside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import redis

from stream.privacy.entries import Refused
from stream.privacy.stores import purge
from stream.settings import Settings
from tests.privacy.erased import in_redis

if TYPE_CHECKING:
    from pathlib import Path

GONE = "ada:lovelace"
STAYS = "ada"


def alert(customer: str) -> str:
    """An alert event about a customer."""
    return json.dumps({"subject": f"customer:{customer}", "data": {"annotations": {"summary": customer}}})


def settings(url: str) -> Settings:
    """Of a deployment with this Redis."""
    return Settings(_env_file=None, redis_url=url)


def test_whatever_is_kept_of_someone_goes(redis_url: str) -> None:
    """Keys, fields, members and entries of streams go; others stay as they are, other programs' keys untouched."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for who in (GONE, STAYS):
            client.set(f"cx:customer:{who}", "profile")
            client.zadd("cx:top", {who: 1.0})
            client.hset("cx:profiles", who, "profile")
            client.sadd("cx:known", who)
            client.hset("cx:alerts:active", f"mark of {who[:3]} {len(who)}", alert(who))
            client.xadd("cx:alerts:recent", {"alert": alert(who)})
            client.set(f"theirs:{who[:3]}", "not ours")
        before = client.xrange("cx:alerts:recent")
        assert in_redis(redis_url, GONE) == [GONE]
        assert purge(settings(redis_url), {GONE}.__contains__) == 6
        assert in_redis(redis_url, GONE) == []
        assert client.keys("cx:customer:*") == [f"cx:customer:{STAYS}"]
        assert client.zrange("cx:top", 0, -1) == client.hkeys("cx:profiles") == [STAYS]
        assert client.smembers("cx:known") == {STAYS}
        assert client.xrange("cx:alerts:recent") == [entry for entry in before if STAYS + '"' in str(entry)]
        assert client.get("theirs:ada") == "not ours"
        assert purge(settings(redis_url), {GONE}.__contains__) == 0


def test_without_redis_there_is_nothing_to_do() -> None:
    """A deployment may have none."""
    assert purge(settings(""), {GONE}.__contains__) is None


def test_a_redis_that_is_away_is_said(tmp_path: Path) -> None:
    """What may be left there is said, with the way out, and without the address."""
    with pytest.raises(Refused, match="CX_REDIS_URL: Redis does not answer") as refused:
        purge(settings(f"unix://{tmp_path}/none.sock"), {GONE}.__contains__)
    assert str(tmp_path) not in str(refused.value)
