"""Measure the engine for servers: draws a second against a local server that answers at once.

The peer is what the official client does alone with the same requests: `AsyncOpenAI`, its answers not looked at. The
server runs in a process of its own on the same cores; its share is said, since it takes part of them.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import AsyncOpenAI

from probes.engines import Request
from probes.engines.openai import PER_SERVER, OpenAIEngine
from probes.store.arm import Sampling, declared_arm
from rlvr.problems.prompts import Prompt

TEXT, NUM_TOKENS = "x = 3 * 4 + 5; so the answer is 17. " * 14, 120  # 500 characters
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}


def answer_of(num: int) -> bytes:
    """Returns the answer of vLLM to a request for `num` completions."""
    choice = {"finish_reason": "stop", "logprobs": None, "text": TEXT, "token_ids": list(range(NUM_TOKENS))}
    choices = [{**choice, "index": index} for index in range(num)]
    usage = {"prompt_tokens": 9, "completion_tokens": num * NUM_TOKENS, "total_tokens": num * NUM_TOKENS + 9}
    value = {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    return json.dumps(value).encode()


async def serve(port: multiprocessing.Queue) -> None:
    """Answers every request on a connection, one after the other, from answers that are made once."""
    answers: dict[int, bytes] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = json.loads(await reader.readexactly(int(length))) if length else None
                if body is None:
                    data = json.dumps(MODELS).encode()
                elif (num := body["n"]) not in answers:
                    data = answers[num] = answer_of(num)
                else:
                    data = answers[num]
                start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                writer.write(start % len(data) + data)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """Yields the base URL of a server, and its process."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    process = context.Process(target=run_server, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=60)}/v1", process.pid
    finally:
        process.kill()
        process.join()


def run_server(port: multiprocessing.Queue) -> None:
    """Runs the server until it is killed."""
    asyncio.run(serve(port))


def cpu_s(pid: int) -> float:
    """Returns the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def draw(url: str, num: int, per_request: int) -> None:
    """Makes `num` draws with the engine."""
    arm = declared_arm("m", {"template": "{question}"}, Sampling(max_new_tokens=NUM_TOKENS))
    engine = OpenAIEngine([url], "m", arm, draws_per_request=per_request)
    made = sum(len(batch) for batch in engine.sample([Request("p", Prompt("say it"), tuple(range(num)))]))
    assert made == num


def draw_bare(url: str, num: int, per_request: int) -> None:
    """Makes as many requests with the official client alone, as many at once."""

    async def work() -> None:
        todo = iter(range(0, num, per_request))
        async with AsyncOpenAI(base_url=url, api_key="EMPTY") as client:

            async def worker() -> None:
                for first in todo:
                    await client.completions.create(model="m", prompt="say it", n=per_request, seed=first)

            await asyncio.gather(*(worker() for _ in range(PER_SERVER)))

    asyncio.run(work())


def main() -> None:
    """Prints JSON: for n completions a request, draws a second of engine and peer, and who used the cores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=20_000, help="draws a measurement")
    num = parser.parse_args().num
    result = {}
    with serving() as (url, server):
        for per_request in (1, 4, 16, 64):
            row = result[f"n={per_request}"] = {}
            for name, work in (("engine", draw), ("client alone", draw_bare)):
                size = max(2_000, num * min(per_request, 16) // 16)
                began, server_began, own_began = time.perf_counter(), cpu_s(server), resource.getrusage(0)
                work(url, size, per_request)
                seconds = time.perf_counter() - began
                own = resource.getrusage(0)
                used = own.ru_utime + own.ru_stime - own_began.ru_utime - own_began.ru_stime
                row[name] = {
                    "draws_per_s": round(size / seconds),
                    "own_cores": round(used / seconds, 2),
                    "server_cores": round((cpu_s(server) - server_began) / seconds, 2),
                }
            row["ratio"] = round(row["engine"]["draws_per_s"] / row["client alone"]["draws_per_s"], 2)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
