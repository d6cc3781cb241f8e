"""The pipeline dashboard: whether workers keep up, and if not, where it is stuck."""

from __future__ import annotations

from typing import Final

from ops.grafana.shape import Panel, Query, Row, line, or_none, quantile, rate

PIPELINE: Final = (
    Row(
        "Is it well?",
        (
            Panel(
                "Readiness",
                "The checks of /health/ready, by worker. 0: the body of /health/ready says why.",
                (Query('min by (instance, check) (cx_ready{job=~"$job"})', "{{instance}} {{check}}"),),
                kind="state-timeline",
                width=12,
            ),
            line(
                "Partitions without a worker",
                "More than 0 for minutes: customers are not read.",
                Query(
                    'max by (topic) (cx_topic_partitions{job=~"$job"}) - '
                    'sum by (topic) (cx_assigned_partitions{job=~"$job"})',
                    "{{topic}}",
                ),
                width=6,
            ),
            line(
                "Stalled",
                "How long a partition with work has not moved. The worker ends itself at CX_STALL_AFTER_MS.",
                Query(
                    'max by (topic, partition) (cx_partition_stalled_seconds{job=~"$job"})',
                    "{{topic}}/{{partition}}",
                ),
                unit="s",
                width=6,
            ),
        ),
    ),
    Row(
        "What comes in",
        (
            line(
                "Records by their end",
                "Every record has exactly one.",
                Query(rate("cx_records_total", "topic, verdict"), "{{topic}} {{verdict}}"),
                unit="ops",
                stacked=True,
            ),
            line(
                "Dead letters by reason",
                "cx deadletters list says more.",
                Query(rate("cx_deadletters_total", "reason"), "{{reason}}"),
                unit="ops",
            ),
            line(
                "Left out, or in the wrong place",
                "Records not keyed by their customer; touchpoints that do not fit; members under 'other'.",
                Query(rate("cx_misrouted_records_total", "topic"), "misrouted {{topic}}"),
                Query(or_none(rate("cx_unpaired_total", "reason"), "reason"), "unpaired {{reason}}"),
                Query(or_none(rate("cx_other_members_total", "grouping"), "grouping"), "other {{grouping}}"),
                unit="ops",
            ),
        ),
    ),
    Row(
        "How late is it?",
        (
            line(
                "Lag by partition",
                "Records waiting on the broker.",
                Query('sum by (topic, partition) (cx_partition_lag{job=~"$job"})', "{{topic}}/{{partition}}"),
            ),
            line(
                "Work that waits",
                "Lag over the pace of now: how long it takes to catch up.",
                Query(
                    'sum by (topic) (cx_partition_lag{job=~"$job"}) / '
                    f"({rate('cx_batch_records_sum', 'topic')} > 0)",
                    "{{topic}}",
                ),
                unit="s",
            ),
            line(
                "From Kafka to done",
                "Age of the oldest record of a batch when it is durable.",
                Query(quantile(0.5, "cx_record_age_seconds", "topic"), "p50 {{topic}}"),
                Query(quantile(0.99, "cx_record_age_seconds", "topic"), "p99 {{topic}}"),
                unit="s",
            ),
            line(
                "Age of the newest event",
                "Wall clock less event time, when a batch is durable. A replay of old data is old here.",
                Query(quantile(0.5, "cx_event_age_seconds", "topic"), "p50 {{topic}}"),
                Query(quantile(0.99, "cx_event_age_seconds", "topic"), "p99 {{topic}}"),
                unit="s",
            ),
            line(
                "Watermark delay",
                "Wall clock less the watermark of each source.",
                Query(
                    'max by (topic, partition) (cx_watermark_delay_seconds{job=~"$job"})',
                    "{{topic}}/{{partition}}",
                ),
                unit="s",
            ),
            line(
                "Behind final",
                "How far final values are behind the furthest source: lateness, a pane, and whoever holds back.",
                Query(
                    'max by (partition) (cx_final_delay_seconds{job=~"$job"}) - ignoring (partition) '
                    'group_left () min(cx_watermark_delay_seconds{job=~"$job"})',
                    "cx.partials/{{partition}}",
                ),
                unit="s",
            ),
        ),
    ),
    Row(
        "How it works",
        (
            line(
                "Records in a batch",
                "Few when live, thousands while catching up.",
                Query(quantile(0.5, "cx_batch_records", "topic"), "p50 {{topic}}"),
                Query(quantile(0.99, "cx_batch_records", "topic"), "p99 {{topic}}"),
            ),
            line(
                "Seconds of a batch",
                "From handed over to durable and acknowledged.",
                Query(quantile(0.5, "cx_batch_seconds", "topic"), "p50 {{topic}}"),
                Query(quantile(0.99, "cx_batch_seconds", "topic"), "p99 {{topic}}"),
                unit="s",
            ),
            line(
                "In flight",
                "Fetched and not yet acknowledged; bounded by CX_MAX_INFLIGHT_RECORDS.",
                Query('sum by (instance) (cx_inflight_records{job=~"$job"})', "{{instance}}"),
            ),
            line(
                "Commit age",
                "Time since the last commit while there is work.",
                Query('max by (instance) (cx_commit_age_seconds{job=~"$job"})', "{{instance}}"),
                Query(rate("cx_commits_total", "instance"), "commits/s {{instance}}"),
                unit="s",
            ),
            line(
                "Processor",
                "Seconds of processor time per second.",
                Query(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
                unit="percentunit",
            ),
            line(
                "Memory",
                "Resident; tables are most of it.",
                Query('sum by (instance) (process_resident_memory_bytes{job=~"$job"})', "{{instance}}"),
                unit="bytes",
            ),
        ),
    ),
    Row(
        "State",
        (
            line(
                "Keys in tables",
                "Over all workers.",
                Query('sum by (table) (cx_table_keys{job=~"$job"})', "{{table}}"),
            ),
            line(
                "Recovery: records left",
                "At most. 0: tables are complete.",
                Query(
                    'sum by (instance, table) (cx_recovery_left_records{job=~"$job"})',
                    "{{instance}} {{table}}",
                ),
            ),
            line(
                "Recovery: records read, seconds taken",
                "Read back from changelogs; how long the last recovery of each table took.",
                Query(rate("cx_recovery_records_total", "table"), "records/s {{table}}"),
                Query('max by (table) (cx_recovery_seconds{job=~"$job"})', "seconds {{table}}"),
            ),
            line(
                "Rebalances",
                "All workers pause at each.",
                Query(
                    'sum by (instance) (increase(cx_rebalances_total{job=~"$job"}[$__rate_interval]))',
                    "{{instance}}",
                ),
            ),
            line(
                "Rules and silences",
                "Records of cx.rules and cx.silences read, by what became of them.",
                Query(
                    "sum by (topic, verdict) "
                    '(increase(cx_feed_records_total{job=~"$job"}[$__rate_interval]))',
                    "{{topic}} {{verdict}}",
                ),
            ),
            line(
                "The lane",
                "Claims that wait for their turn; alerts published.",
                Query('sum(cx_lane_waiting_claims{job=~"$job"})', "waiting"),
                Query(f"{rate('cx_alerts_total', 'state')} * 60", "{{state}} a minute"),
            ),
        ),
    ),
    Row(
        "What goes out",
        (
            line(
                "Redis",
                "1 while it answers.",
                Query('min by (instance) (cx_readmodel_up{job=~"$job"})', "{{instance}}"),
            ),
            line(
                "Written to Redis",
                "Entries written, and writes that failed.",
                Query(rate("cx_readmodel_writes_total", "kind"), "{{kind}}"),
                Query(rate("cx_readmodel_errors_total", "reason"), "failed: {{reason}}"),
                unit="ops",
            ),
            line(
                "Delivery: attempts",
                "By receiver and outcome. Nothing without CX_DELIVERY.",
                Query(
                    or_none(rate("cx_deliveries_total", "receiver, outcome"), "receiver"),
                    "{{receiver}} {{outcome}}",
                ),
                unit="ops",
            ),
            line(
                "Delivery: owed",
                "Alerts that a receiver has not had yet, and those that were given up on.",
                Query(
                    or_none('sum by (receiver) (cx_delivery_waiting{job=~"$job"})', "receiver"),
                    "owed {{receiver}}",
                ),
                Query(
                    or_none('sum by (receiver) (cx_delivery_parked{job=~"$job"})', "receiver"),
                    "parked {{receiver}}",
                ),
            ),
            line(
                "Delivery: seconds to an answer",
                "Of the receivers.",
                Query(
                    or_none(quantile(0.99, "cx_delivery_seconds", "receiver"), "receiver"), "p99 {{receiver}}"
                ),
                unit="s",
            ),
            Panel(
                "Versions",
                "Of the workers that run.",
                (
                    Query(
                        'count by (version, python) (cx_build_info{job=~"$job"})',
                        "{{version}} on Python {{python}}",
                        instant=True,
                    ),
                ),
                kind="stat",
            ),
        ),
    ),
)
