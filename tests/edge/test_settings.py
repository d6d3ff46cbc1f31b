"""The sidecar's settings against their contract, and the shipped examples and docs against the settings."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.settings import Retreat, Settings
from shared.errors import StartError
from shared.settings import effective, load, variables
from tests.edge.documents import ROOT, meanings, plain, shipped_env

CANARY = "nvapi-canary-0123456789-stays-inside"
HOME = {"HOME": "/home/somebody"}
DIGEST = hashlib.sha256(b"a client's key").hexdigest()

# The contract's table, written out again: a changed name or default must be changed twice.
TABLE: dict[str, tuple[str, object]] = {
    "SIDECAR_HOST": ("listen_host", "127.0.0.1"),
    "SIDECAR_PORT": ("listen_port", 9190),
    "SIDECAR_METRICS_PORT": ("metrics_port", 9191),
    "SIDECAR_UPSTREAM": ("upstream_url", "https://integrate.api.nvidia.com/v1"),
    "SIDECAR_API_KEY": ("upstream_api_key", SecretStr("")),
    "SIDECAR_RATE_RPM": ("rate_rpm", 40.0),
    "SIDECAR_BUCKET_CAPACITY": ("bucket_capacity", 40),
    "SIDECAR_WINDOW_SECONDS": ("window_seconds", 60.0),
    "SIDECAR_WINDOW_MARGIN": ("window_margin_seconds", 1.0),
    "SIDECAR_TIMEOUT": ("request_timeout", 60.0),
    "SIDECAR_FIRST_BYTE_TIMEOUT": ("first_byte_timeout", 300.0),
    "SIDECAR_QUEUE_MAX": ("queue_max_size", 500),
    "SIDECAR_QUEUE_TIMEOUT": ("queue_timeout", 300.0),
    "SIDECAR_LOW_TIMEOUT": ("low_priority_timeout", 2.0),
    "SIDECAR_QUEUE_POLICY": ("queue_full_policy", "passthrough"),
    "SIDECAR_FALLBACK_PASSTHROUGH": ("fallback_enabled_passthrough", True),
    "SIDECAR_MAX_RETRIES": ("max_retries", 5),
    "SIDECAR_AGING_SECONDS": ("aging_seconds", 60.0),
    "SIDECAR_KEEPALIVE_AFTER": ("keepalive_after", 240.0),
    "SIDECAR_MODELS_TTL": ("models_ttl", 600.0),
    "SIDECAR_MAX_BODY_BYTES": ("max_body_bytes", 33554432),
    "SIDECAR_DRAIN_SECONDS": ("drain_seconds", 30.0),
    "SIDECAR_STATE_DIR": ("state_dir", Path("/home/somebody/.local/state/clawpace")),
    "SIDECAR_ADMIN_TOKEN": ("admin_token", SecretStr("")),
    "SIDECAR_ALLOWED_HOSTS": ("allowed_hosts", ()),
    "SIDECAR_ALLOW_OPEN": ("allow_open", False),
    "SIDECAR_LOG_LEVEL": ("log_level", "INFO"),
    "SIDECAR_LOG_FORMAT": ("log_format", "json"),
    "SIDECAR_REDIS_URL": ("redis_url", ""),
}
YAML_ONLY: dict[str, object] = {
    "gateway_aliases": ("nvidia*",),
    "providers": {},
    "keys": (),
    "fallbacks": {},
    "clients": (),
    "retreat": Retreat(
        window_seconds=60,
        judge_seconds=15,
        min_answers=5,
        floor_min_answers=20,
        enter_share=0.05,
        deepen_share=0.10,
        floor_share=0.20,
        factor=0.75,
        floor_rpm=5,
        recover_seconds=120,
        recover_share=0.02,
        recover_step_rpm=2,
    ),
}


def loaded(
    environ: dict[str, str] | None = None, data: dict[str, Any] | None = None, *, at: Path
) -> Settings:
    file = None
    if data is not None:
        file = at / "sidecar.yaml"
        file.write_text(yaml.safe_dump(data))
    return load(Settings, HOME | (environ or {}), file)


def problems(environ: dict[str, str] | None = None, data: dict[str, Any] | None = None, *, at: Path) -> str:
    with pytest.raises(StartError) as caught:
        loaded(environ, data, at=at)
    assert caught.value.exit_code == 2
    return "\n".join(caught.value.lines)


def test_names_and_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = loaded(at=tmp_path)
    assert variables(Settings) == {key: name for name, (key, _) in TABLE.items()}
    expected = dict(TABLE.values()) | YAML_ONLY
    assert {key: getattr(settings, key) for key in Settings.model_fields} == expected
    assert {row.source for row in effective(settings)} == {"default"}
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("rate", "window", "limit"),
    [
        ("40", "60", 40),
        ("0.29", "6000", 29),
        ("1.1", "600", 11),
        ("20.5", "60", 20),
        ("600", "1.5", 15),
        ("1", "60", 1),
    ],
)
def test_the_window_limit_is_exact(rate: str, window: str, limit: int, tmp_path: Path) -> None:
    settings = loaded({"SIDECAR_RATE_RPM": rate, "SIDECAR_WINDOW_SECONDS": window}, at=tmp_path)
    assert settings.window_limit == limit


def test_a_window_without_room_for_one_request_is_a_problem_that_says_so(tmp_path: Path) -> None:
    assert "SIDECAR_RATE_RPM is 0.9, expected at least one request" in problems(
        {"SIDECAR_RATE_RPM": "0.9"}, at=tmp_path
    )
    assert problems({"SIDECAR_WINDOW_SECONDS": "1"}, at=tmp_path).startswith("SIDECAR_WINDOW_SECONDS is 1.0")
    told = problems(
        data={"providers": {"z": {"url": "http://z", "api_key": "k", "rate_rpm": 0.5}}}, at=tmp_path
    )
    assert told.startswith("providers.z.rate_rpm (")


def test_a_timeout_above_300_is_cut_with_a_warning(tmp_path: Path) -> None:
    settings = loaded({"SIDECAR_TIMEOUT": "900"}, at=tmp_path)
    assert settings.request_timeout == 300
    assert settings.warnings == ("request_timeout (SIDECAR_TIMEOUT) is cut from 900 to 300 s",)
    assert loaded({"SIDECAR_TIMEOUT": "300"}, at=tmp_path).warnings == ()


def test_an_explicit_timeout_bounds_the_first_byte_too(tmp_path: Path) -> None:
    assert loaded(at=tmp_path).first_byte_seconds == 300
    assert loaded({"SIDECAR_TIMEOUT": "60"}, at=tmp_path).first_byte_seconds == 60
    assert loaded(data={"request_timeout": 45}, at=tmp_path).first_byte_seconds == 45
    assert (
        loaded({"SIDECAR_TIMEOUT": "90", "SIDECAR_FIRST_BYTE_TIMEOUT": "20"}, at=tmp_path).first_byte_seconds
        == 20
    )


@pytest.mark.parametrize(
    ("policy", "fallback", "effect"),
    [
        ("passthrough", "true", "passthrough"),
        ("passthrough", "false", "reject"),
        ("DROP_LOWEST", "false", "drop_lowest"),
    ],
)
def test_passthrough_can_be_switched_off(policy: str, fallback: str, effect: str, tmp_path: Path) -> None:
    environ = {"SIDECAR_QUEUE_POLICY": policy, "SIDECAR_FALLBACK_PASSTHROUGH": fallback}
    assert loaded(environ, at=tmp_path).effective_queue_full_policy == effect


@pytest.mark.parametrize(
    ("given_url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("HTTP://Example.COM/v1/", "http://example.com/v1"),
        ("https://host/api/v1//", "https://host/api/v1"),
        ("https://host/v1/v1", "https://host/v1"),
        ("https://[::1]:8443", "https://[::1]:8443/v1"),
    ],
)
def test_the_base_always_ends_in_one_v1(given_url: str, base: str, tmp_path: Path) -> None:
    assert loaded({"SIDECAR_UPSTREAM": given_url}, at=tmp_path).upstream_url == base


def test_a_provider_keeps_its_own_path(tmp_path: Path) -> None:
    urls = {"a": "https://host/api/paas/v4/", "b": "https://host"}
    data = {"providers": {name: {"url": url, "api_key": "k"} for name, url in urls.items()}}
    providers = loaded(data=data, at=tmp_path).providers
    assert (providers["a"].url, providers["b"].url) == ("https://host/api/paas/v4", "https://host/v1")
    assert providers["a"].rate_rpm is None


WRONG = {
    "SIDECAR_HOST": ["", "a b", "127.1", "http://x", "::g", "x" * 300],
    "SIDECAR_PORT": ["-1", "65536", "1.5", "", "true", "abc", "9" * 5000],
    "SIDECAR_UPSTREAM": [
        "",
        "host",
        "ftp://h",
        "https://",
        "https://u:p@h",
        "https://h?x=1",
        "https://h#f",
        "https://h/../v1",
        "https://h:0",
        "https://h:99999",
        "https://[::1",
        "https://h/a b",
        "https://h\\x",
        "https://h/%2e",
        "https://h/v1/chat/completions",
        "//h",
        "https://h/a//b",
        "https://ex ample",
    ],
    "SIDECAR_API_KEY": ["a b", "a\nb", "a\x00b", "ключ", "Bearer nvapi-x", "a\x7fb"],
    "SIDECAR_RATE_RPM": ["0", "-1", "nan", "inf", "-inf", "", "true", "1e300", "0x10"],
    "SIDECAR_BUCKET_CAPACITY": ["0", "-5", "2.5", "nan"],
    "SIDECAR_WINDOW_SECONDS": ["0", "nan", "-60"],
    "SIDECAR_WINDOW_MARGIN": ["-0.1", "inf"],
    "SIDECAR_TIMEOUT": ["0", "-1", "inf", "1m"],
    "SIDECAR_QUEUE_MAX": ["0", "many"],
    "SIDECAR_QUEUE_POLICY": ["", "drop", "passthrough reject"],
    "SIDECAR_FALLBACK_PASSTHROUGH": ["maybe", "", "2"],
    "SIDECAR_MAX_RETRIES": ["-1", "1001"],
    "SIDECAR_MAX_BODY_BYTES": ["0", "32M"],
    "SIDECAR_STATE_DIR": ["", "  ", "/a\nb", "/a\x00", "~nobody-of-this-name/x"],
    "SIDECAR_ADMIN_TOKEN": ["a b", "a\r\nb"],
    "SIDECAR_ALLOWED_HOSTS": ["a:80", "*.example.com", "a b", "http://a"],
    "SIDECAR_ALLOW_OPEN": ["perhaps"],
    "SIDECAR_LOG_LEVEL": ["LOUD", ""],
    "SIDECAR_LOG_FORMAT": ["xml"],
    "SIDECAR_REDIS_URL": ["redis://localhost"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_a_problem_that_names_its_variable(name: str, value: str, tmp_path: Path) -> None:
    told = problems({name: value}, at=tmp_path)
    assert told.startswith(f"{name} is ")
    assert ", expected " in told
    assert "\n" not in told


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    environ = {name: values[-1] for name, values in WRONG.items()} | {"SIDECAR_FOO": "1"}
    told = problems(environ, {"providers": {"x": {}}, "nope": 1}, at=tmp_path).splitlines()
    assert len(told) == len(environ) + 2
    for name in environ:
        assert sum(line.startswith(f"{name} ") for line in told) == 1


@pytest.mark.parametrize("key", ["rate_rpm", "listen_port", "request_timeout"])
@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), [], {}, None, "x"])
def test_yaml_values_that_are_no_numbers_are_refused(key: str, value: object, tmp_path: Path) -> None:
    assert problems(data={key: value}, at=tmp_path).startswith(f"{key} (")


def entry(**changes: object) -> dict[str, object]:
    return {"url": "http://z", "api_key": "k"} | changes


WRONG_YAML: list[tuple[str, dict[str, object]]] = [
    ("providers.z ", {"providers": {"z": {"url": "http://z"}}}),
    ("providers.z.api_key_file ", {"providers": {"z": entry(api_key_file="/none/at/all")}}),
    ("providers.z.url ", {"providers": {"z": entry(url="file:///etc/passwd")}}),
    ("providers.z.rate_rpm ", {"providers": {"z": entry(rate_rpm=0)}}),
    ("providers.z/y ", {"providers": {"z/y": entry()}}),
    ("providers.Nvidia ", {"providers": {"Nvidia": entry()}}),
    ("providers.z.uri ", {"providers": {"z": entry(uri="x")}}),
    ("providers ", {"providers": []}),
    ("keys[0].name ", {"keys": [{"key_file": __file__, "enabled": False}]}),
    ("keys[0].key_file ", {"keys": [{"name": "a"}]}),
    ("keys[0].key_file ", {"keys": [{"name": "a", "key_file": {"path": "/x", "key": "k"}}]}),
    ("keys[0].key_file ", {"keys": [{"name": "a", "key_file": "/none/at/all"}]}),
    ("keys ", {"keys": [{"name": "a", "key_file": "/x", "enabled": False}] * 2}),
    ("fallbacks.a ", {"fallbacks": {"a": []}}),
    ("fallbacks.a b ", {"fallbacks": {"a b": ["c"]}}),
    ("gateway_aliases ", {"gateway_aliases": "nvidia"}),
    ("gateway_aliases[0] ", {"gateway_aliases": ["a/b"]}),
    ("clients[0].key_sha256 ", {"clients": [{"name": "a", "key_sha256": "abc"}]}),
    ("clients[0].max_priority ", {"clients": [{"name": "a", "key_sha256": DIGEST, "max_priority": "top"}]}),
    ("clients ", {"clients": [{"name": "a", "key_sha256": DIGEST}] * 2}),
    ("retreat.factor ", {"retreat": {"factor": 1}}),
    ("retreat.enter_share ", {"retreat": {"enter_share": 1.5}}),
    ("retreat.windowseconds ", {"retreat": {"windowseconds": 60}}),
]


@pytest.mark.parametrize(("name", "data"), WRONG_YAML)
def test_a_wrong_part_of_the_file_is_named_down_to_its_key(
    name: str, data: dict[str, object], tmp_path: Path
) -> None:
    assert problems({"SIDECAR_API_KEY": "k"}, data, at=tmp_path).startswith(name)


def test_the_yaml_only_settings_are_taken(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{CANARY}\n")
    settings = loaded(
        data={
            "gateway_aliases": [],
            "providers": {"zai": {"url": "https://z/v4", "api_key_file": str(key_file), "rate_rpm": 3}},
            "keys": [
                {"name": "on", "key_file": str(key_file), "rate_rpm": 20},
                {"name": "off", "key_file": "/none/at/all", "enabled": False},
            ],
            "fallbacks": {"a/b": ["c/d"]},
            "clients": [{"name": "ops", "key_sha256": DIGEST.upper(), "max_priority": "High"}],
            "retreat": {"floor_rpm": 4},
        },
        at=tmp_path,
    )
    assert settings.providers["zai"].key.get_secret_value() == CANARY
    assert [key.key.get_secret_value() for key in settings.keys] == [CANARY, ""]
    assert (settings.clients[0].key_sha256, settings.clients[0].max_priority) == (DIGEST, "high")
    assert (settings.retreat.floor_rpm, settings.retreat.factor) == (4, 0.75)
    assert settings.has_own_key
    assert CANARY not in repr(settings)
    assert CANARY not in str(list(effective(settings)))


def test_a_provider_has_exactly_one_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("k")
    both = {"providers": {"z": entry(api_key_file=str(key_file))}}
    assert problems(data=both, at=tmp_path).startswith("providers.z (")
    key_file.write_text("two words")
    assert f"is '{key_file}', expected a file with nothing but one key" in problems(data=both, at=tmp_path)


def test_clients_without_a_key_of_our_own_are_refused(tmp_path: Path) -> None:
    data = {"clients": [{"name": "a", "key_sha256": DIGEST}]}
    assert problems(data=data, at=tmp_path).startswith("clients (")
    assert loaded({"SIDECAR_API_KEY": "k"}, data, at=tmp_path).clients
    data["keys"] = [{"name": "off", "key_file": "/none", "enabled": False}]  # type: ignore[dict-item] # data for YAML
    assert problems(data=data, at=tmp_path).startswith("clients (")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_fence(host: str, tmp_path: Path) -> None:
    assert loaded({"SIDECAR_HOST": host}, at=tmp_path).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.example.com", "web1"])  # noqa: S104 - never bound
def test_listening_beyond_loopback_needs_clients_or_consent(host: str, tmp_path: Path) -> None:
    environ = {"SIDECAR_HOST": host}
    assert problems(environ, at=tmp_path).startswith("SIDECAR_HOST is ")
    assert loaded(environ | {"SIDECAR_ALLOW_OPEN": "true"}, at=tmp_path).listen_host == host
    data = {"clients": [{"name": "a", "key_sha256": DIGEST}]}
    assert loaded(environ | {"SIDECAR_API_KEY": "k"}, data, at=tmp_path).listen_host == host


def test_the_two_ports_differ_unless_both_are_free_ones(tmp_path: Path) -> None:
    assert problems({"SIDECAR_PORT": "9191"}, at=tmp_path).startswith(
        "SIDECAR_PORT is 9191, expected different ports"
    )
    assert loaded({"SIDECAR_PORT": "0", "SIDECAR_METRICS_PORT": "0"}, at=tmp_path).listen_port == 0


def test_allowed_hosts_are_a_comma_separated_list(tmp_path: Path) -> None:
    environ = {"SIDECAR_ALLOWED_HOSTS": "Board.example.com, 10.0.0.2,[fe80::1],"}
    assert loaded(environ, at=tmp_path).allowed_hosts == ("board.example.com", "10.0.0.2", "fe80::1")
    assert loaded(data={"allowed_hosts": ["a", "b"]}, at=tmp_path).allowed_hosts == ("a", "b")
    assert loaded({"SIDECAR_ALLOWED_HOSTS": ""}, {"allowed_hosts": ["a"]}, at=tmp_path).allowed_hosts == ()


def test_the_state_directory_comes_from_systemd_or_the_home(tmp_path: Path) -> None:
    assert loaded({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, at=tmp_path).state_dir == Path("/var/lib/a")
    assert loaded({"STATE_DIRECTORY": ""}, at=tmp_path).state_dir == TABLE["SIDECAR_STATE_DIR"][1]
    environ = {"STATE_DIRECTORY": "/var/lib/a", "SIDECAR_STATE_DIR": "/srv/s"}
    assert loaded(environ, at=tmp_path).state_dir == Path("/srv/s")
    assert problems({"HOME": "/a\nb"}, at=tmp_path).startswith("state_dir is ")
    assert load(Settings, {}).state_dir == Path.home() / ".local/state/clawpace"


def test_the_key_is_taken_from_the_nearest_place(tmp_path: Path) -> None:
    (tmp_path / "sidecar-api-key").write_text("from-systemd\n")
    (tmp_path / "file").write_text("  from-file \n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    data = {"upstream_api_key": "from-yaml"}

    def key(environ: dict[str, str]) -> tuple[str, str]:
        settings = loaded(environ, data, at=tmp_path)
        return settings.upstream_api_key.get_secret_value(), settings.origin("upstream_api_key").name

    assert key({}) == ("from-yaml", "upstream_api_key")
    assert key({"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) == ("from-yaml", "upstream_api_key")
    assert key(environ) == ("from-systemd", "$CREDENTIALS_DIRECTORY/sidecar-api-key")
    environ["SIDECAR_API_KEY_FILE"] = str(tmp_path / "file")
    assert key(environ) == ("from-file", "SIDECAR_API_KEY_FILE")
    assert key(environ | {"SIDECAR_API_KEY": " "}) == ("from-file", "SIDECAR_API_KEY_FILE")
    environ["SIDECAR_API_KEY"] = " direct\n"
    assert key(environ) == ("direct", "SIDECAR_API_KEY")
    assert key({"SIDECAR_API_KEY": ""}) == ("", "SIDECAR_API_KEY")


@pytest.mark.parametrize(
    "content", [b"", b"\n", CANARY.encode() + b" x", b"\xff" + CANARY.encode(), CANARY.encode() * 1000]
)
def test_a_bad_key_file_is_a_problem_that_does_not_quote_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    told = problems({"SIDECAR_API_KEY_FILE": str(path)}, at=tmp_path)
    assert told.startswith(f"SIDECAR_API_KEY_FILE is '{path}', expected a file with nothing but one key")
    assert CANARY[4:] not in told
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    path.rename(tmp_path / "sidecar-api-key")
    assert problems(environ, at=tmp_path).startswith("$CREDENTIALS_DIRECTORY/sidecar-api-key is ")


def told(environ: dict[str, str], data: dict[str, Any] | None = None, *, at: Path) -> list[str]:
    """The problems, if any: whatever the junk, it must be one of the two."""
    try:
        settings = loaded(environ, data, at=at)
    except StartError as error:
        lines, code = list(error.lines), error.exit_code
    else:
        assert settings.window_limit >= 1
        assert settings.upstream_url.endswith("/v1")
        assert settings.state_dir.is_absolute()
        return []
    assert code == 2
    assert lines
    assert all(line.isprintable() for line in lines)
    return lines


@pytest.mark.parametrize("name", sorted({*TABLE, "SIDECAR_API_KEY_FILE", "SIDECAR_NOPE", "SIDECAR_APIKEY"}))
def test_a_key_in_any_variable_shows_in_no_problem(name: str, tmp_path: Path) -> None:
    environ = {"SIDECAR_API_KEY": CANARY, "SIDECAR_METRICS_PORT": "9190"}
    for form in ("{0}", "{0} {0}", "http://u:{0}@h/?{0}", "x" * 70 + "{0}", "{0}\n"):
        lines = told(environ | {name: form.format(CANARY)}, at=tmp_path)
        assert CANARY[4:] not in "\n".join(lines)


@pytest.mark.parametrize("key", sorted(Settings.model_fields))
def test_a_key_anywhere_in_the_file_shows_in_no_problem(key: str, tmp_path: Path) -> None:
    forms: list[object] = [CANARY, [CANARY], {"a": CANARY}, {CANARY: 1}, [{"key": CANARY, CANARY: 1}]]
    for form in forms:
        lines = told({}, {"metrics_port": 9190, key: form}, at=tmp_path)
        assert CANARY[4:] not in "\n".join(lines)


JUNK = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "0", "-1", "nan", "inf", "1e999", "true", "~", "~nobody/x", "a,b", "http://[", "\udcff", "::1%x"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
NAMES = [*TABLE, "SIDECAR_API_KEY_FILE", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "HOME", "SIDECAR_JUNK"]


JUNKYARD = hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(environ=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=8))
@JUNKYARD
def test_junk_in_any_variable_gives_settings_or_problems_never_a_traceback(
    environ: dict[str, str], tmp_path: Path
) -> None:
    told(environ, at=tmp_path)


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["a", "url", "api_key", "api_key_file", "name", "key_file", "key_sha256", "factor", "A/b"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)


@given(data=st.dictionaries(st.sampled_from([*Settings.model_fields, "junk"]), DOCUMENTS, max_size=5))
@JUNKYARD
def test_junk_in_the_file_gives_settings_or_problems_never_a_traceback(
    data: dict[str, Any], tmp_path: Path
) -> None:
    told({}, data, at=tmp_path)


# ------------------------------------------------------------------------ what is shipped beside the code


def test_the_example_environment_is_complete_and_shows_the_defaults() -> None:
    active, commented = shipped_env("SIDECAR_")
    assert active == {"SIDECAR_BUCKET_CAPACITY": "20"}
    assert {*active, *commented} == {*TABLE, "SIDECAR_CONFIG", "SIDECAR_API_KEY_FILE"}
    for name in ("SIDECAR_CONFIG", "SIDECAR_API_KEY_FILE", "SIDECAR_STATE_DIR"):
        del commented[name]  # places of the user's own
    assert load(Settings, HOME | commented).model_dump() == load(Settings, HOME).model_dump()
    assert load(Settings, HOME | active).bucket_capacity == 20


def test_the_example_file_is_complete_and_shows_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / "deploy/sidecar.example.yaml").read_text()
    assert yaml.safe_load(text) == {"bucket_capacity": 20}
    everything = yaml.safe_load(re.sub(r"^#(?=[a-z]| {2}[a-z])", "", text, flags=re.MULTILINE))
    assert list(everything) == list(Settings.model_fields)
    assert list(everything["retreat"]) == list(Retreat.model_fields)
    del everything["state_dir"], everything["bucket_capacity"]
    assert loaded(data=everything, at=tmp_path).model_dump() == loaded(at=tmp_path).model_dump()


def test_the_examples_inside_the_example_file_are_right(tmp_path: Path) -> None:
    text = (ROOT / "deploy/sidecar.example.yaml").read_text()
    key_file = tmp_path / "key"
    key_file.write_text("a-key")
    blocks = re.findall(r"^# For example:\n((?:# [ a-z-].*\n)+)", text, flags=re.MULTILINE)
    examples = yaml.safe_load(re.sub(r"^# ", "", "".join(blocks), flags=re.MULTILINE))
    assert set(examples) == {"providers", "keys", "fallbacks", "clients"}
    moved = yaml.safe_load(re.sub(r"/etc/clawpace/[\w-]+", str(key_file), yaml.safe_dump(examples)))
    assert loaded(data=moved, at=tmp_path).clients


def documented(key: str, value: object) -> str:
    """A default as the documentation's table writes it."""
    special = {
        "state_dir": "`$STATE_DIRECTORY`, else `~/.local/state/clawpace`",
        "admin_token": "generated",
        "retreat": "below",
        "gateway_aliases": '`["nvidia*"]`',
    }
    if key in special:
        return special[key]
    return "empty" if value in ("", [], {}) else f"`{plain(value)}`"


def test_the_documentation_lists_every_setting_as_it_is() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    meaning = meanings("proxy/settings/__init__.py")
    for row in effective(Settings()):
        name = f"`{row.variable}`" if row.variable else "YAML only"
        assert f"| {name} | `{row.key}` | {documented(row.key, row.value)} | {meaning[row.key]} |\n" in text
    assert text.count("| `SIDECAR_") + text.count("| YAML only |") == len(Settings.model_fields)
    for key, info in Retreat.model_fields.items():
        assert f"| `{key}` | `{plain(info.default)}` |\n" in text
