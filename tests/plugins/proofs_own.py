"""Proofs of the alerts about Depthgauge itself: exporters, bus, sinks."""

from tests.plugins.rule_tests import SINK, WEB_1, WEB_2, Case, Firing, Proof, selector, series

HERE = {"instance": WEB_1, "job": "depthgauge-exporter"}
THERE = {"instance": SINK, "job": "depthgauge-sink"}
UP = series("up")
TAKEN = series("depthgauge_snapshot_timestamp_seconds")
SOURCE = {"kind": "processes", "target": "proc"}
SHARED = {"kind": "redis_server", "target": "default"}
SOURCE_UP = series("depthgauge_source_up", SOURCE)
RELOADED = series("depthgauge_config_last_reload_successful")
SINK_RELOADED = series("depthgauge_config_last_reload_successful", instance=SINK)
FAMILY = {"family": "jobqueue_jobs"}
OVER = series("depthgauge_series_over_budget", FAMILY)
BUS_UP = series("depthgauge_bus_up")
SPOOL = series("depthgauge_spool_bytes")
ROOM = series("depthgauge_spool_max_bytes")
FULL = {"reason": "spool_full"}
DROPS = series("depthgauge_bus_drops_total", FULL)
SINK_UP = series("up", instance=SINK)
DATABASE_UP = series("depthgauge_sink_database_up", instance=SINK)
SINK_BUS_UP = series("depthgauge_sink_bus_up", instance=SINK)
NEWER = series("depthgauge_sink_newer_entries", instance=SINK)
STOPPED = series("depthgauge_sink_stopped", instance=SINK)
NEWEST = series("depthgauge_sink_newest_slot_timestamp_seconds", instance=SINK)
KEPT = series("depthgauge_sink_quarantine_entries", instance=SINK)
LOST = series("depthgauge_sink_gap_snapshots", state="lost", instance=SINK)
KEPT_UP = series("depthgauge_sink_maintenance_last_success_timestamp_seconds", step="all", instance=SINK)
REFUSED = series("depthgauge_sink_maintenance_failures_total", reason="privileges", instance=SINK)
SINK_STARTED = series("process_start_time_seconds", instance=SINK)

EXPORTERS = (
    Proof(
        alert="DepthgaugeExporterDown",
        severity="critical",
        samples={UP: "1 0x30"},
        fires_at=6,
        labels=HERE,
        summary="An exporter cannot be scraped.",
        description="Prometheus has not been able to scrape web-1:10139 for 5m: that host is not watched.",
        below={
            "it is back a step earlier": {UP: "1 0x4 1x30"},
            "the sink is another matter": {UP: "1x30", SINK_UP: "0x30"},
        },
        missed_scrape={UP: "1x4 0 1x30"},
    ),
    Proof(
        alert="DepthgaugeExporterAbsent",
        severity="critical",
        samples={selector("up", {"job": "node"}): "1x30"},
        fires_at=15,
        labels={"job": "depthgauge-exporter"},
        summary="Prometheus knows of no exporter.",
        description="There has been no exporter to be scraped for 15m: nothing is watched.",
        below={
            "one comes a step earlier": {UP: "_x15 0x30"},
            "one that is down is not absent": {UP: "0x30"},
        },
        missed_scrape={UP: "1x4 0 1x30"},
    ),
    Proof(
        alert="DepthgaugeSnapshotStale",
        severity="critical",
        samples={TAKEN: "0 60 120x40"},
        fires_at=6,
        labels=HERE,
        summary="An exporter answers but collects nothing any more.",
        description="The snapshot of web-1:10139 is 4m 0s old, more than 2m.",
        later="The snapshot of web-1:10139 is 6m 0s old, more than 2m.",
        below={"two minutes are not too old": {TAKEN: "-120+60x40"}},
    ),
    Proof(
        alert="DepthgaugeSourceFailing",
        severity="warning",
        samples={SOURCE_UP: "1 0x40"},
        fires_at=16,
        labels={**SOURCE, **HERE},
        summary="A source cannot be read.",
        description="processes proc could not be read for 15m by web-1:10139.",
        below={
            "it is read a step earlier": {SOURCE_UP: "1 0x14 1x40"},
            "a Redis that one of two exporters reads": {
                SOURCE_UP: "1x40",
                series("depthgauge_source_up", SHARED): "0x40",
                series("depthgauge_source_up", SHARED, instance=WEB_2): "1x40",
            },
        },
    ),
    Proof(
        alert="DepthgaugeConfigReloadFailed",
        severity="warning",
        samples={RELOADED: "1 0x30"},
        fires_at=11,
        labels=HERE,
        summary="A daemon could not read its changed configuration.",
        description="web-1:10139 has gone on with its former configuration for 10m: the new one has mistakes.",
        below={"it is mended a step earlier": {RELOADED: "1 0x9 1x30"}},
    ),
    Proof(
        alert="DepthgaugeSeriesOverBudget",
        severity="warning",
        samples={OVER: "0 1x40"},
        fires_at=16,
        labels={**FAMILY, **HERE},
        summary="An exporter leaves out series because there are too many.",
        description="web-1:10139 leaves out 1 series of jobqueue_jobs: nothing is known of them here.",
        below={"none is left out": {OVER: "0x40"}},
    ),
)
BUS = (
    Proof(
        alert="DepthgaugeBusDown",
        severity="warning",
        samples={BUS_UP: "1 0x40"},
        fires_at=11,
        labels=HERE,
        summary="An exporter cannot publish on the bus.",
        description=(
            "The bus has taken no snapshot of web-1:10139 for 10m: history waits in its spool, if it has one."
        ),
        below={"it is back a step earlier": {BUS_UP: "1 0x9 1x40"}},
    ),
    Proof(
        alert="DepthgaugeSpoolFilling",
        severity="critical",
        samples={SPOOL: "801x30", ROOM: "1000x30"},
        fires_at=5,
        labels=HERE,
        summary="The spool of an exporter is nearly full: history will be lost.",
        description="The spool of web-1:10139 is 80.1% full, more than 80%.",
        below={"four fifths": {SPOOL: "800x30"}},
    ),
    Proof(
        alert="DepthgaugeSnapshotsDropped",
        severity="warning",
        samples={DROPS: "0x3 1x30"},
        fires_at=4,
        labels={**FULL, **HERE},
        summary="Snapshots were dropped: history has a gap.",
        description="web-1:10139 has dropped snapshots in the last 15 minutes: 1 (spool_full).",
        below={"long ago": {DROPS: "9x30"}, "the exporter starts anew": {DROPS: "9x3 0x30"}},
    ),
)
SINKS = (
    Proof(
        alert="DepthgaugeSinkDown",
        severity="warning",
        samples={SINK_UP: "1 0x30"},
        fires_at=11,
        labels=THERE,
        summary="A sink cannot be scraped.",
        description=(
            "Prometheus has not been able to scrape db-1:10140 for 10m; the bus keeps what it does not write."
        ),
        below={"it is back a step earlier": {SINK_UP: "1 0x9 1x30"}},
        missed_scrape={SINK_UP: "1x4 0 1x30"},
    ),
    Proof(
        alert="DepthgaugeSinkCannotWrite",
        severity="warning",
        samples={DATABASE_UP: "1 0x40"},
        fires_at=11,
        labels=THERE,
        summary="A sink cannot write into the database.",
        description="db-1:10140 has not been able to write into the database for 10m.",
        below={"it is back a step earlier": {DATABASE_UP: "1 0x9 1x40"}},
    ),
    Proof(
        alert="DepthgaugeSinkBusDown",
        severity="warning",
        samples={SINK_BUS_UP: "1 0x40", DATABASE_UP: "1x40"},
        fires_at=11,
        labels=THERE,
        summary="A sink cannot read the bus.",
        description="db-1:10140 has not been able to read the bus for 10m: it writes nothing.",
        below={
            "it is back a step earlier": {SINK_BUS_UP: "1 0x9 1x40"},
            "an exporter's way to the bus is another matter": {SINK_BUS_UP: "1x40", BUS_UP: "0x40"},
        },
    ),
    Proof(
        alert="DepthgaugeSinkTooOld",
        severity="warning",
        samples={NEWER: "0 1x40"},
        fires_at=16,
        labels=THERE,
        summary="Snapshots of a newer version wait for a sink to be upgraded.",
        description="db-1:10140 has left 1 entries of a newer version on the stream, more than 0.",
        below={"there are none": {NEWER: "0x40"}, "it is upgraded a step earlier": {NEWER: "0 1x14 0x40"}},
    ),
    Proof(
        alert="DepthgaugeSinkLagging",
        severity="warning",
        samples={NEWEST: "0x40"},
        fires_at=19,
        labels={},
        summary="History stands still.",
        description="The newest snapshot in the database is 19m 0s old, more than 15m.",
        later="The newest snapshot in the database is 21m 0s old, more than 15m.",
        below={
            "a quarter of an hour is not too old": {NEWEST: "0x15 60+60x30"},
            "another sink writes": {
                series("depthgauge_sink_newest_slot_timestamp_seconds", instance=SINK, replica="2"): "0+60x40"
            },
        },
    ),
    Proof(
        alert="DepthgaugeQuarantineFilled",
        severity="warning",
        samples={KEPT: "0 1x40"},
        fires_at=16,
        labels={},
        summary="Snapshots that no sink could use wait in the quarantine.",
        description="There are 1 entries in the quarantine, more than 0.",
        below={"it is empty": {KEPT: "0x40"}, "it is emptied a step earlier": {KEPT: "0 1x14 0x40"}},
    ),
    Proof(
        alert="DepthgaugeSnapshotsLost",
        severity="warning",
        samples={LOST: "3x5 4x30"},
        fires_at=6,
        missed=4,
        labels={},
        summary="Snapshots are missing in the history, and nobody has told why.",
        description="Snapshots found missing for good within an hour: 1, more than 0.",
        below={
            "they were missing before": {LOST: "3x30"},
            "gaps that are open or explained": {
                LOST: "3x30",
                series("depthgauge_sink_gap_snapshots", state="open", instance=SINK): "0x5 9x30",
                series("depthgauge_sink_gap_snapshots", state="dropped", instance=SINK): "0x5 9x30",
            },
        },
    ),
    Proof(
        alert="DepthgaugeMaintenanceStale",
        severity="warning",
        samples={KEPT_UP: "0x90"},
        fires_at=66,
        labels={},
        summary="The database is not kept up: rollups and retention are late.",
        description="depthgauge.maintain() has not ended well for 1h 6m 0s, more than 1h.",
        later="depthgauge.maintain() has not ended well for 1h 8m 0s, more than 1h.",
        below={
            "an hour is not too long": {KEPT_UP: "0x60 60+60x40"},
            "it is left to a job, of which no sink knows": {KEPT_UP: "_x90", SINK_STARTED: "0x90", REFUSED: "0x90"},
            "rounds fail meanwhile": {KEPT_UP: "0+60x90", SINK_STARTED: "0x90", REFUSED: "0+1x90"},
        },
    ),
)


def _not_kept_up(minutes: int) -> Firing:
    return Firing(
        labels={"severity": "warning"},
        summary="The database is not kept up: rollups and retention are late.",
        description=f"depthgauge.maintain() has not ended well for 1h {minutes - 60}m 0s, more than 1h.",
    )


EXPORTER_CASES = (
    *(case for proof in EXPORTERS for case in proof.cases()),
    Case(
        name="DepthgaugeSourceFailing outlives a take-over of a Redis",
        alert="DepthgaugeSourceFailing",
        samples={
            series("depthgauge_source_up", SHARED): "0x8 stale",
            series("depthgauge_source_up", SHARED, instance=WEB_2): "_x10 0x30",
        },
        quiet=(14,),
        firing={
            15: (
                Firing(
                    labels={**SHARED, "severity": "warning"},
                    summary="A source cannot be read.",
                    description="redis_server default could not be read for 15m.",
                ),
            )
        },
    ),
    Case(
        name="DepthgaugeConfigReloadFailed knows the sink too",
        alert="DepthgaugeConfigReloadFailed",
        samples={SINK_RELOADED: "1 0x30"},
        quiet=(10,),
        firing={
            11: (
                Firing(
                    labels={**THERE, "severity": "warning"},
                    summary="A daemon could not read its changed configuration.",
                    description="db-1:10140 has gone on with its former configuration for 10m: the new one has mistakes.",
                ),
            )
        },
    ),
    *(case for proof in BUS for case in proof.cases()),
)
SINK_CASES = (
    *(case for proof in SINKS for case in proof.cases()),
    Case(
        name="DepthgaugeMaintenanceStale knows upkeep that has never ended well, a missed scrape included",
        alert="DepthgaugeMaintenanceStale",
        samples={SINK_STARTED: "0x64 stale 0x30", REFUSED: "0+1x64 stale 66+1x30"},
        quiet=(60, 65),
        firing={minute: (_not_kept_up(minute),) for minute in (66, 68, 80)},
    ),
    Case(
        name="DepthgaugeMaintenanceStale gives a sink that has just been started an hour",
        alert="DepthgaugeMaintenanceStale",
        samples={SINK_STARTED: "1800x90", REFUSED: "_x30 0+1x60"},
        quiet=(60, 66, 90),
    ),
    Case(
        name="DepthgaugeSinkCannotWrite knows a sink that waits for a human",
        alert="DepthgaugeSinkCannotWrite",
        samples={DATABASE_UP: "1x40", STOPPED: "0 1x40"},
        quiet=(10,),
        firing={11: (SINKS[1].firing,)},
    ),
)
