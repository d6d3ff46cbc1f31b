"""Files, in and out."""

import hashlib
import tracemalloc
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scheduler.api import uploads
from scheduler.api.downloads import Download
from tests.edge.asgi import Client
from tests.edge.scheduler.office import ADMIN, TASKS, Office
from tests.integration.processes import until

BOUNDARY = b"----------------------------boundary"
FORM = (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    head = f"content-disposition: {disposition}\r\ncontent-type: text/plain\r\n\r\n".encode()
    return b"--" + BOUNDARY + b"\r\n" + head + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def files(office: Office) -> list[Path]:
    return [path for path in office.artifacts.rglob("*") if path.is_file()]


async def claimed(office: Office) -> tuple[str, str]:
    task = await office.create()
    return task, await office.claim(task)


async def test_a_form_hands_a_file_in_whatever_its_pieces(office: Office) -> None:
    task, token = await claimed(office)
    content = b"a line\r\n--" + BOUNDARY[:-1] + b"\r\n" + bytes(range(256)) * 40
    whole = form(
        part("final", b"false"),
        part("file", content, "report.md"),
        part("name", "r\u00e9sum\u00e9.md".encode()),
    )
    for step in (1, 7, 4096, len(whole)):
        pieces = tuple(whole[i : i + step] for i in range(0, len(whole), step))
        talk = await office.ask("POST", f"{TASKS}/{task}/output", headers=[FORM], pieces=pieces, token=token)
        assert talk.status == 200, talk
        output = talk.json["output"]
        assert (output["name"], output["size_bytes"], output["final"]) == (
            "r\u00e9sum\u00e9.md",
            len(content),
            False,
        )
        assert output["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(files(office)) == 4
    newest = await office.ask("GET", f"{TASKS}/{task}/outputs/r%C3%A9sum%C3%A9.md", token=None)
    assert newest.body == content


async def test_the_files_own_name_stands_in_for_one(office: Office) -> None:
    task, token = await claimed(office)
    body = form(part("file", b"x", "report.md"), part("final", b"true"))
    talk = await office.ask("POST", f"{TASKS}/{task}/output", headers=[FORM], pieces=(body,), token=token)
    assert (talk.json["output"]["name"], talk.json["status"]) == ("report.md", "review")


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "..",
        ".",
        ".hidden",
        "a/b",
        "a\\b",
        "a\x1bb",
        "a\u2028b",
        "x" * 201,
        "\U0001f980" * 51,
    ],
)
async def test_a_name_that_is_no_plain_file_name_is_refused_and_nothing_stays(
    office: Office, name: str
) -> None:
    task, token = await claimed(office)
    body = form(part("file", b"x"), part("name", name.encode()))
    at = f"{TASKS}/{task}/output"
    assert await office.error("POST", at, headers=[FORM], pieces=(body,), token=token) == (422, "invalid")
    assert await office.error("POST", at, {"text": "x", "name": name}, token=token) == (422, "invalid")
    assert files(office) == []
    assert list(office.artifacts.parent.glob("x*")) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no form at all", 400),
        (b"--" + BOUNDARY + b"\r\n", 400),
        (part("file", b"never ends", "x.md"), 400),
        (b"--" + BOUNDARY + b"\r\n: nameless\r\n\r\nx\r\n--" + BOUNDARY + b"--\r\n", 400),
        (form(part("file", b"x", "x.md"), part("file", b"y", "y.md")), 422),
        (form(part("name", b"x"), part("name", b"y"), part("file", b"x")), 422),
        (form(part("name", b"\xff"), part("file", b"x")), 422),
        (form(part("final", b"perhaps"), part("file", b"x", "x.md")), 422),
        (form(part("colour", b"red"), part("file", b"x", "x.md")), 422),
        (form(part("text", b"both"), part("file", b"x", "x.md")), 422),
        (form(part("name", b"x.md")), 422),
        (form(part("name", b"x" * 70_000), part("file", b"x")), 413),
        (form(*(part(f"f{number}", b"") for number in range(30))), 422),
        (form(b"--" + BOUNDARY + b"\r\n" + b"a: b\r\n" * 30 + b"\r\nx\r\n"), 400),
        (form(b"--" + BOUNDARY + b"\r\na: " + b"b" * 10_000 + b"\r\n\r\nx\r\n"), 400),
    ],
)
async def test_a_form_that_cannot_be_read_leaves_nothing_behind(
    autojump_clock: MockClock, office: Office, body: bytes, status: int
) -> None:
    task, token = await claimed(office)
    talk = await office.ask(
        "POST",
        f"{TASKS}/{task}/output",
        headers=[FORM, (b"transfer-encoding", b"chunked")],
        pieces=(body,),
        token=token,
    )
    assert talk.status == status, talk
    assert talk.error
    assert files(office) == []
    assert await office.status_of(task) == "claimed"


@pytest.mark.parametrize(
    "content_type", [b"multipart/form-data", b"multipart/form-data; boundary=" + b"x" * 300]
)
async def test_a_form_needs_its_boundary(
    autojump_clock: MockClock, office: Office, content_type: bytes
) -> None:
    task, token = await claimed(office)
    headers = [(b"content-type", content_type)]
    talk = await office.ask("POST", f"{TASKS}/{task}/output", headers=headers, pieces=(b"x",), token=token)
    assert (talk.status, talk.error) == (400, "invalid_request")


async def test_a_large_file_never_sits_in_memory(office: Office) -> None:
    task, token = await claimed(office)
    piece = bytes(64 * 1024)
    count = 400  # 25 MB, of which at most a few pieces may be held
    start = b"--" + BOUNDARY + b'\r\ncontent-disposition: form-data; name="file"; filename="big"\r\n\r\n'
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    tracemalloc.start()
    try:
        talk = await office.ask(
            "POST",
            f"{TASKS}/{task}/output",
            headers=[FORM],
            pieces=(start, *[piece] * count, end),
            token=token,
        )
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert talk.json["output"]["size_bytes"] == len(piece) * count
    assert most < 8 * 1024 * 1024


async def test_more_than_a_gigabyte_is_413_before_it_is_read(
    autojump_clock: MockClock, office: Office
) -> None:
    task, token = await claimed(office)
    headers = [FORM, (b"content-length", b"%d" % (uploads.MOST_UPLOAD_BYTES + 1))]
    talk = office.begin("POST", f"{TASKS}/{task}/output", headers=headers, token=token, more_to_come=True)
    await talk.heard()
    assert (talk.status, talk.error) == (413, "body_too_large")
    assert files(office) == []


async def test_who_may_not_hand_in_hears_so_before_sending(autojump_clock: MockClock, office: Office) -> None:
    task, token = await claimed(office)
    await office.post(f"{TASKS}/{task}/release", token=token)
    for path, given, status in (
        (f"{TASKS}/{task}/output", token, 409),
        (f"{TASKS}/T-9999/output", ADMIN, 404),
        (f"{TASKS}/{task}/output", "wrong", 401),
        (f"{TASKS}/{task}/output", None, 401),
    ):
        headers = [FORM, (b"transfer-encoding", b"chunked")]
        talk = office.begin("POST", path, headers=headers, pieces=(b"-",), token=given, more_to_come=True)
        await talk.heard()
        assert talk.status == status
    assert files(office) == []


async def test_a_client_that_goes_in_the_middle_of_a_file_leaves_nothing_behind(office: Office) -> None:
    task, token = await claimed(office)
    start = part("file", b"x" * 2_000_000, "x.md")[:-2]
    headers = [FORM, (b"transfer-encoding", b"chunked")]
    talk = office.begin(
        "POST", f"{TASKS}/{task}/output", headers=headers, pieces=(start,), token=token, more_to_come=True
    )
    await until(lambda: files(office))
    talk.hang_up()
    await talk.cut()
    assert files(office) == []


async def test_an_output_is_an_attachment_that_no_browser_runs(office: Office) -> None:
    task, token = await claimed(office)
    html = "<script>alert(document.domain)</script>"
    name = 'a "page" \u65e5\u672c;x=y.html'
    await office.post(f"{TASKS}/{task}/output", {"text": html, "name": name}, token=token)
    talk = await office.ask("GET", f"{TASKS}/{task}/outputs/1", token=None)
    assert talk.body == html.encode()
    assert talk.header(b"content-type") == b"application/octet-stream"
    assert talk.header(b"x-content-type-options") == b"nosniff"
    assert (talk.header(b"content-security-policy") or b"").startswith(b"sandbox;")
    assert talk.header(b"content-disposition") == (
        b'attachment; filename="a _page_ ___x_y.html"; '
        b"filename*=UTF-8''a%20%22page%22%20%E6%97%A5%E6%9C%AC%3Bx%3Dy.html"
    )
    head = await office.ask("HEAD", f"{TASKS}/{task}/outputs/1", token=None)
    assert (head.header(b"content-length"), head.body) == (b"%d" % len(html), b"")


async def test_outputs_are_found_by_name_then_by_number(office: Office) -> None:
    task, token = await claimed(office)
    for name, text in (("2", "named two"), ("b.md", "second"), ("b.md", "third")):
        await office.post(f"{TASKS}/{task}/output", {"text": text, "name": name}, token=token)
    for wanted, content in (("1", b"named two"), ("2", b"named two"), ("3", b"third"), ("b.md", b"third")):
        assert (await office.ask("GET", f"{TASKS}/{task}/outputs/{wanted}", token=None)).body == content
    for wanted in ("0", "4", "-1", "99999999999999999999", "c.md", "%D9%A1", "b.md%20", "~2"):
        assert await office.error("GET", f"{TASKS}/{task}/outputs/{wanted}") == (404, "not_found")
    assert await office.error("GET", f"{TASKS}/T-9999/outputs/1") == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../../board.db",
        "%2e%2e%2f%2e%2e%2fboard.db",
        "..%2f..%2fboard.db",
        "a%2Fb",
        "%00",
        "..%5cboard.db",
    ],
)
async def test_no_path_leads_out_of_the_outputs(office: Office, path: str) -> None:
    task, token = await claimed(office)
    await office.post(f"{TASKS}/{task}/output", {"text": "x", "name": "x.md"}, token=token)
    talk = await office.ask("GET", f"{TASKS}/{task}/outputs/{path}", token=None)
    assert talk.status in {400, 404}
    assert b"SQLite" not in talk.body


async def test_an_empty_file_is_a_file(office: Office) -> None:
    task, token = await claimed(office)
    body = form(part("file", b"", "nothing.md"))
    assert (
        await office.ask("POST", f"{TASKS}/{task}/output", headers=[FORM], pieces=(body,), token=token)
    ).status == 200
    talk = await office.ask("GET", f"{TASKS}/{task}/outputs/nothing.md", token=None)
    assert (talk.status, talk.body, talk.header(b"content-length")) == (200, b"", b"0")


async def test_a_file_that_somebody_removed_is_not_found(office: Office) -> None:
    task, token = await claimed(office)
    await office.post(f"{TASKS}/{task}/output", {"text": "x", "name": "x.md"}, token=token)
    files(office)[0].unlink()
    assert await office.error("GET", f"{TASKS}/{task}/outputs/x.md") == (404, "not_found")


async def test_a_file_that_became_shorter_is_cut_off_for_all_to_see(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = tmp_path / "x.md"
    file.write_bytes(b"x" * 1_000)
    download = Download(file.open("rb"), "x.md", 2_000)
    talk = await Client(download, nursery).begin("GET", b"/").cut()
    assert (talk.header(b"content-length"), len(talk.body)) == (b"2000", 1_000)


async def test_a_form_may_hold_a_text_in_the_place_of_a_file(office: Office) -> None:
    task, token = await claimed(office)
    body = form(part("text", b"42"), part("name", b"answer.txt"))
    at = f"{TASKS}/{task}/output"
    talk = await office.ask("POST", at, headers=[FORM], pieces=(body,), token=token)
    assert (talk.status, talk.json["output"]["size_bytes"]) == (200, 2)


async def test_a_reader_that_goes_ends_the_download(office: Office) -> None:
    task, token = await claimed(office)
    await office.post(f"{TASKS}/{task}/output", {"text": "x" * 1_900_000, "name": "x.md"}, token=token)
    talk = office.begin("GET", f"{TASKS}/{task}/outputs/x.md", token=None)
    talk.stall()
    await trio.testing.wait_all_tasks_blocked()
    talk.hang_up()
    talk.go_on()
    await talk.cut()
