"""The API itself: headers and parameters, the instances and their states, each service's ways."""

import hashlib
import time
import unittest

from support import Sandbox, wait_until


class ApiCase(unittest.TestCase):
    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(*cls.OPTIONS)
        cls.addClassCleanup(cls.sandbox.close)

    def assert_code(self, status, code, action, params=None, **more):
        answer = self.sandbox.call(action, params, **more)
        self.assertEqual((answer.status, answer.code), (status, code), answer.body)

    def stop(self, *ids, **more):
        service = more.pop("service", "vm")
        return self.sandbox.call("StopInstances", {"instanceIds": list(ids), **more},
                                 service=service)


class Requests(ApiCase):
    OPTIONS = ("--accept-any",)

    def test_answer_headers(self):
        answer = self.sandbox.call("Echo")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertRegex(answer.headers["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        self.assertEqual(answer.response["requestId"], answer.json["requestId"])

    def test_echo(self):
        body = '{"name": "Zürich 🚀", "n": [1, 2.5, null, true]}'.encode("utf-8")
        response = self.sandbox.call("Echo", body=body).response
        self.assertEqual(response["size"], len(body))
        self.assertEqual(response["sha256"], hashlib.sha256(body).hexdigest())
        self.assertEqual(response["params"], {"name": "Zürich 🚀", "n": [1, 2.5, None, True]})

    def test_large_body(self):
        body = b'{"a":"%s"}' % (b"x" * 5_000_000)
        self.assertEqual(self.sandbox.call("Echo", body=body).response["size"], len(body))
        line = self.sandbox.last_request()
        self.assertEqual((line["body_bytes"], line["params"]), (len(body), None))

    def test_body_over_the_limit(self):
        with self.sandbox.connect() as client:
            client.send("Echo", body=b"", Content_Length=str(16 * 1024 * 1024 + 1))
            self.assertEqual(client.receive().status, 413)

    def test_chunked_request(self):
        with self.sandbox.connect() as client:
            # The signature is over the decoded body.
            head = client.request("Echo", body=b'{"a":1}', Content_Length=None,
                                  Transfer_Encoding="chunked")[:-7]
            client.sock.sendall(head + b'3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n')
            self.assertEqual(client.receive().response["params"], {"a": 1})

    def test_expect_100_continue(self):
        with self.sandbox.connect() as client:
            request = client.request("Echo", {}, Expect="100-continue")
            client.sock.sendall(request[:-2])
            self.assertEqual(client.receive().status, 100)
            client.sock.sendall(request[-2:])
            self.assertEqual(client.receive().status, 200)

    def test_kept_connection_and_pipelining(self):
        with self.sandbox.connect() as client:
            client.sock.sendall(client.request("Echo", {"n": 1}) + client.request("Echo", {"n": 2}))
            self.assertEqual([client.receive().response["params"]["n"] for _ in range(2)], [1, 2])
        first, second = self.sandbox.requests()[-2:]
        self.assertEqual(first["connection"], second["connection"])
        self.assertEqual((first["nth_on_connection"], second["nth_on_connection"]), (1, 2))
        self.assertEqual(second["seq"], first["seq"] + 1)

    def test_head_warms_up(self):
        with self.sandbox.connect() as client:
            client.sock.sendall(b"HEAD /any/where HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.receive(head_only=True)
            self.assertEqual((answer.status, self.sandbox.last_request()["action"]), (200, None))
            self.assertEqual(client.call("Echo").status, 200)

    def test_connection_close_is_honoured(self):
        with self.sandbox.connect() as client:
            client.send("Echo", Connection="close")
            self.assertEqual(client.receive().headers["connection"], "close")
            self.assertEqual(client.rest(), b"")

    def test_not_http(self):
        for nonsense in (b"hello\r\n\r\n", b"POST /\r\n\r\n",
                         b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
                         b"POST / HTTP/1.1\r\n\r\n",
                         b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                         b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"):
            with self.subTest(nonsense), self.sandbox.connect() as client:
                client.sock.sendall(nonsense)
                self.assertEqual(client.receive().status, 400)
        with self.sandbox.connect() as client:
            client.sock.sendall(b"x" * 100_000)
            self.assertEqual(client.receive().status, 431)

    def test_wrong_place(self):
        self.assert_code(404, "INVALID_PARAMETER_VALUE", "Echo", path="/")
        self.assert_code(404, "INVALID_PARAMETER_VALUE", "Echo", path="/api/v2/other")
        self.assert_code(405, "INVALID_PARAMETER_VALUE", "Echo", method="GET")
        self.assert_code(404, "INVALID_PARAMETER_VALUE", "StartInstances")

    def test_headers(self):
        self.assert_code(400, "MISSING_PARAMETER", None)
        self.assert_code(400, "MISSING_PARAMETER", "Echo", X_ZC_Version=None)
        self.assert_code(400, "INVALID_PARAMETER_VALUE", "Echo", X_ZC_Version="2020-01-01")
        self.assert_code(400, "INVALID_PARAMETER_VALUE", "Echo", X_ZC_Version="2026-04-01",
                         service="bmc")
        self.assert_code(400, "INVALID_PARAMETER_VALUE", "Echo", X_ZC_Service="zec")
        self.assert_code(400, "INVALID_PARAMETER_VALUE", "Echo", content_type="text/plain")
        self.assertEqual(self.sandbox.call("Echo", X_ZC_Version="2023-03-13",
                                           X_ZC_Service="vm").status, 200)

    def test_bodies(self):
        for body in (b"", b"[]", b"7", b"{", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\xff"}',
                     b'{"a":' + b"[" * 50_000):
            with self.subTest(body[:10]):
                self.assert_code(400, "INVALID_PARAMETER_TYPE", "Echo", body=body)

    def test_instance_ids(self):
        for ids, code in ((None, "MISSING_PARAMETER"), ("a", "INVALID_PARAMETER_TYPE"),
                          ([1], "INVALID_PARAMETER_TYPE"),
                          ({}, "INVALID_PARAMETER_TYPE"), ([], "INVALID_PARAMETER_LESS_LENGTH"),
                          (["x"] * 101, "INVALID_PARAMETER_EXCEED_LENGTH")):
            with self.subTest(ids):
                self.assert_code(400, code, "StopInstances", {"instanceIds": ids})
        self.assertEqual(self.stop(*("many-%d" % n for n in range(100))).status, 200)

    def test_force_shutdown(self):
        for value in ("false", 0, None):
            self.assert_code(400, "INVALID_PARAMETER_TYPE", "StopInstances",
                             {"instanceIds": ["x"], "forceShutdown": value})

    def test_pages_must_make_sense(self):
        for params, code in (({"pageSize": 0}, "INVALID_PARAMETER_LESS_MINIMUM"),
                             ({"pageSize": 1001}, "INVALID_PARAMETER_EXCEED_MAXIMUM"),
                             ({"pageNum": 0}, "INVALID_PARAMETER_LESS_MINIMUM"),
                             ({"pageSize": "9"}, "INVALID_PARAMETER_TYPE"),
                             ({"pageNum": True}, "INVALID_PARAMETER_TYPE")):
            with self.subTest(params):
                self.assert_code(400, code, "DescribeInstancesStatus", params)


class States(ApiCase):
    OPTIONS = ("--instances", "45", "--stop-seconds", "0.3", "--graceful-seconds", "0.6",
               "--instance", "old=RECYCLE,SEL-A", "--instance", "off=STOPPED")

    def test_running_stopping_stopped(self):
        started = time.monotonic()
        answer = self.stop("ins-0001", "ins-0002")
        self.assertEqual((answer.status, list(answer.response)), (200, ["requestId"]))
        self.assertEqual(self.sandbox.states(["ins-0001", "ins-0003"]),
                         {"ins-0001": "STOPPING", "ins-0003": "RUNNING"})
        wait_until(lambda: self.sandbox.states(["ins-0001"]) == {"ins-0001": "STOPPED"})
        self.assertGreaterEqual(time.monotonic() - started, 0.3)
        line = next(line for line in self.sandbox.requests() if line["action"] == "StopInstances"
                    and line["params"]["instanceIds"][0] == "ins-0001")
        self.assertEqual((line["acted"], line["acted_ids"]), (True, ["ins-0001", "ins-0002"]))

    def test_graceful_takes_its_own_time(self):
        self.stop("ins-0004", forceShutdown=False)
        time.sleep(0.4)
        self.assertEqual(self.sandbox.states(["ins-0004"]), {"ins-0004": "STOPPING"})
        wait_until(lambda: self.sandbox.states(["ins-0004"]) == {"ins-0004": "STOPPED"})

    def test_all_or_nothing(self):
        for bad, status, code in (("nowhere", 404, "INVALID_INSTANCE_NOT_FOUND"),
                                  ("old", 403, "OPERATION_DENIED_INSTANCE_RECYCLED"),
                                  ("off", 403, "OPERATION_DENIED_INSTANCE_NOT_RUNNING")):
            with self.subTest(bad):
                answer = self.stop("ins-0005", bad)
                self.assertEqual((answer.status, answer.code), (status, code))
                self.assertEqual(self.sandbox.states(["ins-0005"]), {"ins-0005": "RUNNING"})
                stop = [line for line in self.sandbox.requests()
                        if line["action"] == "StopInstances"][-1]
                self.assertEqual((stop["acted"], stop["acted_ids"]), (False, []))

    def test_stopping_twice(self):
        self.stop("ins-0006")
        self.assertEqual(self.stop("ins-0006").code, "OPERATION_DENIED_INSTANCE_NOT_RUNNING")

    def test_paging(self):
        pages = [self.sandbox.call("DescribeInstancesStatus", {"pageNum": number}).response
                 for number in (1, 2, 3, 4)]
        self.assertEqual([len(page["dataSet"]) for page in pages], [20, 20, 7, 0])
        self.assertEqual({page["totalCount"] for page in pages}, {47})
        ids = [each["instanceId"] for page in pages for each in page["dataSet"]]
        self.assertEqual(len(set(ids)), 47)

    def test_the_default_page_cuts_many_ids(self):
        ids = ["ins-%04d" % number for number in range(1, 31)]
        response = self.sandbox.call("DescribeInstancesStatus", {"instanceIds": ids}).response
        self.assertEqual((response["totalCount"], len(response["dataSet"])), (30, 20))

    def test_missing_ids_are_absent(self):
        self.assertEqual(self.sandbox.states(["nowhere", "off"]), {"off": "STOPPED"})

    def describe(self, service="vm", **params):
        return self.sandbox.call("DescribeInstances", params, service=service).response

    def test_describe_instances(self):
        self.assertEqual(self.describe(instanceIds=["off", "nowhere"])["dataSet"], [
            {"instanceId": "off", "instanceName": "name-of-off", "instanceStatus": "STOPPED",
             "zoneId": "HKG-A"}])
        self.assertEqual(self.describe("zec", instanceIds=["old"])["dataSet"], [
            {"instanceId": "old", "instanceName": "name-of-old", "status": "RECYCLE",
             "zoneId": "SEL-A"}])

    def test_describe_instances_by_page(self):
        pages = [self.describe(pageNum=number, pageSize=30) for number in (1, 2, 3)]
        self.assertEqual([(page["totalCount"], len(page["dataSet"])) for page in pages],
                         [(47, 30), (47, 17), (47, 0)])
        ids = [each["instanceId"] for page in pages for each in page["dataSet"]]
        self.assertEqual(len(set(ids)), 47)
        self.assert_code(400, "INVALID_PARAMETER_EXCEED_MAXIMUM", "DescribeInstances",
                         {"pageSize": 1001})
        self.assert_code(400, "INVALID_PARAMETER_LESS_MINIMUM", "DescribeInstances", {"pageNum": 0})

    def test_describe_instances_with_filters(self):
        def found(service="vm", **params):
            page = self.describe(service, pageSize=1, **params)
            return page["totalCount"], [each["instanceId"] for each in page["dataSet"]]

        self.assertEqual(found(zoneId="SEL-A"), (1, ["old"]))
        self.assertEqual(found(instanceStatus="STOPPED", instanceIds=["ins-0001", "off"]),
                         (1, ["off"]))
        self.assertEqual(found(zoneId="SEL-A", instanceStatus="STOPPED"), (0, []))
        self.assertEqual(found(zoneId="HKG-A")[0], 46)
        self.assertEqual(found("zec", status="RECYCLE"), (1, ["old"]))
        self.assert_code(400, "INVALID_PARAMETER_TYPE", "DescribeInstances", {"zoneId": ["HKG-A"]})


class SisterServices(ApiCase):
    OPTIONS = ("--stop-seconds", "60", "--instance", "off=STOPPED")

    def test_bmc_has_less(self):
        answer = self.stop("ins-0001", service="bmc", forceShutdown=True)
        self.assertEqual((answer.status, answer.code), (400, "INVALID_PARAMETER_VALUE"))
        self.assert_code(404, "INVALID_PARAMETER_VALUE", "DescribeInstancesStatus", service="bmc")
        self.assertEqual(self.stop("ins-0001", service="bmc").status, 200)
        self.assertEqual(self.sandbox.call("DescribeInstances", service="bmc").status, 200)

    def test_zec_lists_the_failed(self):
        answer = self.stop("ins-0002", "off", service="zec")
        self.assertEqual((answer.status, answer.response["instanceIds"]), (200, ["off"]))
        self.assertEqual(self.sandbox.last_request()["acted_ids"], ["ins-0002"])
        self.assertEqual(self.sandbox.states(["ins-0002", "off"], "zec"),
                         {"ins-0002": "STOPPING", "off": "STOPPED"})

    def test_zec_forces_a_stop_under_way(self):
        self.assertNotIn("instanceIds",
                         self.stop("ins-0003", service="zec", forceShutdown=False).response)
        self.assertEqual(self.stop("ins-0003", service="zec",
                                   forceShutdown=False).response["instanceIds"],
                         ["ins-0003"])
        self.assertNotIn("instanceIds",
                         self.stop("ins-0003", service="zec", forceShutdown=True).response)

    def test_zec_refuses_the_unknown(self):
        answer = self.stop("ins-0004", "nowhere", service="zec")
        self.assertEqual((answer.status, answer.code), (404, "INVALID_INSTANCE_NOT_FOUND"))
        self.assertEqual(self.sandbox.states(["ins-0004"]), {"ins-0004": "RUNNING"})


class AnyId(ApiCase):
    OPTIONS = ("--accept-any", "--instances", "0", "--stop-seconds", "0")

    def test_what_an_id_says(self):
        states = self.sandbox.states(["web-1", "missing-1", "recycled-1", "stopped-1", "stopping-1",
                                      "create-failed-1"])
        self.assertEqual(states,
                         {"web-1": "RUNNING", "recycled-1": "RECYCLE", "stopped-1": "STOPPED",
                                  "stopping-1": "STOPPING", "create-failed-1": "CREATE_FAILED"})
        self.assertEqual(self.stop("web-1", "missing-1").code, "INVALID_INSTANCE_NOT_FOUND")
        self.assertEqual(self.stop("web-1", "recycled-1").code,
                         "OPERATION_DENIED_INSTANCE_RECYCLED")
        self.assertEqual(self.stop("web-1", "stopped-1").code,
                         "OPERATION_DENIED_INSTANCE_NOT_RUNNING")

    def test_what_becomes_of_it(self):
        self.assertEqual(self.stop("plain", "stuck-1", "vanishing-1").status, 200)
        self.assertEqual(self.sandbox.states(["plain", "stuck-1", "vanishing-1"]),
                         {"plain": "STOPPED", "stuck-1": "STOPPING"})
