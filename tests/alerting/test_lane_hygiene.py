"""What keeps alerts few, told as timelines: what goes out, when, and with which decision."""

from __future__ import annotations

from stream.alerting.hygiene import EVERY_LABEL, Grouped, Limit
from stream.alerting.lane import Lane
from tests.alerting.lanes import (
    book_of,
    claim_of,
    inhibition_of,
    lines,
    played,
    restored,
    rule_of,
    silence_of,
    store,
)


def reasons(lane: Lane) -> list[str]:
    """The decisions of a round, one a line."""
    return [f"{each.as_of_ms} {each.alert} {each.reason}" for each in lane.changes().decided]


def test_an_alert_that_is_silenced_from_beginning_to_end_is_never_told() -> None:
    """Neither that it fires nor that it is over; the decisions say why."""
    lane = Lane([0], book_of(silences=(silence_of("alertname=a", 10, 50),)))
    assert played(lane, [claim_of("a", 20), claim_of("a", 30, "resolved", starts_at_ms=20)], 100) == []
    assert reasons(lane) == ["20 a silenced", "30 a over_before_told"]
    assert [past.outcome for past in lane.history("f-a")] == ["silenced", "over_before_told"]


def test_what_still_fires_when_its_silence_ends_is_told_then() -> None:
    """With the newest figures, a reason and an id of its own, once; and its end is told."""
    lane = Lane([0], book_of(silences=(silence_of("alertname=a", 10, 50),)))
    amended = claim_of("a", 30, "amended", starts_at_ms=20, figures={"value": 9})
    claims = [claim_of("a", 20), amended, claim_of("a", 70, "resolved", starts_at_ms=20)]
    told = played(lane, claims, 100)
    assert lines(told) == ["50 a firing silence_ended", "70 a resolved resolved"]
    assert (told[0].figures, told[0].starts_at_ms) == ({"value": 9}, 20)
    assert told[0].id not in {claim.id for claim in claims}
    assert reasons(lane) == ["20 a silenced", "50 a told"]


def test_the_end_of_a_told_alert_is_told_in_spite_of_a_silence() -> None:
    """Nobody is left with an alert that is over; reminders and silence of data wait."""
    lane = Lane([0], book_of(silences=(silence_of("alertname=a", 10, 50),)))
    claims = [
        claim_of("a", 5),
        claim_of("a", 20, "firing", starts_at_ms=5, reason="still_firing"),
        claim_of("a", 25, "amended", starts_at_ms=5),
        claim_of("a", 30, "resolved", starts_at_ms=5),
    ]
    told = played(lane, claims, 100)
    assert lines(told) == ["5 a firing first_crossing", "25 a amended amended", "30 a resolved resolved"]


def test_a_reminder_that_a_silence_kept_back_is_told_once_when_it_ends() -> None:
    """The newest of them; and without one, nothing is told again."""
    lane = Lane([0], book_of(silences=(silence_of("alertname=~a|b", 10, 50),)))
    claims = [
        claim_of("a", 5),
        claim_of("b", 5),
        claim_of("a", 20, "firing", starts_at_ms=5, reason="still_firing"),
        claim_of("a", 30, "no_data", starts_at_ms=5),
    ]
    assert lines(played(lane, claims, 100)) == [
        "5 a firing first_crossing",
        "5 b firing first_crossing",
        "50 a no_data silence_ended",
    ]


def test_late_data_about_an_earlier_alert_is_told_if_that_one_was() -> None:
    """Each alert of a fingerprint is remembered by when it began."""
    lane = Lane([0], book_of(silences=(silence_of("alertname=a", 10, 25),)))
    claims = [
        claim_of("a", 1),
        claim_of("a", 5, "resolved", starts_at_ms=1),
        claim_of("a", 15),
        claim_of("a", 20, "resolved", starts_at_ms=15),
        claim_of("a", 30),
        claim_of("a", 40, "withdrawn", starts_at_ms=1),
        claim_of("a", 41, "withdrawn", starts_at_ms=15),
        claim_of("a", 50, "resolved", starts_at_ms=30),
    ]
    told = [(claim.as_of_ms, claim.state, claim.starts_at_ms) for claim in played(lane, claims, 100)]
    assert told == [
        (1, "firing", 1),
        (5, "resolved", 1),
        (30, "firing", 30),
        (40, "withdrawn", 1),
        (50, "resolved", 30),
    ]


def test_withdrawn_and_begun_afresh_at_one_instant() -> None:
    """The older alert is told of first, and the new one fires on."""
    lane = Lane([0], book_of())
    claims = [claim_of("a", 1), claim_of("a", 9), claim_of("a", 9, "withdrawn", starts_at_ms=1)]
    assert [(each.state, each.starts_at_ms) for each in played(lane, claims, 10)] == [
        ("firing", 1),
        ("withdrawn", 1),
        ("firing", 9),
    ]
    assert lane.active["f-a"].starts_at_ms == 9


def test_silences_from_outside_hold_from_where_the_lane_is_and_survive_it() -> None:
    """They are written before they count; one called off early lets go what still fires."""
    table: dict[str, bytes] = {}
    lane = Lane([0], book_of())
    silence = silence_of("alertname=a", 0, 1000)
    assert lane.silences([silence])
    store(table, lane.changes())
    assert not lane.silences([silence])
    assert played(lane, [claim_of("a", 20)], 30) == []
    store(table, lane.changes())

    lane = restored(table, [0], book_of())
    assert not lane.silences([silence])
    assert played(lane, [claim_of("a", 35, "firing", starts_at_ms=20, reason="still_firing")], 40) == []
    store(table, lane.changes())
    assert lane.silences([])
    store(table, lane.changes())
    assert lines(lane.release()) == ["40 a firing silence_ended"]
    store(table, lane.changes())
    for _ in range(2):
        store(table, lane.changes())
    assert sorted(table) == ["alert/f-a", "progress"]


def test_while_the_source_fires_its_targets_are_not_told() -> None:
    """Only where the labels agree, whatever comes first at one instant; what is left is told after."""
    lane = Lane(
        [0], book_of(inhibitions=(inhibition_of("severity=critical", "severity=warning", "segment"),))
    )
    vip, new = {"segment": "vip"}, {"segment": "new"}
    claims = [
        claim_of("a", 10, labels=vip),
        claim_of("a", 10, labels=new),
        claim_of("z", 10, labels=vip, severity="critical"),
        claim_of("z", 40, "resolved", starts_at_ms=10, labels=vip, severity="critical"),
    ]
    assert lines(played(lane, claims, 100)) == [
        "10 a firing first_crossing",
        "10 z firing first_crossing",
        "40 a firing inhibition_ended",
        "40 z resolved resolved",
    ]
    assert [each.figures for each in lane.changes().decided if each.reason == "inhibited"] == [
        {"fingerprint": "f-z-vip"}
    ]


def test_of_several_sources_each_keeps_an_alert_back() -> None:
    """It is told when the last one is over; the decision names the one that keeps it back now."""
    book = book_of(inhibitions=(inhibition_of("severity=critical", "severity=warning"),))
    lane = Lane([0], book)
    claims = [claim_of("a", 10)]
    claims += [claim_of(name, 10, severity="critical") for name in "xyz"]
    claims += [
        claim_of(name, at, "resolved", starts_at_ms=10, severity="critical")
        for name, at in (("y", 20), ("x", 30), ("z", 40))
    ]
    told = played(lane, claims, 100)
    assert [line for line in lines(told) if " a " in line] == ["40 a firing inhibition_ended"]
    decided = [each for each in lane.changes().decided if each.alert == "a"]
    assert [(each.as_of_ms, each.since_ms, each.reason, each.figures) for each in decided] == [
        (10, 10, "inhibited", {"fingerprint": "f-x"}),
        (30, 10, "inhibited", {"fingerprint": "f-z"}),
        (40, 40, "told", {}),
    ]


def test_a_silenced_source_inhibits_and_two_sided_alerts_do_not_inhibit_each_other() -> None:
    """As in Alertmanager: what fires counts, told or not; nobody is kept back by itself or its like."""
    book = book_of(
        inhibitions=(inhibition_of("severity=critical", "alertname=~a|z|y"),),
        silences=(silence_of("alertname=z", 0, 100),),
    )
    claims = [
        claim_of("a", 10),
        claim_of("z", 10, severity="critical"),
        claim_of("y", 10, severity="critical"),
    ]
    assert lines(played(Lane([0], book), claims, 50)) == ["10 y firing first_crossing"]


def test_a_group_waits_for_others_and_then_tells_them_together() -> None:
    """Claims keep their time and id; later ones wait for the group's next turn; ends do not wait."""
    lane = Lane([0], book_of(grouped=Grouped(("alertname",), wait_ms=30, interval_ms=300)))
    one, two, three = ({"segment": name} for name in ("one", "two", "three"))
    claims = [
        claim_of("a", 10, labels=one),
        claim_of("a", 25, labels=two),
        claim_of("a", 50, "resolved", starts_at_ms=10, labels=one),
        claim_of("a", 60, labels=three),
    ]
    assert played(lane, claims[:2], 39) == []
    first = played(lane, claims[2:], 339)
    assert [(each.as_of_ms, each.state, each.group) for each in first] == [
        (10, "firing", '{"alertname":"a"}'),
        (25, "firing", '{"alertname":"a"}'),
        (50, "resolved", '{"alertname":"a"}'),
    ]
    assert [each.id for each in first[:2]] == [claim.id for claim in claims[:2]]
    assert lines(played(lane, [], 340)) == ["60 a firing first_crossing"]


def test_by_all_labels_every_alert_is_a_group() -> None:
    """Each waits for nobody but itself, whatever has the same name; it has a turn of its own."""
    lane = Lane([0], book_of(grouped=Grouped((EVERY_LABEL,), wait_ms=30, interval_ms=300)))
    claims = [claim_of("a", 10, labels={"segment": "one"}), claim_of("a", 25, labels={"segment": "two"})]
    assert lines(played(lane, claims, 40)) == ["10 a firing first_crossing"]
    (second,) = played(lane, [], 55)
    assert second.group == '{"alertname":"a","segment":"two","severity":"warning"}'


def test_what_is_over_before_its_group_has_its_turn_is_not_told() -> None:
    """A short crossing disturbs nobody; a group without alerts is forgotten and waits anew."""
    lane = Lane([0], book_of(grouped=Grouped(("segment",), wait_ms=30, interval_ms=300)))
    claims = [claim_of("a", 10), claim_of("a", 20, "resolved", starts_at_ms=10), claim_of("a", 100)]
    assert played(lane, claims, 129) == []
    assert lines(played(lane, [], 130)) == ["100 a firing first_crossing"]
    assert reasons(lane) == ["10 a grouped", "20 a over_before_told", "100 a grouped", "130 a told"]


def test_a_silence_is_asked_when_the_group_has_its_turn() -> None:
    """As in Alertmanager: what is silenced or inhibited by then is not told."""
    book = book_of(grouped=Grouped((), 30, 300), silences=(silence_of("alertname=a", 30, 60),))
    assert lines(played(Lane([0], book), [claim_of("a", 10)], 100)) == ["60 a firing silence_ended"]


def test_a_rule_tells_at_most_its_limit_and_a_summary_of_the_rest() -> None:
    """The most urgent come first; the rest waits for room, and the summary is over when none waits."""
    rule = rule_of("a", Limit(2, 100), labels=(("team", "retail"),))
    slices = [{"segment": name} for name in "wxyz"]
    claims = [claim_of("a", 10 + at, labels=labels) for at, labels in enumerate(slices)]
    claims.append(claim_of("a", 20, "resolved", starts_at_ms=13, labels=slices[3]))
    lane = Lane([0], book_of(rule))
    told = played(lane, claims, 500)
    assert lines(told) == [
        "10 a firing first_crossing",
        "11 a firing first_crossing",
        "12 a firing rate_limited_summary",
        "110 a firing limit_ended",
        "110 a resolved rate_limited_summary",
    ]
    last = told[-1]
    assert (last.subject, last.labels, last.starts_at_ms, last.ends_at_ms) == (
        "rule:a",
        {"team": "retail"},
        12,
        110,
    )
    assert last.figures == {"withheld": 2, "firing": 0, "limit": 2, "per": "100ms", "rules": {"a": 2}}
    assert last.fingerprint == told[2].fingerprint != told[3].fingerprint


def test_a_limit_is_never_exceeded_and_everything_that_fires_is_told_in_the_end() -> None:
    """In any stretch of the limit's time there are at most so many."""
    rule = rule_of("a", Limit(3, 50))
    claims = [claim_of("a", 10 + at // 4, labels={"segment": f"{at:02}"}) for at in range(20)]
    told = [
        each
        for each in played(Lane([0], book_of(rule)), claims, 1000)
        if each.reason != "rate_limited_summary"
    ]
    assert len({each.fingerprint for each in told}) == len(told) == 20
    times = [each.as_of_ms for each in told]
    assert all(times[at + 3] - times[at] >= 50 for at in range(len(times) - 3))


def test_in_a_storm_a_summary_takes_the_place_of_a_thousand() -> None:
    """The most urgent are told up to the limit, then nothing but the summary until it is over."""
    names = [f"r{at % 25:02}" for at in range(1000)]
    claims = [
        claim_of(name, 10, labels={"segment": f"{at:03}"}, severity="critical" if at >= 990 else "warning")
        for at, name in enumerate(names)
    ]
    ends = [
        claim_of(each.alert, 40, "resolved", starts_at_ms=10, labels=each.labels, severity=each.severity)
        for each in claims
    ]
    lane = Lane([0], book_of(storm=Limit(20, 100)))
    told = played(lane, claims + ends, 1000)
    alerts = [each for each in told if each.alert != "AlertStorm"]
    assert (len(alerts), len({each.fingerprint for each in alerts})) == (40, 20)
    assert sum(each.severity == "critical" for each in alerts) == 20
    first, last = [each for each in told if each.alert == "AlertStorm"]
    assert (first.as_of_ms, first.state, first.reason, first.severity) == (
        10,
        "firing",
        "storm_summary",
        "warning",
    )
    assert (first.figures["withheld"], first.figures["firing"]) == (980, 980)
    assert len(first.figures["rules"]) == 20
    assert first.figures["other_rules"] == 980 - sum(first.figures["rules"].values())
    assert (last.as_of_ms, last.state, last.figures["firing"], last.fingerprint) == (
        110,
        "resolved",
        0,
        first.fingerprint,
    )


def test_a_storm_that_goes_on_is_told_again_and_what_is_left_is_told_after_it() -> None:
    """New figures once in the storm's time; at its end the few that still fire, one by one."""
    slices = [{"segment": f"{at:02}"} for at in range(40)]
    claims = [claim_of("a", 10 + 10 * at, labels=labels) for at, labels in enumerate(slices)]
    ends = [
        claim_of("a", 420, "resolved", starts_at_ms=claim.as_of_ms, labels=claim.labels)
        for claim in claims[:38]
    ]
    told = played(Lane([0], book_of(storm=Limit(2, 100))), claims + ends, 1000)
    storms = [each for each in told if each.alert == "AlertStorm"]
    assert [each.as_of_ms for each in storms] == [30, 130, 230, 330, 430, 500]
    assert [each.figures["withheld"] for each in storms] == [1, 11, 21, 31, 38, 38]
    assert storms[-1].state == "resolved"
    left = [each for each in told if each.reason == "storm_ended"]
    assert [(each.as_of_ms, each.labels["segment"]) for each in left] == [(500, "38"), (500, "39")]


def test_a_silence_keeps_a_summary_back_as_any_alert() -> None:
    """From beginning to end."""
    book = book_of(storm=Limit(1, 100), silences=(silence_of("alertname=AlertStorm", 0, 50),))
    claims = [claim_of("a", 10), claim_of("b", 10), claim_of("b", 20, "resolved", starts_at_ms=10)]
    assert lines(played(Lane([0], book), claims, 500)) == ["10 a firing first_crossing"]


def test_a_restart_is_no_reason_to_look_again() -> None:
    """What waits for one thing is not found to wait for another because a worker began anew."""
    book = book_of(
        inhibitions=(inhibition_of("alertname=x", "alertname=a"),),
        silences=(silence_of("alertname=a", 15, 25),),
    )
    table: dict[str, bytes] = {}
    decided = []
    for claims, until in (
        ([claim_of("a", 10), claim_of("x", 10)], 20),
        ([claim_of("x", 30, "resolved", starts_at_ms=10)], 40),
    ):
        lane = restored(table, [0], book)
        played(lane, claims, until)
        changes = lane.changes()
        decided += [f"{each.as_of_ms} {each.reason}" for each in changes.decided if each.alert == "a"]
        store(table, changes)
    assert decided == ["10 inhibited", "30 told"]


def test_other_rules_after_a_restart_let_go_what_they_do_not_keep_back() -> None:
    """At the instant where the lane is."""
    table: dict[str, bytes] = {}
    lane = Lane([0], book_of(inhibitions=(inhibition_of("alertname=x", "alertname=a"),)))
    played(lane, [claim_of("a", 10), claim_of("x", 10)], 20)
    store(table, lane.changes())
    assert lines(restored(table, [0], book_of()).release()) == ["20 a firing inhibition_ended"]


def test_new_rules_hold_from_their_moment_on() -> None:
    """Whatever the batches: a silence that the new file has no more lets go at that moment."""
    old, new = book_of(silences=(silence_of("alertname=a", 0, 1000),)), book_of()
    for cut in (15, 40, 60):
        lane = Lane([0], old)
        lane.swap(new, 50)
        told = played(lane, [claim_of("a", 10)], cut)
        told += played(lane, [claim_of("a", 70, "resolved", starts_at_ms=10)], 100)
        assert lines(told) == ["50 a firing silence_ended", "70 a resolved resolved"]


def test_without_groups_limits_and_storms_what_they_kept_back_is_told() -> None:
    """New rules that have none of them let everything go, and end the summaries."""
    old = book_of(rule_of("a", Limit(1, 900)), grouped=Grouped((), 5, 900), storm=Limit(2, 900))
    claims = [claim_of(name, 10, labels={"segment": each}) for name in "abc" for each in "xy"]
    lane = Lane([0], old)
    lane.swap(book_of(), 50)
    told = played(lane, [*claims, claim_of("d", 45)], 100)
    assert len({each.fingerprint for each in told}) == 9
    assert [line for line in lines(told) if "summary" in line] == [
        "15 AlertStorm firing storm_summary",
        "15 a firing rate_limited_summary",
        "50 AlertStorm resolved storm_summary",
        "50 a resolved rate_limited_summary",
    ]
