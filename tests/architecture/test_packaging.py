"""What is shipped: locks, wheel, image, compose file. No container engine is needed to check them."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kasparro.core.config import Settings

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "database"}

ENTRY = re.compile(
    r"^(?P<name>[a-zA-Z0-9][\w.-]*)(?:\[[\w,-]+\])?==(?P<version>[^ ;\\]+)(?P<rest>.*(?:\n[ \t]+.*)*)",
    re.MULTILINE,
)
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<rule>[^}]*)\}")
SECRETS = {"POSTGRES_PASSWORD", "API_KEYS"}


def locked(lock: Path) -> dict[str, re.Match[str]]:
    return {canonicalize_name(entry["name"]): entry for entry in ENTRY.finditer(lock.read_text())}


def direct(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


# locks


def test_there_is_a_lock_for_each_purpose():
    purposes = ["dev", "flights", "installer", "peers", "production", "run"]

    assert [lock.stem for lock in LOCKS] == purposes


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_of_a_lock_has_one_version_and_hashes(lock):
    entries = locked(lock)

    assert entries
    assert [name for name, entry in entries.items() if "--hash=sha256:" not in entry["rest"]] == []
    assert [name for name, entry in entries.items() if "*" in entry["version"]] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_holds_nothing_but_requirements_hashes_and_comments(lock):
    """No address of an index, no option, no path: it installs from whatever registry the machine uses."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    entry = re.compile(r"([\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ; .+)?|    --hash=sha256:[0-9a-f]{64})( \\)?")

    assert [line for line in lines if not entry.fullmatch(line)] == []
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("name", ["dev", "run", "production"])
def test_every_dependency_is_locked(name):
    assert direct(PROJECT["dependencies"]) <= set(locked(ROOT / "requirements" / f"{name}.lock"))


@pytest.mark.parametrize("name", ["run", "production"])
def test_what_is_shipped_is_what_is_tested(name):
    tested = {
        package: entry["version"] for package, entry in locked(ROOT / "requirements" / "dev.lock").items()
    }
    shipped = {
        package: entry["version"] for package, entry in locked(ROOT / "requirements" / f"{name}.lock").items()
    }

    assert shipped.items() <= tested.items()


def test_production_has_no_embedded_server_and_no_development_tools():
    embedded = direct(PROJECT["optional-dependencies"]["embedded"])
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]

    assert embedded <= set(locked(ROOT / "requirements" / "run.lock"))
    assert not (embedded | direct(groups["dev"])) & set(locked(ROOT / "requirements" / "production.lock"))


def test_the_version_the_job_queues_schema_belongs_to_is_pinned():
    """Its tables are made by a migration of ours: a release that changes them needs another migration."""
    requirement = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "procrastinate")

    assert requirement.specifier.contains("3.10.5")
    assert not requirement.specifier.contains("3.11.0")


# files


def project_files() -> list[Path]:
    """What git tracks or would; where it cannot say, what the sources consist of."""
    if git := shutil.which("git"):
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    folders = ("src", "tests", "docs", "tools", "requirements")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


DEVELOPERS_PATH = re.compile(rb"(?<![\w.${}*/-])/(?:home|root|Users|work)/[\w.-]+")
MADE_UP = {b"/".join((b"", *parts)) for parts in [(b"home", b"u"), (b"root", b"x"), (b"root", b".local")]}
"""What tests of paths call theirs."""


def test_no_file_names_a_path_of_a_developers_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in project_files()
        for match in DEVELOPERS_PATH.finditer(path.read_bytes())
        if match[0] not in MADE_UP and path.suffix != ".gz"
    ]

    assert found == []


@pytest.mark.parametrize("home", ["home", "Users", "root", "work"])
def test_such_a_path_is_found(home):
    assert DEVELOPERS_PATH.search(f"cd '/{home}/ada/kasparro'".encode())


def test_no_lock_file_that_records_addresses_is_kept():
    kept = {path.name for path in project_files()}

    assert not kept & {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock", ".env"}


def test_the_wheel_holds_migrations_types_and_sample_data(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "kasparro").rglob("*")
        if path.is_file()
    }

    assert {"kasparro/py.typed", "kasparro/storage/migrations/versions/0001_first_schema.sql"} <= names
    assert any(name.startswith("kasparro/playground/data/") for name in names)
    assert {name for name in package if "__pycache__" not in name} <= names
    assert not any(name.startswith(("tests/", "tools/")) for name in names)


def test_ci_runs_the_gates_and_the_tests():
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()
    assert {"make lint", "make test"} <= set(script.read_text().splitlines())


def test_every_make_target_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY: help"))
    explained = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))

    assert explained == set(phony.removeprefix(".PHONY: ").split())


# image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), comments gone and continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def only(word: str) -> str:
    (found,) = [rest for name, rest in final_stage() if name == word]
    return found


def test_the_image_is_built_in_stages_from_hashed_wheels():
    runs = " ".join(rest for word, rest in instructions() if word == "RUN")

    assert sum(word == "FROM" for word, _ in instructions()) == 2
    assert "--require-hashes --only-binary :all: -r requirements/production.lock" in runs
    assert not any("pip" in rest for word, rest in final_stage() if word == "RUN")


def test_the_image_runs_as_a_numbered_user_that_is_not_root():
    uid, gid = only("USER").split(":")

    assert int(uid) > 0
    assert int(gid) > 0
    assert final_stage().index(("USER", f"{uid}:{gid}")) > max(
        i for i, (word, _) in enumerate(final_stage()) if word in {"RUN", "COPY"}
    )


def test_the_image_starts_kasparro_itself_so_that_signals_reach_it():
    assert json.loads(only("ENTRYPOINT")) == ["kasparro"]
    assert json.loads(only("CMD")) == ["serve"]


def test_the_image_holds_no_secret_and_no_embedded_server():
    settings = " ".join(rest for word, rest in instructions() if word in {"ENV", "ARG"})

    assert not re.search(r"KEY|TOKEN|PASSWORD|SECRET|DATABASE_URL", settings)
    assert "KASPARRO_CONFIG=/etc/kasparro/kasparro.yaml" in settings
    assert "embedded" not in " ".join(rest for _, rest in instructions())


def test_only_what_the_image_is_built_from_reaches_the_engine():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }

    assert rules[0] == "*"
    assert copied == let_in
    assert all((ROOT / path).exists() for path in let_in)


@contextmanager
def health_endpoint(status: HTTPStatus) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health/live" else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "healthy"), [(HTTPStatus.OK, True), (HTTPStatus.SERVICE_UNAVAILABLE, False)]
)
def test_the_health_check_of_the_image_tells_a_server_that_serves(status, healthy):
    program, *arguments = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert program == "python"

    with health_endpoint(status) as port:
        environment = {"PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
        checked = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, check=False
        )

    assert (checked.returncode == 0) is healthy, checked.stderr.decode()


# compose


def variables() -> list[re.Match[str]]:
    text = re.sub(r"^\s*#.*", "", (ROOT / "compose.yaml").read_text(), flags=re.MULTILINE)
    return list(VARIABLE.finditer(text))


def test_secrets_are_required_and_have_no_default():
    rules = {(v["name"], v["rule"][:2]) for v in variables() if v["name"] in SECRETS}

    assert rules == {(name, ":?") for name in SECRETS}


def test_a_required_variable_that_is_missing_says_what_to_do():
    messages = [v["rule"][2:] for v in variables() if v["rule"].startswith(":?")]

    assert messages
    assert all(message.startswith("set it in .env") for message in messages)


def test_no_secret_is_written_into_the_compose_file():
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            if re.search(r"PASSWORD|KEY|TOKEN|SECRET", variable):
                assert VARIABLE.fullmatch(value), (name, variable)
    assert not re.search(r"://\w+:[^@/]+@", (ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service.get("privileged") is not True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert str(service["user"]).partition(":")[0] not in {"", "0", "root"}
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert "/tmp" in service["tmpfs"]


def test_the_user_of_the_services_is_the_one_of_the_image():
    assert {service["user"] for service in OURS.values()} == {only("USER")}


def test_the_schema_is_migrated_once_before_anything_else_begins():
    assert SERVICES["migrate"]["command"] == ["db", "upgrade"]
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"] == {
            "database": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_every_service_uses_the_database_and_the_catalog_which_it_cannot_change():
    for service in OURS.values():
        (catalog,) = service["volumes"]
        assert service["environment"]["DATABASE_URL"].startswith("postgresql://kasparro@database")
        assert catalog["read_only"] is True
        assert service["environment"]["KASPARRO_CONFIG"].startswith(catalog["target"])


def test_only_the_api_is_published_and_only_to_this_machine():
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api"}
    assert SERVICES["api"]["ports"] == ["127.0.0.1:8000:8000"]


def test_health_is_asked_where_there_is_something_to_ask():
    disabled = {name for name, service in SERVICES.items() if service.get("healthcheck") == {"disable": True}}

    assert disabled == {"migrate", "worker"}
    assert SERVICES["database"]["healthcheck"]["test"][1] == "pg_isready"


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_are_settings_and_are_accepted(name):
    environment = {
        variable.lower(): VARIABLE.sub("0123456789abcdef:admin", value)
        for variable, value in OURS[name]["environment"].items()
        if variable != "PGPASSWORD"
    }

    assert set(environment) <= set(Settings.model_fields)
    assert Settings(_env_file=None, **environment).database_url is not None
