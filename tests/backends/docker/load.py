"""Requests without a pause, to be run as a program (in a container's network): ``load.py NAME PORT SECONDS``, until its input ends and one
more. SECONDS: for a connection, and for an answer.

A name is asked for anew each time, of Docker's own resolver, and its addresses are tried in turn, as HTTP clients do. It prints what was
answered, or why nothing was, by how often, and in which order: one entry for what was answered many times in a row.

What was answered where the connection came late, to an address that the name no longer leads to, is told as such: the kernel asks again for
a connection that nobody took, after one second and three, and the engine may have given the address to another container by then."""

import json
import os
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator

RESOLVER = ("127.0.0.11", 53)
LATE = 0.5  # seconds, in which no engine ends a container, starts another one and has it answer


def addresses(name: str) -> list[str]:
    if name[0].isdigit():
        return [name]
    question = (
        b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(15)
        asked.sendto(os.urandom(2) + struct.pack(">HHHHH", 0x100, 1, 0, 0, 0) + question, RESOLVER)
        answer = asked.recv(1024)
    at, found = 12 + len(question), []
    for _ in range(struct.unpack(">H", answer[6:8])[0]):
        while answer[at] and answer[at] < 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] else 1
        kind, _, _, length = struct.unpack(">HHIH", answer[at : at + 10])
        at += 10
        if kind == 1 and length == 4:
            found.append(socket.inet_ntoa(answer[at : at + 4]))
        at += length
    return found


def is_outdated(name: str, place: str) -> bool:
    try:
        return place not in addresses(name)
    except OSError:
        return False


def one(name: str, port: int, seconds: float) -> str:
    try:
        places = addresses(name)
    except OSError as error:
        return f"no name: {error}"
    if not places:
        return "no address"
    asked = time.monotonic()
    why = ""
    for place in places:
        try:
            made = socket.create_connection((place, port), seconds)
        except OSError as error:
            why = f"refused: {error}"
            continue  # nothing was sent: the next address is as good
        late = time.monotonic() - asked > LATE
        try:
            with made:
                made.sendall(b"GET /version HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := made.recv(4096):
                    answer += piece
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
        except OSError as error:
            return f"broken: {error}"
        head, _, body = answer.partition(b"\r\n\r\n")
        said = body.decode().strip() if b" 200 " in head[:20] else f"answered: {head[:40]!r}"
        return f"outdated: {said}" if late and is_outdated(name, place) else said
    return why


def answers() -> Iterator[str]:
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    while not select.select([sys.stdin], [], [], 0)[0]:
        yield one(name, port, seconds)
    yield one(name, port, seconds)


if __name__ == "__main__":
    print("ready", flush=True)
    order: list[str] = []
    counted: Counter[str] = Counter()
    for answer in answers():
        counted[answer] += 1
        if order[-1:] != [answer]:
            order.append(answer)
    print(json.dumps([counted, order]))
