-- Every fault of the sandbox: resty.zenlayer comes to what zenlayer.safe comes to, and the server
-- is asked no more often than `attempts` says.
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
    {
        "429 with a long Retry-After", { fault = "rate_limit", retry_after = 60 },
        { deadline = 20 },
    },
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
    { "201", { fault = "answer", status = 201, body = '{"requestId":"T1","response":{}}' } },
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

-- Each of the two has a sandbox of its own, so that both can be at work at once.
local far_box, near_box, front

setup(function()
    far_box, near_box = sandbox.start(), sandbox.start()
    front = remote.start(far_box)
end)
teardown(function()
    front:stop()
    far_box:stop()
    near_box:stop()
end)

-- The attempts that a result tells of, if it does.
local function attempts_of(result, err)
    if result == nil then
        return err.attempts
    end
    return type(err) == "table" and err[1].attempts or nil
end

-- What a server saw: of each request what it was, what was answered, whether it was carried out.
-- Then how many there were, without the looks at a stop whose answer was lost.
local function seen(box)
    local found, count = {}, 0
    for i, request in ipairs(box:requests()) do
        found[i] = ("%s %s %s"):format(request.action, request.status, tostring(request.acted))
        if i == 1 or request.action ~= "DescribeInstancesStatus"
            or request.action == box:requests()[1].action then
            count = count + 1
        end
    end
    return found, count
end

local function options_of(fault)
    local options = { max_attempts = ATTEMPTS }
    for name, value in pairs(fault[3] or {}) do
        options[name] = value
    end
    return options
end

local function faults(rules)
    far_box:faults(rules)
    near_box:faults(rules)
end

describe("resty.zenlayer and zenlayer.safe come to the same, over", function()
    for _, fault in ipairs(FAULTS) do
        it(fault[1], function()
            for _, call in ipairs(CALLS) do
                local far = front:client(options_of(fault))
                local near = near_box:client(options_of(fault))
                faults {}
                assert.is_true(near:connect()) -- both have a connection, or the first attempt
                assert.is_table(front:client():call "Echo") -- would take longer

                faults { fault[2] }
                local under_way = far:begin(call[2], call[3] and far_box:ids(2))
                local ours = remote.normal(remote.run_here(near, call[2],
                    call[3] and near_box:ids(2)))
                local result, err = under_way:result()
                near:close()
                local theirs = remote.normal(result, err)
                theirs.n, ours.n = nil, nil
                assert.same(ours, theirs, call[1])

                local our_requests = seen(near_box)
                local their_requests, count = seen(far_box)
                assert.same(our_requests, their_requests, call[1])
                local attempts = attempts_of(result, err)
                assert.is_true(attempts == nil or attempts == count, call[1])

                -- Whatever it was, it is over with the next call.
                faults {}
                process.sleep(fault[2].after == "later" and 0.1 or 0)
                local response, problem = front:client():call("Echo", { n = 2 })
                assert.is_table(response, tostring(problem))
                assert.equal(2, response.params.n)
                assert.equal(1, #far_box:requests())
            end
        end)
    end
end)
