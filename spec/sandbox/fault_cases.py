"""Faults: every kind does on the socket what it says, and the script decides when."""

import json
import ssl
import time
import unittest
from email.utils import parsedate_to_datetime

from support import Sandbox, wait_until  # which puts zlsandbox in reach
from zlsandbox import faults, kinds

FIN_WITHOUT_NOTICE = ssl.SSLError  # SSLEOFError from Python 3.11.4 on


class FaultCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox("--accept-any", "--instances", "0", "--stop-seconds", "60")
        cls.addClassCleanup(cls.sandbox.close)
        cls.ids = ("ins-%d" % number for number in range(1_000_000))

    def play(self, fault, *more, **rule):
        self.sandbox.write_faults([{"fault": fault, **rule}, *more])

    def stop(self, client):
        """Sends StopInstances for a new id, which the test then finds in self.id."""
        self.id = next(self.ids)
        client.send("StopInstances", {"instanceIds": [self.id]})

    def answer(self):
        with self.sandbox.connect() as client:
            self.stop(client)
            return client.receive()

    def assert_line(self, fault, acted, status):
        """What the journal says about the last stop, and whether it really was carried out."""
        def lines():
            return [line for line in self.sandbox.requests()
                    if (line["params"] or {}).get("instanceIds") == [self.id]]

        wait_until(lines)
        line = lines()[-1]
        self.assertEqual((line["fault"], line["acted"], line["status"]), (fault, acted, status))
        self.assertEqual(line["acted_ids"], [self.id] if acted else [])
        self.assertTrue(line["verified"])
        self.sandbox.write_faults([])
        self.assertEqual(self.sandbox.states([self.id])[self.id],
                         "STOPPING" if acted else "RUNNING")
        return line


class OtherAnswers(FaultCase):
    def test_rate_limit(self):
        self.play("rate_limit", retry_after=2)
        answer = self.answer()
        self.assertEqual((answer.status, answer.code), (429, "REQUEST_LIMIT_EXCEEDED"))
        self.assertEqual(answer.headers["retry-after"], "2")
        self.assert_line("rate_limit", False, 429)
        self.play("rate_limit", retry_after="date:90")
        moment = parsedate_to_datetime(self.answer().headers["retry-after"]).timestamp()
        self.assertAlmostEqual(moment, time.time() + 90, delta=3)
        self.play("rate_limit")
        self.assertNotIn("retry-after", self.answer().headers)

    def test_status(self):
        self.play("status", status=503, code="SERVICE_TEMPORARY_UNAVAILABLE", message="later")
        answer = self.answer()
        self.assertEqual((answer.status, answer.code, answer.json["message"]),
                         (503, "SERVICE_TEMPORARY_UNAVAILABLE", "later"))
        self.assertEqual(self.assert_line("status", False, 503)["code"],
                         "SERVICE_TEMPORARY_UNAVAILABLE")

    def test_status_after_acting(self):
        self.play("status", status=500, act=True)
        answer = self.answer()
        self.assertEqual((answer.status, answer.headers["content-type"]),
                         (500, "text/html; charset=utf-8"))
        self.assert_line("status", True, 500)

    def test_status_with_a_body(self):
        self.play("status", status=502, body="bad gateway", content_type="text/x-odd")
        answer = self.answer()
        self.assertEqual((answer.status, answer.body, answer.headers["content-type"]),
                         (502, b"bad gateway", "text/x-odd"))

    def test_answer(self):
        self.play("answer", status=201, body={"requestId": 7}, headers={"X-Odd": "1", "Date": None})
        answer = self.answer()
        self.assertEqual((answer.status, answer.json, answer.headers["x-odd"]),
                         (201, {"requestId": 7}, "1"))
        self.assertNotIn("date", answer.headers)
        self.play("answer", body_hex="7bff7d")
        self.assertEqual(self.answer().body, b"{\xff}")
        self.play("answer", body="{}", headers={"Content-Length": "1"})
        self.assertEqual(self.answer().body, b"{")

    def test_not_json_and_empty(self):
        self.play("not_json")
        self.assertIn(b"<html>", self.answer().body)
        self.assert_line("not_json", False, 200)
        self.play("empty", status=202, act=True)
        answer = self.answer()
        self.assertEqual((answer.status, answer.body), (202, b""))
        self.assert_line("empty", True, 202)
        self.play("empty", status=204)
        self.assertNotIn("content-length", self.answer().headers)

    def test_the_edge(self):
        self.play("challenge")
        answer = self.answer()
        self.assertEqual((answer.status, answer.headers["cf-mitigated"]), (403, "challenge"))
        self.play("blocked")
        answer = self.answer()
        self.assertEqual((answer.status, answer.headers["content-type"]),
                         (451, "text/html; charset=utf-8"))
        self.play("redirect", location="https://elsewhere.example/")
        answer = self.answer()
        self.assertEqual((answer.status, answer.headers["location"]),
                         (302, "https://elsewhere.example/"))
        self.assert_line("redirect", False, 302)


class NoAnswer(FaultCase):
    def assert_reset(self, fault, acted):
        self.play(fault)
        with self.sandbox.connect() as client:
            self.stop(client)
            self.assertEqual(client.end_on_the_wire(), "reset")
        self.assert_line(fault, acted, None)

    def test_reset_before_and_after(self):
        self.assert_reset("reset_before", False)
        self.assert_reset("reset_after", True)

    def test_reset_unread(self):
        self.play("reset_unread")
        with self.sandbox.connect() as client:
            request = client.request("StopInstances", {"instanceIds": ["unread"]})
            client.sock.sendall(request[:request.index(b"\r\n\r\n") + 4])  # the body never comes
            self.assertEqual(client.end_on_the_wire(), "reset")
        line = self.sandbox.last_request()
        self.assertEqual((line["fault"], line["action"], line["acted"], line["status"]),
                         ("reset_unread", "StopInstances", False, None))

    def test_close(self):
        for fault, acted in (("close_before", False), ("close_after", True)):
            self.play(fault)
            with self.sandbox.connect() as client:
                self.stop(client)
                self.assertEqual(client.rest(), b"")  # close_notify came first, or this would raise
            self.assert_line(fault, acted, None)
            with self.sandbox.connect() as client:
                self.play(fault)
                self.stop(client)
                self.assertEqual(client.end_on_the_wire(), "closed")

    def test_close_without_notice(self):
        self.play("close_before", notify=False)
        with self.sandbox.connect() as client:
            self.stop(client)
            with self.assertRaises(FIN_WITHOUT_NOTICE):
                client.rest()

    def test_stall(self):
        self.play("stall", seconds=0.3, act=True)
        with self.sandbox.connect() as client:
            self.stop(client)
            started = time.monotonic()
            wait_until(lambda: self.sandbox.last_request()["fault"] == "stall")
            self.assertLess(time.monotonic() - started, 0.25, "the journal tells of it at once")
            self.assertEqual(client.rest(), b"")
            self.assertGreater(time.monotonic() - started, 0.25)
        self.assert_line("stall", True, None)

    def test_stall_ends_when_the_client_leaves(self):
        self.play("stall", seconds=60)
        with self.sandbox.connect() as client:
            self.stop(client)
            wait_until(lambda: self.sandbox.last_request()["fault"] == "stall")
        wait_until(lambda: self.sandbox.journal()[-1].get("event") == "connection_closed")


class SpoiledAnswers(FaultCase):
    def test_truncate(self):
        for size in (0, 10, 150):
            self.play("truncate", bytes=size, act=True)
            with self.sandbox.connect() as client:
                self.stop(client)
                self.assertEqual(len(client.rest()), size)
            self.assert_line("truncate", True, 200)
        self.play("truncate", bytes=20)
        with self.sandbox.connect() as client:
            self.stop(client)
            self.assertEqual(client.rest(), b"HTTP/1.1 200 OK\r\nDat")
        self.assert_line("truncate", False, 200)

    def test_delay(self):
        self.play("delay", seconds=0.3)
        started = time.monotonic()
        self.assertEqual(self.answer().status, 200)
        self.assertGreaterEqual(time.monotonic() - started, 0.3)
        self.assert_line("delay", True, 200)

    def test_act_false_only_pretends(self):
        self.play("delay", seconds=0, act=False)
        self.assertEqual(self.answer().status, 200)
        self.assert_line("delay", False, 200)

    def test_slow(self):
        self.play("slow", chunk=50, pause=0.02)
        with self.sandbox.connect() as client:
            self.stop(client)
            pieces = [client.sock.recv(65536) for _ in range(4)]
        self.assertEqual([len(piece) for piece in pieces], [50, 50, 50, 50])

    def test_stray(self):
        forged = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        for more in ({}, {"after": "same"}, {"after": "later"}):
            self.play("stray", bytes=forged, requests=[1], **more)
            with self.sandbox.connect() as client:
                self.stop(client)
                self.assertEqual(client.receive().status, 200)
                self.assertEqual(client.pending(0.15), forged.encode())
                self.assertEqual(client.call("Echo").status, 200, "the connection lives on")
            self.assert_line("stray", True, 200)

    def test_clock(self):
        self.play("clock", offset=-1000, times=1)
        answer = self.answer()
        self.assertEqual(answer.code, "AUTHFAILURE_SIGNATURE_EXPIRED")
        moment = parsedate_to_datetime(answer.headers["date"]).timestamp()
        self.assertAlmostEqual(moment, time.time() - 1000, delta=3)
        self.assertEqual(self.answer().status, 200)

    def test_changed_heads(self):
        self.play("no_date")
        self.assertNotIn("date", self.answer().headers)
        self.play("headers", headers={"Date": "yesterday", "X-More": "1"})
        answer = self.answer()
        self.assertEqual((answer.headers["date"], answer.headers["x-more"]), ("yesterday", "1"))
        self.assertEqual(answer.raw.count(b"Date:"), 1)
        self.play("huge_header", bytes=100_000)
        self.assertEqual(len(self.answer().headers["x-filler"]), 100_000)
        self.assert_line("huge_header", True, 200)

    def test_changed_bodies(self):
        self.play("huge_body", bytes=1_000_000)
        answer = self.answer()
        self.assertEqual(len(answer.body), 1_000_000)
        self.assertIn("requestId", answer.response)
        self.play("chunked")
        answer = self.answer()
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        self.assertNotIn("content-length", answer.headers)
        self.assertIn("requestId", answer.response)

    def test_connection_close(self):
        self.play("connection_close")
        with self.sandbox.connect() as client:
            self.stop(client)
            self.assertEqual(client.receive().headers["connection"], "close")
            self.assertEqual(client.rest(), b"")


class Script(FaultCase):
    def statuses(self, count, action="Echo", **more):
        with self.sandbox.connect() as client:
            return [client.call(action, **more).status for _ in range(count)]

    def test_ordinals_and_times(self):
        self.play("rate_limit", requests=[2, 4])
        self.assertEqual(self.statuses(5), [200, 429, 200, 429, 200])
        self.play("rate_limit", times=2)
        self.assertEqual(self.statuses(4), [429, 429, 200, 200])

    def test_the_first_rule_that_applies(self):
        self.play("status", {"fault": "rate_limit", "requests": [2]}, status=500, times=1)
        self.assertEqual(self.statuses(3), [500, 429, 200])

    def test_selectors(self):
        self.play("rate_limit", {"fault": "status", "status": 500, "service": "zec"},
                  action="StopInstances")
        self.assertEqual(self.statuses(1), [200])
        self.assertEqual(self.statuses(1, service="zec"), [500])
        self.assertEqual(self.answer().status, 429)

    def test_head_is_left_alone(self):
        self.play("empty", {"fault": "status", "status": 503, "method": "HEAD"}, status=500,
                  times=1)
        with self.sandbox.connect() as client:
            client.sock.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(client.receive(head_only=True).status, 503)
            self.assertEqual(client.call("Echo").status, 500)

    def test_dice_depend_on_the_seed(self):
        runs = []
        for seed in (1, 1, 2):
            self.play("rate_limit", probability=0.5, seed=seed)
            runs.append(self.statuses(40))
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])
        self.assertEqual(set(runs[0]), {200, 429})

    def test_a_swapped_file_starts_anew(self):
        with self.sandbox.connect() as client:
            for _ in range(2):
                self.play("rate_limit", times=1)
                self.assertEqual([client.call("Echo").status for _ in range(2)], [429, 200])

    def test_a_broken_file_is_loud(self):
        self.sandbox.write_faults("[{")
        self.addCleanup(self.sandbox.write_faults, [])
        self.assertEqual(self.sandbox.call("Echo").code, "SANDBOX_FAULT_FILE")

    def test_every_kind_is_played_here(self):
        with open(__file__, encoding="utf-8") as file:
            played = file.read()
        for kind in kinds.KINDS:
            self.assertIn('"%s"' % kind, played)


class Rules(unittest.TestCase):
    def test_nonsense_is_named(self):
        for script, words in (
                ('{"fault": "empty"}', "must be a list"), ("[1]", "must be an object"),
                ('[{"fault": "emtpy"}]', "no fault 'emtpy'"),
                ('[{"fault": "stall"}]', "seconds is required"),
                ('[{"fault": "stall", "seconds": "1"}]', "seconds cannot be '1'"),
                ('[{"fault": "empty", "bytes": 1}]', "no parameter bytes"),
                ('[{"fault": "reset_after", "act": true}]', "act cannot be chosen"),
                ('[{"fault": "empty", "requests": [0]}]', "requests cannot be [0]")):
            with self.subTest(script), self.assertRaises(faults.ScriptError) as raised:
                faults.parse_script(script)
            self.assertIn(words, str(raised.exception))

    def test_the_command_line_form(self):
        rule = faults.parse_spec("rate_limit:times=2,retry_after=date:3,action=Echo")
        self.assertEqual((rule.kind, rule.action, rule.parameters),
                         ("rate_limit", "Echo", {"retry_after": "date:3"}))
        rule = faults.parse_spec(json.dumps({"fault": "status", "status": 500, "act": True}))
        self.assertEqual((rule.kind, rule.act, rule.parameters), ("status", True, {"status": 500}))
        for spec in ("nothing", "stall", "stall:1", "{", "stall:seconds=x"):
            with self.subTest(spec), self.assertRaises(faults.ScriptError):
                faults.parse_spec(spec)
