-- Every fault of the sandbox: resty.zenlayer comes to what zenlayer.safe comes to, and the server is
-- asked no more often than `attempts` says.
local cjson = require "cjson"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

local ATTEMPTS = 2
local HEADER_SIZE = { small = 20000, too_large = 70000 }

-- Each: a name, the rule, and options of the client that it takes.
local FAULTS = {
    { "none", { fault = "headers", headers = { ["X-Nothing"] = "" } } },
    { "429", { fault = "rate_limit" } },
    { "429 once", { fault = "rate_limit", times = 1 } },
    { "429 with Retry-After", { fault = "rate_limit", times = 1, retry_after = 1 } },
    { "429 with a date", { fault = "rate_limit", times = 1, retry_after = "date:1" } },
    { "429 with a long Retry-After", { fault = "rate_limit", retry_after = 60 }, { deadline = 20 } },
    { "429 with HTML", { fault = "status", status = 429 } },
    { "429 with another code", { fault = "status", status = 429, code = "QUOTA" } },
    { "500", { fault = "status", status = 500 } },
    { "500 of the API", { fault = "status", status = 500, code = "OOPS", message = "m" } },
    { "500 once", { fault = "status", status = 500, times = 1 } },
    { "500, carried out", { fault = "status", status = 500, times = 1, act = true } },
    { "502", { fault = "status", status = 502 } },
    { "503 with JSON", { fault = "status", status = 503, body = { busy = true } } },
    {
        "503 with Retry-After",
        { fault = "status", status = 503, times = 1, headers = { ["Retry-After"] = "1" } },
    },
    { "504 once", { fault = "status", status = 504, times = 1 } },
    { "400", { fault = "status", status = 400, code = "INVALID_PARAMETER", message = "bad" } },
    { "401", { fault = "status", status = 401, code = "AUTHFAILURE_SIGNATURE_FAILURE" } },
    { "403 of the API", { fault = "status", status = 403, code = "UNAUTHORIZED_OPERATION" } },
    { "404 with HTML", { fault = "status", status = 404 } },
    { "408", { fault = "status", status = 408 } },
    { "a challenge", { fault = "challenge" } },
    { "451", { fault = "blocked" } },
    { "a redirect", { fault = "redirect", location = "https://127.0.0.1:1/" } },
    { "308", { fault = "redirect", location = "/api/v2/vm", status = 308 } },
    { "304", { fault = "status", status = 304, body = "" } },
    { "201", { fault = "answer", status = 201, body = { requestId = "T1", response = { a = 1 } } } },
    { "204", { fault = "empty", status = 204 } },
    { "an empty answer", { fault = "empty" } },
    { "HTML with 200", { fault = "not_json" } },
    { "half of an object", { fault = "answer", body = '{"requestId":"T1"' } },
    { "bytes that are no text", { fault = "answer", body_hex = "00ff7b22fe" } },
    { "an answer without a requestId", { fault = "answer", body = { response = { a = 1 } } } },
    { "200 with a code", { fault = "answer", body = { requestId = "T1", code = "C" } } },
    { "RST before the body was read", { fault = "reset_unread" } },
    { "RST before it was done", { fault = "reset_before" } },
    { "RST before it was done, once", { fault = "reset_before", times = 1 } },
    { "RST after it was done", { fault = "reset_after" } },
    { "RST after it was done, once", { fault = "reset_after", times = 1 } },
    { "the end before it was done", { fault = "close_before" } },
    { "the end after it was done", { fault = "close_after" } },
    { "the end before it was done, rudely", { fault = "close_before", notify = false } },
    { "the end after it was done, rudely", { fault = "close_after", notify = false } },
    { "silence", { fault = "stall", seconds = 60 }, { timeout = 0.4 * process.slowness } },
    {
        "silence, once it was done", { fault = "stall", seconds = 60, act = true, times = 1 },
        { timeout = 0.4 * process.slowness },
    },
    {
        "silence up to the deadline", { fault = "stall", seconds = 60 },
        { deadline = 0.5 * process.slowness },
    },
    { "a late answer", { fault = "delay", seconds = 0.3 } },
    {
        "an answer that is too slow", { fault = "slow", pause = 0.5 },
        { timeout = 0.4 * process.slowness },
    },
    { "an answer byte by byte", { fault = "slow", chunk = 1, pause = 0.0005 } },
    { "stray bytes with the answer", { fault = "stray", bytes = "HTTP/1.1 200 OK\r\n\r\n" } },
    { "stray bytes later", { fault = "stray", bytes = "x", after = "later" } },
    { "a clock that is wrong", { fault = "clock", offset = 3600 } },
    { "a clock that is late", { fault = "clock", offset = -3600 } },
    { "a clock that was wrong once", { fault = "clock", offset = 3600, times = 1 } },
    { "no Date", { fault = "no_date" } },
    { "a large header", { fault = "huge_header", bytes = HEADER_SIZE.small } },
    { "a header that is too large", { fault = "huge_header", bytes = HEADER_SIZE.too_large } },
    { "a large body", { fault = "huge_body", bytes = 3000000 } },
    {
        "a body that is too large", { fault = "huge_body", bytes = 30000 },
        { max_response_bytes = 20000 },
    },
    {
        "a refusal that is too large", { fault = "status", status = 502, body = ("x"):rep(30000) },
        { max_response_bytes = 20000 },
    },
    {
        "a chunked body that is too large",
        {
            fault = "answer", body = "7530\r\n" .. ("x"):rep(30000) .. "\r\n0\r\n\r\n",
            headers = { ["Transfer-Encoding"] = "chunked", ["Content-Length"] = cjson.null },
        },
        { max_response_bytes = 20000 },
    },
    {
        "a body without a length that is too large",
        {
            fault = "answer", body = ("x"):rep(30000),
            headers = { ["Content-Length"] = cjson.null, Connection = "close" },
        },
        { max_response_bytes = 20000 },
    },
    { "chunks", { fault = "chunked" } },
    { "Connection: close", { fault = "connection_close" } },
    {
        "an end without Connection: close",
        { fault = "connection_close", headers = { Connection = cjson.null } },
    },
}
for _, bytes in ipairs { 1, 14, 60, 130, 200 } do
    for _, notify in ipairs { true, false } do
        FAULTS[#FAULTS + 1] = {
            ("an answer cut after %d bytes%s"):format(bytes, notify and "" or ", rudely"),
            { fault = "truncate", bytes = bytes, notify = notify },
        }
    end
end

local CALLS = {
    { "an unsafe call", "return client:call('Echo', { n = 1 })" },
    { "a safe call", "return client:call('Echo', { n = 1 }, { idempotent = true })" },
    { "a stop", "return client:stop_instances(...)", true },
    { "a look", "return client:describe_instances_status(...)", true },
}

local box, front

setup(function()
    box = sandbox.start { "--stop-seconds", "600" }
    front = remote.start(box)
end)
teardown(function()
    front:stop()
    box:stop()
end)

-- The attempts that a result tells of.
local function attempts_of(result, err, is_stop)
    if result == nil then
        return err.attempts
    end
    return is_stop and err[1].attempts or nil
end

-- What the server saw: what each request was answered, and whether it was carried out.
local function seen()
    local found = {}
    for i, request in ipairs(box:requests()) do
        found[i] = ("%s %s"):format(tostring(request.status), tostring(request.acted))
    end
    return found
end

describe("resty.zenlayer and zenlayer.safe come to the same, over", function()
    for _, fault in ipairs(FAULTS) do
        it(fault[1], function()
            for _, call in ipairs(CALLS) do
                local options = { max_attempts = ATTEMPTS }
                for name, value in pairs(fault[3] or {}) do
                    options[name] = value
                end
                local far, near = front:client(options), box:client(options)
                assert.is_true(near:connect()) -- or the first attempt would take longer

                box:faults { fault[2] }
                local result, err = far:run(call[2], call[3] and box:ids(2))
                local theirs, their_requests = remote.normal(result, err), seen()
                local attempts = attempts_of(result, err, call[1] == "a stop")
                assert.is_true(attempts == nil or attempts == #their_requests, call[1])

                box:faults { fault[2] }
                local ours = remote.normal(remote.run_here(near, call[2], call[3] and box:ids(2)))
                local our_requests = seen()
                near:close()
                for _, told in ipairs { ours, theirs } do
                    told.n = nil
                    if type(told[1]) == "table" and told[1].requestId then
                        told[1].time = nil
                    end
                end
                assert.same(ours, theirs, call[1])
                assert.same(our_requests, their_requests, call[1])

                -- Whatever it was, it is over with the next call.
                box:faults {}
                local response, problem = front:client():call("Echo", { n = 2 })
                assert.is_table(response, tostring(problem))
                assert.equal(2, response.params.n)
                assert.equal(1, #box:requests())
            end
        end)
    end
end)
