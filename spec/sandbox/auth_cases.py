"""Signatures, tokens, timestamps: who gets in, and what the others are told."""

import time
import unittest
from email.utils import parsedate_to_datetime

from support import PASSWORD, Sandbox, zc2


class WorkedExample(unittest.TestCase):
    """The vendor's own, stage by stage."""

    BODY = b'{"pageSize":10,"pageNum":1,"zoneId":"HKG-A"}'
    HEADERS = [(b"Host", b"console.zenlayer.com"),
               (b"Content-Type", b"application/json; charset=utf-8")]

    def test_every_stage(self):
        request = zc2.canonical_request(self.HEADERS, self.BODY)
        self.assertEqual(request, b"POST\n/\n\n"
                         b"content-type:application/json; charset=utf-8\n"
                         b"host:console.zenlayer.com\n\n"
                         b"content-type;host\n"
                         b"5f714687ba91c606d503467766151206392474accd137ffea6dce2420b67c29a")
        to_sign = zc2.string_to_sign(b"1673361177", request)
        self.assertEqual(to_sign, b"ZC2-HMAC-SHA256\n1673361177\n"
                         b"29396f9dfa0f03820b931e8aa06e20cda197e73285ebd76aceb83f7dede493ee")
        signature = zc2.signature(b"Gu5t9xGARNpq86cd98joQYCN3", to_sign)
        self.assertEqual(signature,
                         b"efb356c32e55c781e10dc676da59462c22596d82e91c57803666243379555b2f")
        self.assertEqual(
            zc2.authorization(b"0D9UtpyKYcHxms5v", [b"Host", b"Content-Type"], signature),
            b"ZC2-HMAC-SHA256 Credential=0D9UtpyKYcHxms5v, "
            b"SignedHeaders=content-type;host, Signature=" + signature)

    def test_values_are_trimmed_and_lowered(self):
        untidy = [(b"HOST", b" Console.Zenlayer.COM\t"),
                  (b"content-TYPE", b"Application/JSON; charset=UTF-8 ")]
        self.assertEqual(zc2.canonical_request(untidy, self.BODY),
                         zc2.canonical_request(self.HEADERS, self.BODY))


class Gate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox("--accept-any")
        cls.addClassCleanup(cls.sandbox.close)

    def assert_refused(self, status, code, **request):
        """That Echo with these changes is refused; returns the journal's line."""
        answer = self.sandbox.call("Echo", {}, **request)
        self.assertEqual((answer.status, answer.code), (status, code), answer.body)
        self.assertRegex(answer.json["requestId"], r"^T[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$")
        self.assertNotIn(b"Signature=", answer.body)
        line = self.sandbox.last_request()
        self.assertFalse(line["acted"])
        self.assertEqual((line["status"], line["code"], line["request_id"]),
                         (status, code, answer.json["requestId"]))
        return line

    def authorization(self, key_id="SANDBOXKEY", signed="content-type;host", signature="0" * 64,
                      scheme=None):
        return "%s Credential=%s, SignedHeaders=%s, Signature=%s" % (
            scheme or "ZC2-HMAC-SHA256", key_id, signed, signature)

    def test_a_good_signature(self):
        self.assertEqual(self.sandbox.call("Echo").status, 200)
        line = self.sandbox.last_request()
        self.assertEqual((line["auth"], line["verified"], line["signed_headers"], line["alpn"]),
                         ("key", True, "content-type;host", "http/1.1"))

    def test_more_signed_headers(self):
        with self.sandbox.connect() as client:
            stamp = str(int(time.time()))
            headers = [(b"content-type", b"application/json"), (b"host", client.host.encode()),
                       (b"x-zc-action", b"Echo")]
            to_sign = zc2.string_to_sign(stamp.encode(), zc2.canonical_request(headers, b"{}"))
            authorization = self.authorization(signed="content-type;host;x-zc-action",
                                               signature=zc2.signature(PASSWORD, to_sign).decode())
            answer = client.call("Echo", {}, timestamp=stamp, content_type="application/json",
                                 Authorization=authorization)
        self.assertEqual(answer.status, 200, answer.body)

    def test_wrong_password(self):
        line = self.assert_refused(401, "AUTHFAILURE_SIGNATURE_FAILURE", password=b"not it")
        self.assertEqual((line["auth"], line["verified"]), ("key", False))

    def test_unknown_key(self):
        self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION", key_id=b"SOMEBODY")

    def test_content_type_is_signed_as_sent(self):
        self.assert_refused(401, "AUTHFAILURE_SIGNATURE_FAILURE", Content_Type="application/json")

    def test_malformed_authorization(self):
        for value in ("", "Basic eDp5", "ZC2-HMAC-SHA256",
                      self.authorization(scheme="ZC3-HMAC-SHA256"),
                      self.authorization(signature="0" * 63),
                      self.authorization(signature="A" * 64),
                      self.authorization().replace(", ", ",")):
            with self.subTest(value):
                self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION", Authorization=value)
        self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION", Authorization=None)

    def test_signed_headers_must_be_the_right_ones(self):
        for signed in ("host", "content-type", "host;content-type", "Content-Type;Host",
                       "content-type;host;host",
                       "content-type;host;x-absent"):
            with self.subTest(signed):
                self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION",
                                    Authorization=self.authorization(signed=signed))

    def test_signature_method(self):
        self.assert_refused(400, "MISSING_PARAMETER", X_ZC_Signature_Method=None)
        self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION",
                            X_ZC_Signature_Method="HMAC-SHA1")

    def test_timestamp(self):
        now = int(time.time())
        for timestamp in (now - 310, now + 310, 0):
            self.assert_refused(401, "AUTHFAILURE_SIGNATURE_EXPIRED", timestamp=timestamp)
        for timestamp in (now - 290, now + 290):
            self.assertEqual(self.sandbox.call("Echo", timestamp=timestamp).status, 200)
        self.assert_refused(400, "MISSING_PARAMETER", X_ZC_Timestamp=None)
        for text in ("soon", "-1", "1.5"):
            self.assert_refused(400, "INVALID_PARAMETER_VALUE", X_ZC_Timestamp=text)

    def test_token(self):
        answer = self.sandbox.call("Echo", Authorization="Bearer sandbox-token",
                                   X_ZC_Signature_Method=None)
        self.assertEqual(answer.status, 200)
        line = self.sandbox.last_request()
        self.assertEqual((line["auth"], line["verified"], line["signed_headers"]),
                         ("token", True, None))
        line = self.assert_refused(401, "AUTHFAILURE_INVALID_AUTHORIZATION",
                                   Authorization="Bearer other-token")
        self.assertEqual((line["auth"], line["verified"]), ("token", False))

    def test_the_journal_keeps_secrets(self):
        with self.sandbox.connect() as client:
            request = client.request("Echo", {})
            client.sock.sendall(request)
            client.receive()
        self.sandbox.call("Echo", Authorization="Bearer sandbox-token")
        signature = request.split(b"Signature=")[1][:64].decode()
        # As if the line's end before it was lost on the way.
        self.sandbox.call("Echo", **{"X-ZC-Sdk-Lang": "lua  Authorization: Bearer sandbox-token"})
        self.sandbox.call("Echo", **{"X-ZC-Sdk-Lang": "lua, Signature=" + signature})
        text = str(self.sandbox.journal())
        for secret in (signature, "sandbox-token", "sandbox-password", "Bearer", "Credential="):
            self.assertNotIn(secret, text)


class WrongClock(unittest.TestCase):
    def test_a_clock_that_is_wrong(self):
        sandbox = Sandbox("--clock-offset", "-3600")
        self.addCleanup(sandbox.close)
        answer = sandbox.call("Echo")
        self.assertEqual(answer.code, "AUTHFAILURE_SIGNATURE_EXPIRED")
        dated = parsedate_to_datetime(answer.headers["date"]).timestamp()
        self.assertAlmostEqual(dated, time.time() - 3600, delta=3)
        self.assertEqual(sandbox.call("Echo", timestamp=int(dated)).status, 200)
        self.assertAlmostEqual(sandbox.last_request()["time"], time.time() - 3600, delta=3)
