#!/usr/bin/env python3
"""Checks the signing vectors beside it against the sandbox's implementation; exit status 1 if they
differ.

With ZENLAYER_REGENERATE_VECTORS=1 in the environment it writes them instead.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "sandbox"))

from zlsandbox import zc2  # noqa: E402

VENDOR_NAME = "vendor-example"
# Published by the vendor with the example; what is computed here must agree.
VENDOR_BODY_SHA256 = "5f714687ba91c606d503467766151206392474accd137ffea6dce2420b67c29a"
VENDOR_REQUEST_SHA256 = "29396f9dfa0f03820b931e8aa06e20cda197e73285ebd76aceb83f7dede493ee"
VENDOR_SIGNATURE = "efb356c32e55c781e10dc676da59462c22596d82e91c57803666243379555b2f"

JSON_UTF8 = "application/json; charset=utf-8"
INPUT_NAMES = ("access_key_id", "access_key_password", "host", "content_type", "timestamp")
DEFAULTS = {
    "access_key_id": "0D9UtpyKYcHxms5v",
    "access_key_password": "Gu5t9xGARNpq86cd98joQYCN3",
    "host": "console.zenlayer.com",
    "content_type": JSON_UTF8,
    "timestamp": "1673361177",
}
STOP_ONE = b'{"forceShutdown":false,"instanceIds":["ins-0001"]}'


def cases():
    """(name, body, inputs that differ from the defaults) of every case, in order. New ones go to
    the end."""
    yield VENDOR_NAME, b'{"pageSize":10,"pageNum":1,"zoneId":"HKG-A"}', {}
    yield from _bodies()
    yield from _body_lengths()
    yield from _headers()
    yield from _keys()
    yield from _timestamps()


def _bodies():
    yield "body-empty", b"", {}
    yield "body-empty-object", b"{}", {}
    yield "body-stop-1-id", b'{"instanceIds":["ins-0001"]}', {}
    yield "body-stop-1-id-graceful", STOP_ONE, {}
    yield "body-stop-2-ids", b'{"forceShutdown":true,"instanceIds":["ins-0001","ins-0002"]}', {}
    hundred = ",".join('"instance-id-%08d"' % number for number in range(1, 101))
    yield "body-stop-100-ids", b'{"instanceIds":[%s]}' % hundred.encode("ascii"), {}
    yield "body-utf8-2-bytes", '{"name":"Zürich"}'.encode("utf-8"), {}
    yield "body-utf8-3-bytes", '{"name":"香港"}'.encode("utf-8"), {}
    yield "body-utf8-4-bytes", '{"name":"𐍈🚀"}'.encode("utf-8"), {}
    yield "body-utf8-mixed", '{"a":"aé漢🚀","b":["é","漢","🚀"]}'.encode("utf-8"), {}
    yield "body-newlines", b'{\n  "pageNum": 1,\r\n  "pageSize": 10\n}\n', {}
    yield "body-only-newline", b"\n", {}
    yield "body-nul-bytes", b'{"a":"\x00\x00"}\x00', {}
    yield "body-slashes", b'{"path":"/a//b","escaped":"\\/a\\/b"}', {}
    yield "body-escapes", b'{"e":"\\"\\\\\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude80"}', {}
    yield "body-upper-case", b'{"ZONEID":"HKG-A"}', {}
    yield "body-spaces-around", b'  {"pageNum":1}  ', {}
    yield "body-all-256-bytes", bytes(range(256)), {}
    yield "body-70-kb", b'{"userData":"%s"}' % (b"0123456789abcdef" * 4480), {}


def _body_lengths():
    # SHA-256 works on blocks of 64 bytes and needs 9 of the last one: what may go wrong goes wrong
    # around there.
    for length in (1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128, 129):
        body = b"7" if length == 1 else b'{"a":"%s"}' % (b"x" * (length - len(b'{"a":""}')))
        yield "body-%d-bytes" % length, body, {}


def _headers():
    yield "host-port", STOP_ONE, {"host": "console.zenlayer.com:8443"}
    yield "host-loopback-port", STOP_ONE, {"host": "127.0.0.1:40443"}
    yield "host-ipv6-port", STOP_ONE, {"host": "[::1]:40443"}
    yield "host-upper-case", STOP_ONE, {"host": "CONSOLE.ZenLayer.COM"}
    yield "host-spaces-around", STOP_ONE, {"host": "  console.zenlayer.com "}
    yield "host-tabs-around", STOP_ONE, {"host": "\t console.zenlayer.com\t"}
    yield "host-one-character", STOP_ONE, {"host": "h"}
    yield "host-253-characters", STOP_ONE, {"host": ".".join(["x" * 49] * 5)[:253]}
    yield "content-type-no-charset", STOP_ONE, {"content_type": "application/json"}
    yield "content-type-upper-case", STOP_ONE, {"content_type": "Application/JSON; Charset=UTF-8"}
    yield "content-type-no-space", STOP_ONE, {"content_type": "application/json;charset=utf-8"}
    inner, around = "application/json;   charset=utf-8", " \tapplication/json; charset=utf-8\t "
    yield "content-type-inner-spaces", STOP_ONE, {"content_type": inner}
    yield "content-type-spaces-around", STOP_ONE, {"content_type": around}


def _keys():
    # HMAC hashes a key that is longer than a block of 64 bytes, and pads a shorter one.
    for length in (1, 63, 64, 65, 200):
        password = ("0123456789abcdef" * 13)[:length]
        yield "password-%d-bytes" % length, STOP_ONE, {"access_key_password": password}
    yield "password-utf8", STOP_ONE, {"access_key_password": "пароль-密碼-🔑"}
    yield "password-spaces", STOP_ONE, {"access_key_password": " two words "}
    yield "password-equals-ampersand", STOP_ONE, {"access_key_password": "a=b&c=d==&"}
    yield "password-percent-plus-slash", STOP_ONE, {"access_key_password": "a%20b+c/d\\e"}
    yield "id-1-byte", STOP_ONE, {"access_key_id": "A"}
    yield "id-64-bytes", STOP_ONE, {"access_key_id": "0123456789abcdef" * 4}
    yield "id-equals-ampersand", STOP_ONE, {"access_key_id": "a=b&c"}
    yield "id-utf8", STOP_ONE, {"access_key_id": "ключ"}
    yield "id-with-space", STOP_ONE, {"access_key_id": "key 1"}


def _timestamps():
    for timestamp in (0, 1, 1000000000, 2**31 - 1, 2**31, 2**32, 2**33, 9999999999):
        yield "timestamp-%d" % timestamp, STOP_ONE, {"timestamp": str(timestamp)}


def files_of(body, inputs):
    """File name -> contents of one case."""
    inputs = {**DEFAULTS, **inputs}
    raw = {name: inputs[name].encode("utf-8") for name in INPUT_NAMES}
    headers = [(b"Content-Type", raw["content_type"]), (b"Host", raw["host"])]
    request = zc2.canonical_request(headers, body)
    to_sign = zc2.string_to_sign(raw["timestamp"], request)
    signature = zc2.signature(raw["access_key_password"], to_sign)
    return {
        "input": b"".join(name.encode("ascii") + b"=" + raw[name] + b"\n" for name in INPUT_NAMES),
        "body": body,
        "canonical_request": request,
        "string_to_sign": to_sign,
        "signature": signature,
        "authorization": zc2.authorization(raw["access_key_id"], [name for name, _ in headers],
                                           signature),
    }


def agrees_with_vendor(files):
    """The implementation itself is judged by the digests that the vendor published."""
    return (hashlib.sha256(files["body"]).hexdigest() == VENDOR_BODY_SHA256
            and hashlib.sha256(files["canonical_request"]).hexdigest() == VENDOR_REQUEST_SHA256
            and files["signature"].decode("ascii") == VENDOR_SIGNATURE)


def case_folders():
    return list(HERE.glob("[0-9][0-9]-*"))


def differences(wanted):
    """What the folders on disk have otherwise, one line each."""
    present = {path.name for path in case_folders()}
    for name in sorted(present - wanted.keys()):
        yield "%s: no such case" % name
    for name, files in wanted.items():
        folder = HERE / name
        if {path.name for path in folder.glob("*")} != files.keys():
            yield "%s: files are missing, or are too many" % name
            continue
        for file_name, contents in files.items():
            if (folder / file_name).read_bytes() != contents:
                yield "%s/%s: differs" % (name, file_name)


def write(wanted):
    for path in case_folders():
        shutil.rmtree(path)
    for name, files in wanted.items():
        (HERE / name).mkdir()
        for file_name, contents in files.items():
            (HERE / name / file_name).write_bytes(contents)


def main():
    wanted = {"%02d-%s" % (number, name): files_of(body, inputs)
              for number, (name, body, inputs) in enumerate(cases(), 1)}
    if not agrees_with_vendor(wanted["01-" + VENDOR_NAME]):
        print("the implementation disagrees with the vendor's example", file=sys.stderr)
        return 1
    if os.environ.get("ZENLAYER_REGENERATE_VECTORS") == "1":
        write(wanted)
    found = list(differences(wanted))
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print("%d signing vectors agree" % len(wanted))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
