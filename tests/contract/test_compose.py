"""The compose file says what it means: schema, images, paths, commands, names, hardening."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.schema import PREFIX
from cli.table import SECTIONS
from tests.plugins.compose import FILE, SECRETS, Compose, Service, load_compose, make_secrets
from tests.plugins.dockerfile import load_dockerfile
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

OWN = ("migrate", "exporter", "sink")
ONE_SHOTS = {"migrate", "roles"}
IMAGES = {
    "timescaledb": "timescale/timescaledb:2.29.2-pg17",
    "redis": "redis:8.2-alpine",
    "workers": "depthgauge-workers:0.1.0",
    "migrate": "depthgauge:0.1.0",
    "roles": "depthgauge:0.1.0",
    "exporter": "depthgauge:0.1.0",
    "sink": "depthgauge:0.1.0",
    "prometheus": "prom/prometheus:v3.14.0",
    "alertmanager": "prom/alertmanager:v0.34.0",
    "grafana": "grafana/grafana:13.2.3",
}
GRAFANA_SETTINGS = {
    "SECURITY_ADMIN_PASSWORD__FILE",
    "USERS_ALLOW_SIGN_UP",
    "ANALYTICS_REPORTING_ENABLED",
    "ANALYTICS_CHECK_FOR_UPDATES",
    "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
    "NEWS_NEWS_FEED_ENABLED",
    "PLUGINS_PREINSTALL_DISABLED",
    "DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH",
}
"""Sections and keys of Grafana's conf/defaults.ini; a name that is not there would be ignored without a word."""
POSTGRES_SETTINGS = {
    "PGDATA",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD_FILE",
    "TIMESCALEDB_TELEMETRY",
    "TS_TUNE_MAX_CONNS",
}


def test_it_fits_the_schema() -> None:
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    done = subprocess.run([*command, str(repo_root() / FILE)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_pinned(compose: Compose) -> None:
    assert {name: service.image for name, service in compose.services.items()} == IMAGES
    for stage in load_dockerfile().values():
        assert re.fullmatch(r"python:3\.\d+-slim|build", stage.base), f"{stage.name} is made from {stage.base}"


def test_services_are_hardened(compose: Compose) -> None:
    for name, service in compose.services.items():
        raw = service.raw
        assert raw["read_only"] is True, name
        assert raw["cap_drop"] == ["ALL"], name
        assert raw["security_opt"] == ["no-new-privileges:true"], name
        assert raw["pids_limit"] > 0, name
        assert "mem_limit" in raw, name
        assert raw["logging"]["options"]["max-size"], name
        assert service.uid > 0, f"{name} runs as root"
        assert service.gid > 0 or name == "grafana", f"{name} runs in root's group"
        assert not {"privileged", "cap_add", "devices", "network_mode", "ipc"} & set(raw), name
        assert not any(name_.startswith("/var/run/docker") for name_ in (mount.source for mount in service.mounts)), (
            name
        )
        assert all(port.startswith("127.0.0.1:") for port in service.ports), name
        assert service.is_one_shot is (name in ONE_SHOTS), name
        assert bool(service.healthcheck) is (name not in ONE_SHOTS), name


def test_what_holds_data_is_on_the_inner_network_alone(compose: Compose) -> None:
    assert compose.raw["networks"]["backend"] == {"internal": True}
    for name in ("timescaledb", "redis", "workers", *ONE_SHOTS):
        assert compose.services[name].networks == ("backend",), name
        assert compose.services[name].ports == (), name


def test_mounts_volumes_and_secrets_exist_and_are_used(compose: Compose) -> None:
    mounted, given = set(), set()
    for name, service in compose.services.items():
        for mount in service.mounts:
            if mount.is_volume:
                assert mount.source in compose.volumes, f"{name}: no volume {mount.source}"
                mounted.add(mount.source)
            else:
                assert (repo_root() / mount.source).exists(), f"{name}: no {mount.source}"
                assert mount.read_only, f"{name} may write to {mount.source}"
        assert set(service.secrets) <= set(compose.secrets), name
        given |= set(service.secrets)
        assert set(service.networks) <= set(compose.raw["networks"]), name
    assert mounted == compose.volumes
    assert given == set(compose.secrets)


def test_dependencies_exist_and_can_come_true(compose: Compose) -> None:
    for name, service in compose.services.items():
        for other, condition in service.depends_on.items():
            wanted = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
            assert condition == wanted, f"{name} waits for {other}: {condition}"
            assert other in compose.services, f"{name} waits for {other}"
        _, _, shared = service.raw.get("pid", "").partition(":")
        assert not shared or shared in service.depends_on, (
            f"{name} enters the processes of {shared} before they are there"
        )


def data_folder(major: int) -> str:
    """Return where a volume has to be mounted in TimescaleDB's image, by PostgreSQL's major version."""
    return "/var/lib/postgresql/data" if major < 18 else "/var/lib/postgresql"


def check_data_folder(service: Service) -> None:
    (major,) = re.findall(r"-pg(\d+)$", service.image)
    (mount,) = (mount for mount in service.mounts if mount.is_volume)
    assert mount.target == data_folder(int(major)), f"PostgreSQL {major} would write beside the volume {mount.source}"
    data = service.environment["PGDATA"]
    assert data == mount.target or data.startswith(f"{mount.target}/"), f"{data} is outside of the volume"
    assert int(major) < 18 or data != mount.target, "from 18 on the folder names the version"


def test_the_database_writes_into_its_volume(compose: Compose) -> None:
    check_data_folder(compose.services["timescaledb"])


DATABASES = [
    ("x:1-pg17", "/var/lib/postgresql/data", "/var/lib/postgresql/data", True),
    ("x:1-pg17", "/var/lib/postgresql", "/var/lib/postgresql/data", False),
    ("x:1-pg18", "/var/lib/postgresql", "/var/lib/postgresql/18/docker", True),
    ("x:1-pg18", "/var/lib/postgresql/data", "/var/lib/postgresql/data", False),
    ("x:1-pg18", "/var/lib/postgresql", "/var/lib/postgresql", False),
    ("x:1-pg17", "/var/lib/postgresql/data", "/srv/data", False),
]


@pytest.mark.parametrize("case", DATABASES)
def test_an_upgrade_that_forgets_the_folder_is_found(
    compose: Compose, tmp_path: Path, case: tuple[str, str, str, bool]
) -> None:
    image, mount, data, good = case
    given = compose.services["timescaledb"]
    text = (repo_root() / FILE).read_text().replace(given.image, image)
    text = text.replace(f"PGDATA: {given.environment['PGDATA']}", f"PGDATA: {data}")
    path = tmp_path / FILE
    path.write_text(text.replace("timescaledb:/var/lib/postgresql/data", f"timescaledb:{mount}"))
    changed = load_compose(path).services["timescaledb"]
    if good:
        check_data_folder(changed)
    else:
        with pytest.raises(AssertionError):
            check_data_folder(changed)


def test_an_image_is_built_once(compose: Compose) -> None:
    """Engines build side by side, and two that end in one name collide."""
    ours = {service.image for service in compose.services.values() if service.target}
    built = [service.image for service in compose.services.values() if "build" in service.raw]
    assert sorted(built) == sorted(ours) == ["depthgauge-workers:0.1.0", "depthgauge:0.1.0"]


def test_volumes_belong_to_whom_the_image_gives_them(compose: Compose) -> None:
    stages = load_dockerfile()
    for name in ("workers", "exporter"):
        service = compose.services[name]
        stage = stages[str(service.target)]
        assert stage.user == f"{service.uid}:{service.gid}", name
        volumes = {mount.target for mount in service.mounts if mount.is_volume}
        owned = {folder.path for folder in stage.folders if folder.uid == service.uid}
        assert owned <= volumes, name
    # The exporter comes to the socket by its group.
    (folder,) = stages["workers"].folders
    assert folder.mode == 0o750
    assert folder.gid == compose.services["exporter"].gid
    assert folder.uid != compose.services["exporter"].uid
    assert "\nchmod=0770\n" in (repo_root() / "docker" / "supervisord.conf").read_text()


def test_our_commands_exist_and_take_these_flags(compose: Compose) -> None:
    for name in OWN:
        service = compose.services[name]
        assert load_dockerfile()[str(service.target)].entrypoint == ("depthgauge",)
        lines = [service.command]
        if service.healthcheck:
            assert service.healthcheck[0] == "depthgauge"
            lines.append(service.healthcheck[1:])
        for line in lines:
            shown = CliRunner().invoke(main, [line[0], "--help"])
            assert shown.exit_code == 0, shown.output
            assert all(flag in shown.output for flag in line if flag.startswith("--")), line
            path = line[line.index("--config.file") + 1]
            assert path in {mount.target for mount in service.mounts}, f"{name} has no {path}"


def variables() -> set[str]:
    found = {f"{PREFIX}CONFIG_FILE"}
    for section in SECTIONS:
        for key in section.keys:
            found |= set(key.variables)
    return found


def test_environment_names_exist(compose: Compose) -> None:
    known = {
        "timescaledb": POSTGRES_SETTINGS,
        "grafana": {f"GF_{name}" for name in GRAFANA_SETTINGS},
        **dict.fromkeys(OWN, variables()),
    }
    for name, service in compose.services.items():
        assert set(service.environment) <= known.get(name, set()), name
        for key, value in service.environment.items():
            assert not re.search(r"PASSWORD|TOKEN|DSN|SECRET", key) or key.endswith("_FILE"), f"{name}: {key}"
            if value.startswith(f"{SECRETS}/"):
                assert value.removeprefix(f"{SECRETS}/") in service.secrets, f"{name}: {value}"
            elif key.endswith("_PATH"):
                (source,) = (mount for mount in service.mounts if value.startswith(f"{mount.target}/"))
                assert (repo_root() / value.replace(source.target, source.source)).is_file(), f"{name}: {value}"


def test_files_name_only_secrets_that_their_services_get(compose: Compose) -> None:
    for name, service in compose.services.items():
        for mount in service.mounts:
            path = repo_root() / mount.source
            if path.is_file() and path.name != "depthgauge.toml":
                named = set(re.findall(rf"{SECRETS}/(\w+)", path.read_text()))
                assert named <= set(service.secrets), f"{name}: {path.name}"
    provisioning = repo_root() / "grafana" / "provisioning"
    text = "".join(path.read_text() for path in provisioning.rglob("*.yml"))
    assert set(re.findall(rf"{SECRETS}/(\w+)", text)) <= set(compose.services["grafana"].secrets)


def test_secrets_are_made_once_and_for_you_alone(compose: Compose, tmp_path: Path) -> None:
    said = make_secrets(tmp_path)
    folder = tmp_path / "secrets"
    assert {f"secrets/{path.name}" for path in folder.iterdir()} == set(compose.secrets.values())
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert not any(text in said for text in made.values())
    # Nobody else enters the folder; containers, which are other users, are given the files.
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert all(len(text) >= 48 and text == text.strip() for text in made.values())
    (folder / "reader_password").unlink()

    make_secrets(tmp_path)

    again = {path.name: path.read_text() for path in folder.iterdir()}
    assert again.keys() == made.keys()
    assert {name for name in made if made[name] != again[name]} == {"reader_password"}


def test_what_is_mounted_can_be_read_in_containers(tmp_path: Path) -> None:
    """Also where a checkout was made for its owner only (umask 077)."""
    rules = tmp_path / "prometheus" / "rules"
    rules.mkdir(parents=True, mode=0o700)
    file = rules / "depthgauge.yml"
    file.touch(mode=0o600)

    make_secrets(tmp_path)

    assert file.stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mode & 0o777 for path in (rules, rules.parent)} == {0o755}


def test_connection_strings_have_the_passwords_that_the_roles_get(compose_secrets: Path) -> None:
    def read(name: str) -> str:
        return (compose_secrets / name).read_text()

    assert f"postgres:{read('postgres_password')}@" in read("owner_dsn")
    assert f"depthgauge_reader:{read('reader_password')}@" in read("history_dsn")
    assert "depthgauge_writer:" in read("sink_dsn")
    passwords = {read(name) for name in ("postgres_password", "reader_password", "redis_password", "api_token")}
    assert len(passwords) == 4


def test_the_dockerfile_copies_what_exists_and_is_sent() -> None:
    """What `.dockerignore` lets through is what the Dockerfile copies: no secret and no test ever reaches an image."""
    lines = (repo_root() / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for stage in load_dockerfile().values() for source in stage.copies}
    assert all((repo_root() / source).exists() for source in copied)
    assert {path for path in copied if path != "requirements/"} == sent
    assert "**/__pycache__" in lines


def test_the_workers_image_takes_a_locked_rq() -> None:
    (line,) = (run for run in load_dockerfile()["build-workers"].runs if "pip install" in run)
    assert line.endswith("--constraint requirements/demo.txt rq")
    assert re.search(r"^rq==\d", (repo_root() / "requirements" / "demo.txt").read_text(), re.MULTILINE)
