"""What NVIDIA writes: the bodies of its answers and of its refusals, as in the public reports. Pure."""

import base64
import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from proxy.simulator.bodies import CHAT, Body, tokens

MODELS = (
    "deepseek-ai/deepseek-r1",
    "deepseek-ai/deepseek-v3.1",
    "meta/llama-3.1-8b-instruct",
    "meta/llama-3.3-70b-instruct",
    "minimaxai/minimax-m2",
    "mistralai/mistral-small-24b-instruct",
    "moonshotai/kimi-k2-instruct",
    "nvidia/llama-3.2-nv-embedqa-1b-v2",
    "nvidia/nv-embedqa-e5-v5",
    "openai/gpt-oss-120b",
    "qwen/qwen3-coder-480b-a35b-instruct",
    "z-ai/glm4.7",
)

FUNCTION = "d3bf5bd0-3b5a-4f64-9c5a-5f2a1c8f4b6e"
ACCOUNT = "nvidia-sim-account"

TOO_MANY = b'{"status":429,"title":"Too Many Requests"}'
UNAUTHORIZED = b'{"status":401,"title":"Unauthorized"}'
NO_CREDITS = f'{{"detail":"Account \'{ACCOUNT}\': Cloud credits expired - Please contact NVIDIA"}}'.encode()
NO_FUNCTION = f"{{\"detail\":\"Function '{FUNCTION}': Not found for account '{ACCOUNT}'\"}}".encode()
DEGRADED = (
    b'{"type":"urn:inference-service:problem-details:bad-request","title":"Bad Request","status":400,'
    b'"detail":"Function id \'%s\': DEGRADED function cannot be invoked"}' % FUNCTION.encode()
)
INFERENCE_ERROR = b'{"status":500,"title":"Internal Server Error","detail":"Inference connection error"}'
BAD_GATEWAY = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body></body>\r\n</html>\r\n"
NO_SUCH_PATH = b'{"status":404,"title":"Not Found","detail":"404 page not found"}'
WRONG_METHOD = b'{"status":405,"title":"Method Not Allowed"}'
DONE = b"data: [DONE]\n\n"


class Called(NamedTuple):
    """A tool, and the arguments as a model writes them."""

    name: str
    arguments: str

    def as_json(self, number: int) -> dict[str, object]:
        return {
            "id": f"call_{number:08d}",
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


class Reply(NamedTuple):
    """What one request is answered with; all that the bodies below need."""

    path: str
    body: Body
    text: str
    number: int
    created: int
    called: Called | None = None
    """in the place of the text"""

    @property
    def usage(self) -> dict[str, int]:
        said = self.text if self.called is None else self.called.arguments
        prompt, completion = self.body.prompt_tokens, tokens(said)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def head(self, kind: str) -> dict[str, object]:
        name = "chatcmpl" if self.path == CHAT else "cmpl"
        return {
            "id": f"{name}-{self.number:08d}",
            "object": kind,
            "created": self.created,
            "model": self.body.model,
        }


def workers_full(workers: int) -> bytes:
    message = f"ResourceExhausted: Worker local total request limit reached ({workers}/{workers})"
    return msgspec.json.encode({"error": {"message": message, "type": "Service Unavailable", "code": 503}})


def end_of_life(model: str) -> bytes:
    detail = (
        f"The model '{model}' has reached its end of life on 2025-06-30T00:00:00Z and is no longer available."
    )
    return msgspec.json.encode({"status": 410, "title": "Gone", "detail": detail})


def model_card(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 735790403, "owned_by": model.partition("/")[0]}


def model_list() -> bytes:
    return msgspec.json.encode({"object": "list", "data": [model_card(model) for model in MODELS]})


def full(reply: Reply) -> bytes:
    """A chat or text completion in one body."""
    said: dict[str, object]
    if reply.called is not None:
        calls = [reply.called.as_json(reply.number)]
        said = {"message": {"role": "assistant", "content": None, "tool_calls": calls}}
    elif reply.path == CHAT:
        said = {"message": {"role": "assistant", "content": reply.text}}
    else:
        said = {"text": reply.text}
    kind = "chat.completion" if reply.path == CHAT else "text_completion"
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": _reason(reply)}
    return msgspec.json.encode({**reply.head(kind), "choices": [choice], "usage": reply.usage})


def events(reply: Reply, chunks: int) -> Iterator[bytes]:
    """The same as server-sent events: role, words, reason, usage if it was asked for, ``[DONE]``."""
    chat = reply.path == CHAT
    head = reply.head("chat.completion.chunk" if chat else "text_completion")

    def event(choices: Sequence[dict[str, object]], **more: object) -> bytes:
        return b"data: " + msgspec.json.encode({**head, "choices": choices, **more}) + b"\n\n"

    def choice(content: str, reason: str | None = None, **delta: object) -> dict[str, object]:
        words = {"content": content} if content else {}
        said: dict[str, object] = {"delta": {**delta, **words}} if chat else {"text": content}
        return {"index": 0, **said, "finish_reason": reason}

    if chat:
        yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    if reply.called is not None:
        yield event([choice("", tool_calls=[{"index": 0, **reply.called.as_json(reply.number)}])])
    else:
        for words in pieces(reply.text, chunks):
            yield event([choice(words)])
    yield event([choice("", _reason(reply))])
    if reply.body.include_usage:
        yield event([], usage=reply.usage)
    yield DONE


def _reason(reply: Reply) -> str:
    return "stop" if reply.called is None else "tool_calls"


def pieces(text: str, count: int) -> list[str]:
    """The text in at most ``count`` parts, none of them empty."""
    count = max(1, min(count, len(text)))
    return [text[len(text) * i // count : len(text) * (i + 1) // count] for i in range(count)]


def embeddings(body: Body) -> bytes:
    """A vector per input; the same text always gets the same one."""
    inputs: list[object] = body.input if isinstance(body.input, list) else [body.input]
    if inputs and isinstance(inputs[0], int):
        inputs = [body.input]  # one text, given as its tokens
    size = body.dimensions or 1024
    vectors = [_vector(f"{body.model} {text}", size) for text in inputs]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _packed(vector) if body.encoding_format == "base64" else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    count = body.prompt_tokens
    usage = {"prompt_tokens": count, "total_tokens": count}
    return msgspec.json.encode({"object": "list", "data": data, "model": body.model, "usage": usage})


def _vector(text: str, size: int) -> list[float]:
    drawn = hashlib.shake_128(text.encode("utf-8", "replace")).digest(size)
    return [byte / 128 - 1 for byte in drawn]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
