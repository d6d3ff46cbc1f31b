"""``make run``: both processes for the person at this terminal, and stand-ins for what is not there.

Without a key nvidia-sim plays NVIDIA's API; without OpenClaw the scheduler plays the agents itself, and where
there is no roster either, it gets one with a single agent, ``demo``.

Standard library only: it must be able to explain a broken environment.
"""

import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from children import ROOT, STOP_MARGIN_SECONDS, Child, RunError, Runner, Stopped, say

DUMMY_KEY = "simulated"  # nvidia-sim takes any
OWN_KEY = (
    "SIDECAR_API_KEY",
    "SIDECAR_API_KEY_FILE",
    "CREDENTIALS_DIRECTORY",  # systemd's, which may hold one
    "SIDECAR_CONFIG",  # likewise
)
DEMO_ROSTER = ROOT / "deploy/demo.agents.yaml"
SCHEDULER_STOP_SECONDS = 15.0


def main() -> int:
    runner = Runner()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, runner.enough)
    code = 0
    try:
        _run(runner, os.environ)
    except RunError as error:
        say(f"make run: {error}")
        code = 1
    except Stopped:
        say("Stopping; requests in flight are finished first. Ctrl-C again ends at once.")
    finally:
        ended_well = runner.stop()
    return code if ended_well else 1


def _run(runner: Runner, environ: Mapping[str, str]) -> None:
    env = _with_defaults(environ)
    for process in ("SIDECAR", "SCHEDULER"):
        for variable in (f"{process}_PORT", f"{process}_METRICS_PORT"):
            _must_be_free(env.get(f"{process}_HOST", ""), env.get(variable, ""), variable)

    has_key = any(env.get(source) for source in OWN_KEY)
    simulated = ""
    if not has_key and not env.get("SIDECAR_UPSTREAM"):
        simulator = Child(
            "nvidia-sim", _python("proxy.simulator", "--port", "0"), env, "nvidia_sim_started", quiet=True
        )
        simulated = f"http://127.0.0.1:{_number('port', runner.start(simulator))}"
        # In the environment, not on the command line, as a real key would be: `ps` shows command lines.
        env = {**env, "SIDECAR_UPSTREAM": simulated, "SIDECAR_API_KEY": DUMMY_KEY}

    sidecar = Child(
        "The sidecar", _python("proxy"), env, "sidecar_started", _drain_seconds(env) + STOP_MARGIN_SECONDS
    )
    started = runner.start(sidecar)
    host, port = _reachable(env.get("SIDECAR_HOST", "")), _number("port", started)
    for _ in range(100):
        if _healthy(host, port):
            break
        runner.wait(0.1)
    else:
        raise RunError(f"the sidecar does not answer on {host}:{port}/health")
    proxy = _url(host, port)
    schedulers = _schedulers(env, sidecar=proxy)
    _bring_roster(schedulers)
    scheduler = Child(
        "The scheduler",
        _python("scheduler"),
        schedulers,
        "scheduler_started",
        SCHEDULER_STOP_SECONDS + STOP_MARGIN_SECONDS,
    )
    told = runner.start(scheduler)
    pages = {
        "board": _url(_reachable(env.get("SCHEDULER_HOST", "")), _number("port", told)),
        "metrics": _url(host, _number("metrics_port", started)),
        "scheduler_metrics": _url(_reachable(env.get("SCHEDULER_HOST", "")), _number("metrics_port", told)),
    }
    say(_what_next(proxy, simulated, clients_key=not has_key and not simulated, **pages))
    demo = re.search(r'\brunner(?:": ?"|=)demo\b', told) is not None
    say(_board_next(scheduler.env, demo=demo))
    while True:
        runner.wait()


def _with_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """The ports that the documents name, and one place for all state; settings of one's own go before."""
    env = dict(environ)
    ports = {"SIDECAR": ("9190", "9191"), "SCHEDULER": ("8083", "9999")}
    for process, (port, metrics_port) in ports.items():
        if sys.stdout.isatty():
            env.setdefault(f"{process}_LOG_FORMAT", "console")
        if not env.get(f"{process}_CONFIG"):  # which may say otherwise, and the environment would win
            env.setdefault(f"{process}_STATE_DIR", str(ROOT / ".run"))
            env.setdefault(f"{process}_PORT", port)
            env.setdefault(f"{process}_METRICS_PORT", metrics_port)
    return env


def _schedulers(env: Mapping[str, str], *, sidecar: str) -> dict[str, str]:
    """Its environment: no key of ours in it, and stand-ins where nobody said otherwise."""
    mine = {name: value for name, value in env.items() if name not in OWN_KEY and name != "SIDECAR_UPSTREAM"}
    if mine.get("SCHEDULER_CONFIG"):
        return mine
    mine.setdefault("SCHEDULER_SIDECAR_URL", sidecar)
    # A command of somebody's own, even one that cannot be found, is no reason to play its part.
    if not shutil.which("openclaw") and not mine.keys() & {"SCHEDULER_RUNNER", "SCHEDULER_OPENCLAW"}:
        mine["SCHEDULER_RUNNER"] = "demo"
    return mine


def _bring_roster(env: Mapping[str, str]) -> None:
    """For the demonstration: a copy in the place of one's own, so that `reload` reads what is written there.

    With OpenClaw there is none until `agent-scheduler openclaw apply --add-agents` writes it.
    """
    if (
        env.get("SCHEDULER_CONFIG")
        or env.get("SCHEDULER_AGENTS_FILE")
        or env.get("SCHEDULER_RUNNER") != "demo"
    ):
        return
    directory = Path(env["SCHEDULER_STATE_DIR"]).expanduser()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        roster = os.open(directory / "agents.yaml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(roster, "wb") as copy:
            copy.write(DEMO_ROSTER.read_bytes())
    except FileExistsError:
        return  # one's own; what is wrong with it is the scheduler's to explain
    except OSError as error:
        raise RunError(f"no roster can be written in {directory}: {error.strerror}") from error


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _must_be_free(host: str, port: str, variable: str) -> None:
    """Say it before anything is started. What is not a port at all is the sidecar's to explain."""
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_reachable(host), int(port)))
            probe.listen(1)  # with SO_REUSEADDR only this tells that somebody else listens
        except OSError as error:
            raise RunError(
                f"port {port} cannot be used ({error.strerror}): end what holds it,"
                f" or choose another with {variable}=..."
            ) from error


def _reachable(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "localhost") else host  # noqa: S104 - compared, not bound


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _number(key: str, line: str) -> int:
    """`key` in a log line of either form, JSON or console."""
    found = re.search(rf'\b{key}(?:": ?|=)(\d+)', line)
    if found is None:
        raise RunError(f"no {key} in: {line.strip()}")
    return int(found[1])


def _drain_seconds(env: Mapping[str, str]) -> float:
    try:
        return float(env["SIDECAR_DRAIN_SECONDS"])
    except (KeyError, ValueError):
        return 30.0


def _healthy(host: str, port: int) -> bool:
    # http.client, because urllib would ask a proxy of the environment.
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _what_next(
    proxy: str, simulated: str, *, clients_key: bool, board: str, metrics: str, scheduler_metrics: str
) -> str:
    upstream = (
        f"SIMULATED UPSTREAM: nvidia-sim ({simulated}) plays NVIDIA's API, no real model is called;\n"
        "with SIDECAR_API_KEY in the environment the real one is."
        if simulated
        else "Requests go to the real upstream and spend its budget."
    )
    key = """ \\\n    -H "Authorization: Bearer $NVIDIA_API_KEY\"""" if clients_key else ""
    return f"""
The sidecar serves on {proxy}, the scheduler on {board}
{upstream}

Try it:
  curl -sS {proxy}/v1/chat/completions -H 'Content-Type: application/json'{key} \\
    -d '{{"model": "deepseek-ai/deepseek-v3", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Budget    {proxy}/status
Board     {board}/api/blackboard/tasks
Metrics   {metrics}/metrics and {scheduler_metrics}/metrics
OpenClaw  .venv/bin/agent-scheduler openclaw plan, then apply --add-agents
          (docs/team.md: from here to a team of your own)
Settings  docs/settings.md
"""


def _board_next(env: Mapping[str, str], *, demo: bool) -> str:
    # Which board depends on settings of one's own where there are any.
    if env.get("SCHEDULER_CONFIG") or env.get("SCHEDULER_DATABASE_URL"):
        located = "# with the environment of this terminal"
    else:
        state = env["SCHEDULER_STATE_DIR"]
        where = {"SCHEDULER_STATE_DIR": state, "BLACKBOARD_DB": f"sqlite:///{state}/blackboard.db"}
        located = "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in where.items())
    lines = _FOR_THE_DEMONSTRATION if demo else _FOR_OPENCLAW
    return lines.format(located=located) + "\nCtrl-C stops everything.\n"


_FOR_THE_DEMONSTRATION = """\
DEMONSTRATION: OpenClaw is not there, so the scheduler plays the agents; each makes one model call. \
Give one something to do:
  {located}
  .venv/bin/blackboard create --title "Say hello to the team" --assignee demo
  .venv/bin/blackboard board
"""
_FOR_OPENCLAW = """\
Agents are started in OpenClaw's gateway. Point it at both processes, then give an agent something to do:
  {located}
  .venv/bin/agent-scheduler openclaw plan                  # what would change, and why; nothing does
  .venv/bin/agent-scheduler openclaw apply --add-agents    # asks first; your agents are the team then
  .venv/bin/agent-scheduler reload
  .venv/bin/blackboard create --title "Say hello to the team" --assignee <one of your agents>
"""


if __name__ == "__main__":
    sys.exit(main())
