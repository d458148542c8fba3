-- What an answer, or none, means for the work: the judge table, over the wire.
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"

local ABSENT = expect.ABSENT
local ATTEMPTS = 2

-- Each: a name, the fault, what the error says; `again`: "no", "safe" or "yes".
local ROWS = {
    -- 3xx
    {
        "a redirect", { fault = "redirect", location = "https://127.0.0.1:1/" },
        { kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected", http_status = 302 },
        again = "no",
    },
    {
        "a permanent redirect to the same place",
        { fault = "redirect", location = "/api/v2/vm", status = 308 },
        { kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected", http_status = 308 },
        again = "no",
    },
    {
        "304", { fault = "status", status = 304, body = "" },
        { kind = "protocol", code = "UNEXPECTED_STATUS", outcome = "rejected", http_status = 304 },
        again = "no",
    },
    -- the network's edge
    {
        "a challenge", { fault = "challenge" },
        { kind = "blocked", code = "SECURITY_CHALLENGE", outcome = "rejected", http_status = 403 },
        again = "no",
    },
    {
        "451", { fault = "blocked" },
        { kind = "blocked", code = "REQUEST_BLOCKED", outcome = "rejected", http_status = 451 },
        again = "no",
    },
    {
        "403 with HTML, but no challenge", { fault = "status", status = 403 },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 403 },
        again = "no",
    },
    {
        "the header of a challenge on a 404",
        { fault = "status", status = 404, headers = { ["cf-mitigated"] = "challenge" } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 404 },
        again = "no",
    },
    -- other 4xx
    {
        "404 with HTML", { fault = "status", status = 404 },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 404 },
        again = "no",
    },
    {
        "400 with JSON without a code", { fault = "status", status = 400, body = { a = 1 } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 400 },
        again = "no",
    },
    {
        "400 with an empty body", { fault = "status", status = 400, body = "" },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 400 },
        again = "no",
    },
    {
        "408", { fault = "status", status = 408 },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "rejected", http_status = 408 },
        again = "yes",
    },
    {
        "408 of the API", { fault = "status", status = 408, code = "SLOW", message = "m" },
        { kind = "api", code = "SLOW", outcome = "rejected", http_status = 408 },
        again = "no",
    },
    -- 5xx
    {
        "502 with HTML", { fault = "status", status = 502 },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 502 },
        again = "safe",
    },
    {
        "500 of the API", { fault = "status", status = 500, code = "OOPS", message = "m" },
        { kind = "api", code = "OOPS", outcome = "unknown", http_status = 500 },
        again = "safe",
    },
    {
        "503 with JSON without a code", { fault = "status", status = 503, body = { busy = true } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 503 },
        again = "safe",
    },
    {
        "a clock error with 500",
        { fault = "status", status = 500, code = "AUTHFAILURE_SIGNATURE_EXPIRED", message = "m" },
        { kind = "api", code = "AUTHFAILURE_SIGNATURE_EXPIRED", outcome = "unknown" },
        again = "safe",
    },
    -- 2xx
    {
        "201 with a good body",
        { fault = "answer", status = 201, body = { requestId = "T1", response = { a = 1 } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 201 },
        again = "safe",
    },
    {
        "202 with a code", { fault = "answer", status = 202, body = { code = "C", message = "m" } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 202 },
        again = "safe",
    },
    {
        "204", { fault = "empty", status = 204 },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 204 },
        again = "safe",
    },
    {
        "200 with an empty body", { fault = "empty" },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 200 },
        again = "safe",
    },
    {
        "200 with HTML", { fault = "not_json" },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 200 },
        again = "safe",
    },
    {
        "200 with an array", { fault = "answer", body = { { requestId = "T1" } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", http_status = 200 },
        again = "safe",
    },
    {
        "200 with a string", { fault = "answer", body = '"requestId"' },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with half an object", { fault = "answer", body = '{"requestId":"T1"' },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with something after the object",
        { fault = "answer", body = '{"requestId":"T1"}{"requestId":"T2"}' },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with bytes that are no text", { fault = "answer", body_hex = "00ff7b22fe" },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with JSON of great depth", { fault = "answer", body = ('{"a":'):rep(100000) },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 without a requestId", { fault = "answer", body = { response = { a = 1 } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", request_id = ABSENT },
        again = "safe",
    },
    {
        "200 with an empty requestId",
        { fault = "answer", body = { requestId = "", response = { a = 1 } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", request_id = ABSENT },
        again = "safe",
    },
    {
        "200 with a number for a requestId",
        { fault = "answer", body = { requestId = 7, response = { a = 1 } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", request_id = ABSENT },
        again = "safe",
    },
    {
        "200 with a response that is a string",
        { fault = "answer", body = { requestId = "T1", response = "done" } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with a response that is a list",
        { fault = "answer", body = { requestId = "T1", response = { 1, 2 } } },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with a code that is no string",
        { fault = "answer", body = '{"requestId":"T1","response":{},"code":7}' },
        { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown" },
        again = "safe",
    },
    {
        "200 with a code", { fault = "answer", body = { requestId = "T1", code = "C" } },
        { kind = "api", code = "C", outcome = "unknown", http_status = 200, request_id = "T1" },
        again = "no",
    },
    -- answers over their bounds
    {
        "a body over max_response_bytes, with its length told",
        { fault = "huge_body", bytes = 30000 },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no", options = { max_response_bytes = 20000 },
    },
    {
        "a chunked body over max_response_bytes",
        {
            fault = "answer", body = "7530\r\n" .. ("x"):rep(30000) .. "\r\n0\r\n\r\n",
            headers = { ["Transfer-Encoding"] = "chunked", ["Content-Length"] = cjson.null },
        },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no", options = { max_response_bytes = 20000 },
    },
    {
        "a body over max_response_bytes, without a length",
        {
            fault = "answer", body = ("x"):rep(30000),
            headers = { ["Content-Length"] = cjson.null, Connection = "close" },
        },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no", options = { max_response_bytes = 20000 },
    },
    {
        "an error's body over max_response_bytes",
        { fault = "status", status = 502, body = ("x"):rep(30000) },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no", options = { max_response_bytes = 20000 },
    },
    {
        "a header of 70 KB", { fault = "huge_header", bytes = 70000 },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no",
    },
    {
        "a header of 200 KB", { fault = "huge_header", bytes = 200000 },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no",
    },
    {
        "a header of 1 MB", { fault = "huge_header", bytes = 1000000 },
        { kind = "protocol", code = "RESPONSE_TOO_LARGE", outcome = "unknown" },
        again = "no",
    },
    -- no answer
    {
        "RST before anything was done", { fault = "reset_before" },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown", http_status = ABSENT },
        again = "safe",
    },
    {
        "RST after it was done", { fault = "reset_after" },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
        again = "safe",
    },
    {
        "RST before the body was read", { fault = "reset_unread" },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
        again = "safe",
    },
    {
        "the end before anything was done", { fault = "close_before" },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
        again = "safe",
    },
    {
        "the end after it was done", { fault = "close_after" },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
        again = "safe",
    },
    {
        "the end without TLS's close_notify", { fault = "close_after", notify = false },
        { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
        again = "safe",
    },
}

-- An answer that ends somewhere: in its status line, in its headers, in its body.
for _, bytes in ipairs { 1, 10, 14, 17, 60, 130, 200 } do
    for _, notify in ipairs { true, false } do
        ROWS[#ROWS + 1] = {
            ("an answer cut after %d bytes%s"):format(bytes, notify and "" or ", rudely"),
            { fault = "truncate", bytes = bytes, notify = notify },
            { kind = "network", code = "CONNECTION_LOST", outcome = "unknown" },
            again = "safe",
        }
    end
end

describe("the judge table", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    -- Make one call that meets the fault every time: the error, and the requests that were sent.
    local function meet(row, idempotent)
        local options = { max_attempts = ATTEMPTS, timeout = 10 * process.slowness }
        for name, value in pairs(row.options or {}) do
            options[name] = value
        end
        local client = closing(box:client(options))
        box:faults { row[2] }
        local expected = { action = "Echo" }
        for name, value in pairs(row[3]) do
            expected[name] = value
        end
        local err = expect.failure(expected,
            client:call("Echo", { text = "hello" }, { idempotent = idempotent }))
        return err, box:requests()
    end

    for _, row in ipairs(ROWS) do
        it(row[1], function()
            local err, requests = meet(row, false)
            local tries = row.again == "yes" and ATTEMPTS or 1
            assert.equal(tries, err.attempts)
            assert.equal(tries, #requests)
            assert.equal(row.again == "yes", err.retryable)

            err, requests = meet(row, true)
            tries = row.again == "no" and 1 or ATTEMPTS
            assert.equal(tries, err.attempts)
            assert.equal(tries, #requests)
            assert.equal(row.again ~= "no", err.retryable)
        end)
    end

    it("a refusal that was cut is not known to be one", function()
        for _, bytes in ipairs { 14, 40, 100, 250 } do -- the last is within the body
            local client = closing(box:client { max_attempts = 1 })
            box:faults { { fault = "truncate", bytes = bytes } }
            expect.failure({
                kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 1,
            }, client:stop_instances(box:ids(1, "missing-")))
            assert.equal(404, box:requests()[1].status)
        end
    end)

    it("429 with any body is a rate limit, tried again though unsafe", function()
        for _, case in ipairs {
            { { fault = "status", status = 429 }, "REQUEST_LIMIT_EXCEEDED" },
            { { fault = "status", status = 429, body = "" }, "REQUEST_LIMIT_EXCEEDED" },
            { { fault = "status", status = 429, code = "QUOTA" }, "QUOTA" },
        } do
            local client = closing(box:client { max_attempts = 2 })
            box:faults { case[1] }
            local err = expect.failure({
                kind = "api", code = case[2], outcome = "rejected", http_status = 429,
                attempts = 2, retryable = true,
            }, client:call("Echo"))
            assert.equal(2, #box:requests(), tostring(err))
        end
    end)

    it("silence is a timeout, and tried again only if safe", function()
        local client = closing(box:client { max_attempts = 2, timeout = 0.4 * process.slowness })
        client:connect()
        box:faults { { fault = "stall", seconds = 60, act = true } }
        expect.failure({
            kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = 1,
            retryable = false, http_status = ABSENT,
        }, client:call("Echo"))
        assert.equal(1, #box:requests())
        box:mark()
        expect.failure({
            kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = 2,
            retryable = true,
        }, client:call("Echo", {}, { idempotent = true }))
        assert.equal(2, #box:requests())
    end)

    it("an answer that comes too slowly is a timeout", function()
        local client = closing(box:client { max_attempts = 1, timeout = 0.4 * process.slowness })
        client:connect()
        box:faults { { fault = "slow", pause = 0.5 } }
        expect.failure({ kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = 1 },
            client:call("Echo"))
    end)

    it("the timeout of one operation goes before the client's", function()
        local client = closing(box:client { max_attempts = 1 })
        client:connect()
        box:faults { { fault = "stall", seconds = 60 } }
        local began = process.now()
        expect.failure({ code = "TIMEOUT", attempts = 1 },
            client:call("Echo", {}, { timeout = 0.3 }))
        assert.is_true(process.now() - began < 5 * process.slowness)
    end)

    it("the deadline ends a call that was sent as unknown", function()
        local client = closing(box:client { deadline = 0.5 * process.slowness })
        client:connect()
        box:faults { { fault = "stall", seconds = 60 } }
        expect.failure({
            kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "unknown", attempts = 1,
        }, client:call("Echo"))
        assert.equal(1, #box:requests())
    end)

    it("StopInstances and Describe* are safe by themselves", function()
        for _, action in ipairs {
            "StopInstances", "DescribeInstances", "DescribeInstancesStatus",
        } do
            local client = closing(box:client { max_attempts = 2 })
            box:faults { { fault = "reset_before", times = 1 } }
            local response = expect.success(client:call(action, { instanceIds = box:ids(1) }))
            assert.is_table(response)
            assert.equal(2, #box:requests())
        end
    end)

    it("other actions are not, whatever they sound like", function()
        for _, action in ipairs { "describeInstances", "StopInstancesNow", "ListAll", "Echo" } do
            local client = closing(box:client { max_attempts = 2 })
            box:faults { { fault = "reset_before" } }
            expect.failure({ code = "CONNECTION_LOST", attempts = 1, action = action },
                client:call(action))
            assert.equal(1, #box:requests())
        end
    end)

    it("once unknown, a later refusal leaves the call unknown", function()
        for _, first in ipairs { "reset_after", "close_before", "not_json" } do
            local client = closing(box:client())
            box:faults {
                { fault = first, requests = { 1 } },
                { fault = "status", status = 403, code = "NO", message = "no" },
            }
            local err = expect.failure({
                kind = "api", code = "NO", outcome = "unknown", attempts = 2, http_status = 403,
            }, client:stop_instances(box:ids(1)))
            assert.equal("unknown", err.batches[1].outcome)
            assert.equal("unknown", err.batches[1].error.outcome)
        end
    end)

    it("once unknown, a later rate limit leaves the call unknown", function()
        local client = closing(box:client { max_attempts = 2 })
        box:faults {
            { fault = "reset_after", requests = { 1 } },
            { fault = "rate_limit" },
        }
        expect.failure({ code = "REQUEST_LIMIT_EXCEEDED", outcome = "unknown", attempts = 2 },
            client:stop_instances(box:ids(1)))
    end)

    it("a success ends that", function()
        local client = closing(box:client())
        box:faults { { fault = "reset_before", requests = { 1, 2 } } }
        local request_ids, batches = expect.success(client:stop_instances(box:ids(1)))
        local requests = box:requests()
        assert.equal(3, #requests)
        assert.equal(3, batches[1].attempts)
        assert.equal("accepted", batches[1].outcome)
        assert.equal(requests[3].request_id, request_ids[1])
    end)

    it("good answers in unusual clothes are accepted", function()
        local client = closing(box:client { max_attempts = 1 })
        for _, case in ipairs {
            { '{"requestId":"T1"}', "T1", { requestId = "T1" } },
            { '{"requestId":"T1","response":{"requestId":"T2","a":1}}', "T2",
                { requestId = "T2", a = 1 } },
            { '{"requestId":"T1","response":{"a":1}}', "T1", { a = 1 } },
            { '{"response":{"requestId":"T2"}}', "T2", { requestId = "T2" } },
            { '{"requestId":"T1","response":null,"code":null}', "T1", { requestId = "T1" } },
            { '{"requestId":"T1","dataSet":[],"totalCount":0}', "T1",
                { requestId = "T1", dataSet = {}, totalCount = 0 } },
            { ' \r\n\t{"requestId":"T1","response":{}} \n', "T1", {} },
        } do
            for _, content_type in ipairs { "application/json", "text/plain" } do
                box:faults { { fault = "answer", body = case[1], content_type = content_type } }
                local response, request_id = expect.success(client:call("Echo"))
                assert.equal(case[2], request_id)
                assert.same(case[3], response)
            end
        end
    end)

    it("a body of exactly max_response_bytes is accepted, one byte more is not", function()
        local client = closing(box:client { max_attempts = 1, max_response_bytes = 10000 })
        local body = '{"requestId":"T1","response":{}}'
        box:faults { { fault = "answer", body = body .. (" "):rep(10000 - #body) } }
        expect.success(client:call("Echo"))
        box:faults { { fault = "answer", body = body .. (" "):rep(10001 - #body) } }
        expect.failure({ code = "RESPONSE_TOO_LARGE" }, client:call("Echo"))
        box:faults {}
        expect.success(client:call("Echo"))
    end)

    it("an error's line is short and without control bytes, its fields are whole", function()
        local client = closing(box:client { max_attempts = 1 })
        local message = "line\nline\27[31m\0" .. ("x"):rep(5000)
        box:faults { { fault = "status", status = 404, code = "C\r\n", message = message } }
        local err = expect.failure({ code = "C\r\n", message = message }, client:call("Echo"))
        assert.is_true(#tostring(err) <= 1024)
        assert.is_nil(tostring(err):find "%c")
    end)
end)
