"""The command line: what it prints, on which stream, and with which exit code."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import __version__, openclaw
from proxy.__main__ import main
from proxy.settings import Settings
from shared.errors import StartError

CANARY = "nvapi-canary-0123456789-stays-inside"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in this process, in an environment with nothing of ours but what is given."""
    for name in [name for name in os.environ if name.startswith("SIDECAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["nvidia-sidecar", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """A daemon that only remembers with what it was started."""
    seen: list[Settings] = []

    def serve(settings: Settings, _notify: object) -> int:
        seen.append(settings)
        return 0

    daemon = types.ModuleType("proxy.daemon")
    monkeypatch.setattr(daemon, "run", serve, raising=False)
    monkeypatch.setitem(sys.modules, "proxy.daemon", daemon)
    return seen


def test_without_a_command_it_serves(run: Run, served: list[Settings], tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("listen_port: 1234\n")
    assert run("--config", str(file), SIDECAR_RATE_RPM="20") == (0, "", "")
    assert (served[0].listen_port, served[0].rate_rpm, served[0].config_file) == (1234, 20, file)
    assert run(SIDECAR_CONFIG=str(file)) == (0, "", "")
    assert served[1].listen_port == 1234
    assert run(SIDECAR_CONFIG="") == (0, "", "")
    assert served[2].listen_port == 9190


def test_the_exit_code_of_the_daemon_is_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = types.ModuleType("proxy.daemon")

    def serve(settings: Settings, _notify: object) -> int:
        if settings.listen_port == 1:
            raise StartError("port 1 is taken", "by somebody", exit_code=1)
        return 7

    monkeypatch.setattr(daemon, "run", serve, raising=False)
    monkeypatch.setitem(sys.modules, "proxy.daemon", daemon)
    assert run() == (7, "", "")
    assert run(SIDECAR_PORT="1") == (1, "", "port 1 is taken\nby somebody\n")


@pytest.mark.parametrize("command", [[], ["check"], ["check", "--json"], ["openclaw-config"]])
def test_wrong_settings_are_a_line_each_on_stderr_and_exit_code_2(run: Run, command: list[str]) -> None:
    code, out, err = run(*command, SIDECAR_PORT=CANARY, SIDECAR_TIMOUT="1", SIDECAR_API_KEY=f"{CANARY} x")
    assert (code, out) == (2, "")
    assert sorted(line.split()[0] for line in err.splitlines()) == [
        "SIDECAR_API_KEY",
        "SIDECAR_PORT",
        "SIDECAR_TIMOUT",
    ]
    assert CANARY[4:] not in err


@pytest.mark.parametrize("before", [True, False])
def test_the_file_may_be_named_on_either_side_of_the_command(run: Run, before: bool, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("rate_rpm: 25\n")
    option = ["--config", str(file)]
    code, out, _ = run(
        *(option if before else []), "check", *([] if before else option), SIDECAR_CONFIG="/none"
    )
    assert code == 0
    assert ["rate_rpm", "25", "file", "SIDECAR_RATE_RPM"] in [line.split() for line in out.splitlines()]


def test_check_prints_each_value_with_its_source_and_no_secret(run: Run) -> None:
    code, out, err = run("check", SIDECAR_API_KEY=CANARY, SIDECAR_ADMIN_TOKEN="tiny", SIDECAR_TIMEOUT="900")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows] == list(Settings.model_fields)
    assert ["upstream_api_key", "nvap****", "environment", "SIDECAR_API_KEY"] in rows
    assert ["admin_token", "****", "environment", "SIDECAR_ADMIN_TOKEN"] in rows
    assert ["bucket_capacity", "40", "default", "SIDECAR_BUCKET_CAPACITY"] in rows
    assert CANARY not in out
    assert err == "warning: request_timeout (SIDECAR_TIMEOUT) is cut from 900 to 300 s\n"


def test_check_speaks_json(run: Run) -> None:
    code, out, err = run("check", "--json", SIDECAR_API_KEY=CANARY, SIDECAR_TIMEOUT="900")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["settings"]["rate_rpm"] == {
        "value": 40.0,
        "source": "default",
        "variable": "SIDECAR_RATE_RPM",
    }
    assert report["settings"]["upstream_api_key"]["value"] == "nvap****"
    assert len(report["warnings"]) == 1


def test_openclaw_config_prints_a_block_that_points_here(run: Run) -> None:
    code, out, _ = run("openclaw-config", "--models", "a/b, c/d", "--models", "e/f", SIDECAR_PORT="1234")
    block = json.loads(out)
    assert code == 0
    assert block["agents"]["defaults"]["heartbeat"]["every"] == "0m"
    providers = block["models"]["providers"]
    assert {name: provider.get("headers") for name, provider in providers.items()} == {
        "nvidia": None,
        "nvidia-urgent": {"X-Priority": "urgent"},
        "nvidia-high": {"X-Priority": "high"},
        "nvidia-low": {"X-Priority": "low"},
    }
    for provider in providers.values():
        assert provider["baseUrl"] == "http://127.0.0.1:1234/v1"
        assert provider["apiKey"] == "${NVIDIA_API_KEY}"
        assert provider["timeoutSeconds"] == 900
        assert [model["id"] for model in provider["models"]] == ["a/b", "c/d", "e/f"]
        compat = {"requiresStringContent": True, "sendSessionAffinityHeaders": True}
        assert all(model["compat"] == compat for model in provider["models"])


def test_openclaw_never_gets_our_key(run: Run) -> None:
    code, out, _ = run("openclaw-config", SIDECAR_API_KEY=CANARY)
    assert code == 0
    assert CANARY not in out
    assert json.loads(out)["models"]["providers"]["nvidia"]["apiKey"] == "held-by-the-sidecar"
    assert openclaw.client_key(own_key=True, known_clients=True) == "${SIDECAR_CLIENT_KEY}"


def test_openclaw_cannot_be_pointed_at_a_port_that_is_not_fixed(run: Run) -> None:
    code, out, err = run("openclaw-config", SIDECAR_PORT="0")
    assert (code, out) == (2, "")
    assert err.startswith("SIDECAR_PORT is 0, expected a fixed port")


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("0.0.0.0", "http://127.0.0.1:1/v1"),  # noqa: S104 - never bound
        ("::", "http://[::1]:1/v1"),
        ("box", "http://box:1/v1"),
    ],
)
def test_the_address_for_clients_is_one_they_can_reach(host: str, base: str) -> None:
    assert openclaw.base_url(host, 1) == base


def test_a_wrong_command_line_is_exit_code_2(run: Run) -> None:
    assert run("--bogus")[0] == 2
    assert run("bogus")[0] == 2


def test_the_version_is_printed_without_importing_the_settings() -> None:
    code = "import sys; sys.argv[1:] = ['--version']\nfrom proxy.__main__ import main\ntry: main()\n"
    code += "finally: assert not {'pydantic', 'trio', 'httpx', 'yaml'} & set(sys.modules), sys.modules\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nvidia-sidecar {__version__}\n", "")


def test_the_module_runs_and_a_wrong_setting_leaves_no_traceback() -> None:
    environ = {"PATH": os.environ["PATH"], "SIDECAR_RATE_RPM": "x"}
    command = [sys.executable, "-m", "proxy"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("SIDECAR_RATE_RPM is 'x', expected a number")
    assert done.stderr.count("\n") == 1
