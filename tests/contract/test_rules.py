"""The rules for Prometheus: fresh, sound, about metrics that exist, with a runbook and tests for every alert."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from click.testing import CliRunner

from cli.main import main
from cli.rules.durations import seconds_of
from cli.rules.table import ALERTS, GROUPS, THRESHOLDS
from tests.plugins import proofs_queues
from tests.plugins.alertmanager import selected
from tests.plugins.known_metrics import own_metrics
from tests.plugins.repo import repo_root
from tests.plugins.rule_files import FILES
from tests.plugins.rule_tests import Case, document

pytestmark = pytest.mark.needs("source-tree")

SECTIONS = ("Meaning", "Impact", "How to look", "How to mend")
OF_ANYBODY: Mapping[str, frozenset[str]] = {"up": frozenset(), "process_start_time_seconds": frozenset()}
"""Metrics of every target, or of every daemon with prometheus_client's usual ones."""
OF_THE_SCRAPE = frozenset(("job", "instance"))


def printed(*options: str) -> str:
    result = CliRunner().invoke(main, ["rules", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def loaded(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def rules(text: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(text)["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def proofs() -> list[dict[str, Any]]:
    """Return all tests for promtool."""
    folder = repo_root() / "prometheus" / "rules" / "tests"
    return [test for path in sorted(folder.iterdir()) for test in loaded(path.read_text(encoding="utf-8"))["tests"]]


def test_the_committed_rules_are_what_the_command_prints() -> None:
    (path,) = (repo_root() / "prometheus" / "rules").glob("*.yml")
    assert path.read_text(encoding="utf-8") == printed(), f"run: depthgauge rules > {path.relative_to(repo_root())}"


@pytest.mark.parametrize("name", FILES)
def test_the_committed_tests_are_what_the_proofs_make(name: str, pytestconfig: pytest.Config) -> None:
    path = repo_root() / "prometheus" / "rules" / "tests" / name
    if pytestconfig.getoption("--update-golden"):
        path.write_text(FILES[name], encoding="utf-8")
    assert path.read_text(encoding="utf-8") == FILES[name], "run: pytest tests/contract/test_rules.py --update-golden"


def test_no_file_of_tests_is_left_over() -> None:
    assert {path.name for path in (repo_root() / "prometheus" / "rules" / "tests").iterdir()} == set(FILES)


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in rules(printed()) if "alert" in rule]
    assert [rule["alert"] for rule in alerts] == [alert.name for alert in ALERTS]
    assert len({alert.name for alert in ALERTS}) == len(ALERTS) >= 20
    for rule in alerts:
        assert set(rule["labels"]) == {"severity"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        said = rule["annotations"]
        assert set(said) == {"summary", "description", "runbook_url"}
        assert re.fullmatch(r"[A-Z][^{}]*\.", said["summary"]), f"{rule['alert']}: a summary is a fixed sentence"
        assert said["description"].endswith((".", "?"))
        assert "{limit}" not in said["description"]


def test_every_alert_has_a_runbook_with_its_four_sections_and_no_page_is_orphaned() -> None:
    folder = repo_root() / "docs" / "runbooks"
    assert {path.stem for path in folder.iterdir()} == {alert.name for alert in ALERTS}
    for alert in ALERTS:
        text = (folder / f"{alert.name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {alert.name}\n")
        assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS, alert.name
        assert f"`{alert.threshold.name}`" in text, f"{alert.name}: the page does not name its threshold"
        assert all(len(section.strip()) > 40 for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])


def test_runbooks_name_commands_flags_and_metrics_that_exist() -> None:
    known = {*own_metrics(), *(each.name for group in GROUPS for each in group.recordings)}
    for path in (repo_root() / "docs" / "runbooks").iterdir():
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"\bdepthgauge ([a-z]+)(?=[ \n`])", text):
            if command != "user":
                assert command in main.commands, f"{path.name}: depthgauge {command}"
        for metric in re.findall(r"\b(?:queue:)?(?:jobqueue|supervisor|depthgauge)_[a-z0-9_]+(?::[a-z0-9_]+)?", text):
            assert metric in known, f"{path.name}: {metric}"
        for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
            for query in block.strip().split("\n"):
                promql_parser.parse(query)


def metrics_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each selected metric with the labels it is selected by."""
    found: list[tuple[str, set[str]]] = []

    def look(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), look)
    yield from found


def test_every_metric_exists_with_the_labels_it_is_selected_by() -> None:
    table = {**{name: known.labels for name, known in own_metrics().items()}, **OF_ANYBODY}
    recorded: set[str] = set()
    used: set[str] = set()
    for rule in rules(printed()):
        for name, labels in metrics_in(rule["expr"]):
            used.add(name)
            if name.startswith("queue:"):
                assert name in recorded, f"{name} is used before it is recorded"
                continue
            assert name in table, f"{rule}: there is no {name}"
            assert labels <= table[name] | OF_THE_SCRAPE, f"{name}: {labels - table[name]}"
            assert "job" in labels, f"{name} is not selected by the scrape's labels"
        for group in re.findall(r"\b(?:by|on|without) \(([^)]*)\)", rule["expr"]):
            assert set(group.split(", ")) <= {label for labels in table.values() for label in labels} | OF_THE_SCRAPE
        recorded.add(rule.get("record", ""))
    assert len(used) > 20


def test_every_alert_is_tested_at_its_threshold_one_step_below_and_with_a_missed_scrape(
    proofs: list[dict[str, Any]],
) -> None:
    for alert in ALERTS:
        tests = [test for test in proofs if test["name"].startswith(f"{alert.name} ")]
        (fires,) = [test for test in tests if test["name"].endswith("fires at its threshold, not one step earlier")]
        before, at, *_ = fires["alert_rule_test"]
        assert before["exp_alerts"] == []
        assert at["exp_alerts"]
        assert int(at["eval_time"][:-1]) == int(before["eval_time"][:-1]) + 1
        for expected in at["exp_alerts"]:
            assert set(expected["exp_annotations"]) == {"summary", "description", "runbook_url"}
        assert any(" stays quiet: " in test["name"] for test in tests), alert.name
        (missed,) = [test for test in tests if f"{alert.name} survives a missed scrape" in test["name"]]
        about_scrapes = any(series["series"].startswith("up{") for series in missed["input_series"])
        assert about_scrapes or any("stale" in series["values"] for series in missed["input_series"])


def test_inhibitions_join_alerts_by_labels_that_both_carry(proofs: list[dict[str, Any]]) -> None:
    """Alertmanager takes a label that both lack for equal: a wrong list would hold back everything."""
    carried: dict[str, list[set[str]]] = {}
    for test in proofs:
        for look in test.get("alert_rule_test", ()):
            for expected in look["exp_alerts"]:
                carried.setdefault(look["alertname"], []).append(set(expected["exp_labels"]))
    pairs = set()
    config = loaded((repo_root() / "prometheus" / "alertmanager.yml").read_text(encoding="utf-8"))
    for rule in config["inhibit_rules"]:
        sources, targets = selected(rule["source_matchers"]), selected(rule["target_matchers"])
        assert sources
        assert targets
        assert not sources & targets
        equal = set(rule.get("equal", ()))
        for source in sources:
            # An alert about all queues of a system together has no queue, and holds back only such.
            always = equal - {"queue"}
            assert all(always <= labels for labels in carried[source]), f"{source} has not always the labels {always}"
            assert any(equal <= labels for labels in carried[source]), f"{source} never has the labels {equal}"
        for target in targets:
            assert any(equal <= labels for labels in carried[target]), f"{target} never has the labels {equal}"
        pairs |= {(source, target) for source in sources for target in targets}
    # One sink that is down, too old or without the bus must not hide that all history stands still.
    assert {source for source, target in pairs if target == "DepthgaugeSinkLagging"} == {"DepthgaugeSinkCannotWrite"}
    assert pairs >= {
        ("SupervisorDown", "SupervisorProcessFatal"),
        ("SupervisorDown", "SupervisorProcessCrashLoop"),
        ("JobQueueRedisDown", "JobQueueNoWorkers"),
        ("JobQueueNoWorkers", "JobQueueWaitCritical"),
        ("JobQueueStuck", "JobQueueWaitTooLong"),
        ("JobQueueWaitCritical", "JobQueueWaitTooLong"),
        ("DepthgaugeSnapshotStale", "SupervisorDown"),
        ("DepthgaugeSpoolFilling", "DepthgaugeBusDown"),
        ("DepthgaugeSinkCannotWrite", "DepthgaugeSinkLagging"),
    }


def test_an_exporter_that_collects_nothing_is_told_of_before_what_it_says_is_down() -> None:
    """Otherwise somebody is called for each of its sources, and it is held back only afterwards."""
    interval = 15.0
    alerts = {rule["alert"]: rule for rule in rules(printed()) if "alert" in rule}
    config = loaded((repo_root() / "prometheus" / "alertmanager.yml").read_text(encoding="utf-8"))
    (held,) = [
        selected(rule["target_matchers"])
        for rule in config["inhibit_rules"]
        if selected(rule["source_matchers"]) == {"DepthgaugeSnapshotStale"}
    ]
    (limit,) = re.findall(r"> (\d+)$", alerts["DepthgaugeSnapshotStale"]["expr"])
    told = float(limit) + interval + lasts(alerts["DepthgaugeSnapshotStale"])
    for name in held:
        # It shows them as down after three intervals.
        assert 3 * interval + lasts(alerts[name]) > told, name
    routes = (config["route"], *(route for route in config["route"]["routes"] if route["receiver"] != "nobody"))
    assert all((seconds_of(route["group_wait"]) or 0) >= 2 * interval for route in routes)


def lasts(rule: dict[str, Any]) -> float:
    return seconds_of(rule.get("for", "0s")) or 0.0


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    "options",
    [
        (),
        (
            "--selector",
            'job="a",env=~"prod|staging"',
            "--sink-selector",
            'job=~"b.*"',
            "--by",
            "cluster",
            "--by",
            "env",
        ),
        ("--threshold", "jobqueue.wait=90", "--threshold", "host.disk=0.955", "--threshold", "jobqueue.stuck=1d12h"),
        ("--selector", r'job=~"host\\d+|a\\.b|\x41\u00e4\"",env!="\t"'),
        ("--without", "JobQueuePaused", "--runbook-url", "https://wiki.example.org/runbooks/"),
    ],
    ids=["defaults", "selectors", "thresholds", "escapes", "others"],
)
def test_promtool_finds_the_rules_good(options: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(printed(*options))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules(file.read_text()))} rules found" in done.stdout


@pytest.mark.needs("promtool")
def test_a_window_shorter_than_two_scrapes_makes_no_alert(tmp_path: Path) -> None:
    """Another head at every scrape: within 50 seconds there is one sample, which never changes."""
    (tmp_path / "rules.yml").write_text(
        printed("--threshold", "jobqueue.wait=50s", "--threshold", "jobqueue.stuck=50s")
    )
    samples = {proofs_queues.WAITING: "5x40", proofs_queues.FIRST_SEEN: "0+60x40", proofs_queues.WORKERS: "1x40"}
    cases = [
        Case(name=alert, alert=alert, samples=samples, quiet=range(2, 40))
        for alert in ("JobQueueWaitTooLong", "JobQueueStuck")
    ]
    (tmp_path / "tests.yml").write_text(document("", cases).replace("../depthgauge.yml", "rules.yml"))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tests.yml")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def alerts_by_name(*options: str) -> dict[str, str]:
    return {rule["alert"]: str(rule) for rule in rules(printed(*options)) if "alert" in rule}


def test_every_threshold_changes_its_alert_and_no_other() -> None:
    before = alerts_by_name()
    assert len({each.name for each in THRESHOLDS}) == len(THRESHOLDS)
    for threshold in THRESHOLDS:
        value = "0.123" if threshold.unit == "ratio" else "1234"
        after = alerts_by_name("--threshold", f"{threshold.name}={value}")
        changed = {name for name, text in before.items() if text != after[name]}
        assert changed == {alert.name for alert in ALERTS if alert.threshold is threshold}


def test_selectors_further_labels_and_runbooks_go_everywhere() -> None:
    text = printed("--selector", 'a="b"', "--sink-selector", 'c="d"', "--by", "cluster", "--runbook-url", "https://w/")
    assert 'job="' not in text
    assert text.count("cluster, redis, system, queue") == printed().count("redis, system, queue")
    assert "min by (cluster) (time()" in text
    assert 'runbook_url: "https://w/JobQueueStuck.md"' in text
    assert text.splitlines()[0].endswith(
        "rules --selector 'a=\"b\"' --sink-selector 'c=\"d\"' --by cluster --runbook-url https://w/"
    )
    assert "JobQueuePaused" not in printed("--without", "JobQueuePaused").split("groups:")[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threshold", "jobque.wait=3"), ("jobque.wait", "did you mean jobqueue.wait?", "sink.lag")),
        (("--threshold", "jobqueue.wait"), ("jobqueue.wait", "nothing is not allowed", "10m")),
        (("--threshold", "jobqueue.wait=soon"), ("jobqueue.wait=soon", "soon is not allowed", "10m")),
        (("--threshold", "jobqueue.wait=0"), ("0 is not allowed",)),
        (("--threshold", "jobqueue.wait=1.5"), ("whole seconds",)),
        (("--threshold", "jobqueue.wait=31d"), ("30d",)),
        (("--threshold", "host.disk=90"), ("host.disk=90", "up to 1")),
        (("--threshold", "host.disk=nan"), ("nan is not allowed",)),
        (("--threshold", "process.restarts=-1"), ("-1 is not allowed",)),
        (("--selector", '{job="x"}'), ("--selector", "braces")),
        (("--selector", "job=x"), ("'job=x' is no matcher", 'job="depthgauge"')),
        (("--selector", 'job="x" env="y"'), ("a comma is wanted",)),
        (("--selector", ""), ("is empty",)),
        (("--selector", 'job=~"("'), ("no regular expression",)),
        (("--selector", 'job="x",'), ("ends with a comma",)),
        (("--sink-selector", 'job="x" , '), ("--sink-selector", "ends with a comma")),
        (("--selector", r'job=~"host\d+"'), (r"no \d within double quotes; write \\d",)),
        (("--selector", r'job="x",env=~"a\.b\\.c"'), (r"no \. within double quotes; write \\.",)),
        (("--selector", r'job="a\x1"'), (r"write \\x",)),
        (("--selector", 'queue="x"'), ("the rules select by queue themselves",)),
        (("--sink-selector", "x"), ("--sink-selector x",)),
        (("--by", "a-b"), ("--by a-b",)),
        (("--by", "queue"), ("--by queue",)),
        (("--without", "JobQueueStack"), ("did you mean JobQueueStuck?",)),
        (("--runbook-url", "wiki"), ("--runbook-url wiki", "http")),
    ],
)
def test_mistakes_are_told_with_what_there_is(options: tuple[str, ...], words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["rules", *options])
    assert result.exit_code == 1
    assert all(word in result.output for word in words), result.output
    assert "groups:" not in result.output


def test_all_mistakes_are_told_at_once() -> None:
    result = CliRunner().invoke(main, ["rules", "--threshold", "x=1", "--selector", "y", "--by", "-"])
    assert result.output.count("\n  ") == 3


def test_thresholds_are_listed() -> None:
    lines = printed("--list-thresholds").splitlines()
    assert [line.split("=")[0] for line in lines] == [each.name for each in THRESHOLDS]
    assert "jobqueue.wait=10m " in printed("--list-thresholds")
    for line in lines:
        printed("--threshold", line.split()[0])
