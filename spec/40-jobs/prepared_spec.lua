-- Operations whose bytes somebody else moves, on no network at all.
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

local function new(options)
    local all = { access_key_id = "KEY", access_key_password = "secret", proxy = false }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return assert(safe.new(all))
end

local function ids(count)
    local list = {}
    for i = 1, count do
        list[i] = "i-" .. i
    end
    return list
end

local function accepted(n)
    return ('{"requestId":"T%d","response":{"requestId":"T%d"}}'):format(n, n)
end

local function refused(code)
    return ('{"requestId":"T9","code":"%s","message":"no"}'):format(code)
end

describe("a prepared stop", function()
    it("shows the request that would be sent, signed", function()
        local client = closing(new())
        local op = client:prepare_stop_instances({ "a", "b" }, { force_shutdown = false })
        assert.is_nil(op:result())
        local what, n, request = op:step()
        assert.equal("send", what)
        assert.equal(1, n)
        assert.equal("https://console.zenlayer.com/api/v2/vm", request.url)
        assert.equal("POST", request.method)
        assert.equal('{"forceShutdown":false,"instanceIds":["a","b"]}', request.body)
        assert.equal("StopInstances", request.headers["X-ZC-Action"])
        local signed = zenlayer.sign {
            access_key_id = "KEY", access_key_password = "secret", body = request.body,
            host = request.headers.Host, timestamp = tonumber(request.headers["X-ZC-Timestamp"]),
        }
        assert.equal(signed.Authorization, request.headers.Authorization)
    end)

    it("gives its requests up to max_concurrency, then waits for reports", function()
        local client = closing(new { max_concurrency = 2 })
        local op = client:prepare_stop_instances(ids(450))
        for expected = 1, 2 do
            local what, n = op:step()
            assert.same({ "send", expected }, { what, n })
        end
        local what, seconds = op:step()
        assert.equal("pending", what)
        assert.is_true(seconds > 0 and seconds <= 120)
        for n = 1, 5 do
            assert.is_true(op:reply(n, 200, nil, accepted(n)))
            op:step()
        end
        assert.equal("done", (op:step()))
        local request_ids, batches = op:result()
        assert.same({ "T1", "T2", "T3", "T4", "T5" }, request_ids)
        expect.partition(ids(450), batches)
    end)

    -- Whatever the order in which the table has them, and whatever comes twice: against a naive
    -- reading of the list. Half of the batches fail, so that results and errors are both seen.
    it("accounts for the ids of any list, each time its result is asked for", function()
        math.randomseed(5)
        local odd = { "", "\"", "\\", "\n", "\195\188", ("x"):rep(41) }
        for _ = 1, 60 do
            local count, given = math.random(1, 320), {}
            for i = 1, count do
                local number = math.random(1, 2 * count)
                given[i] = number .. (math.random(8) == 1 and odd[math.random(#odd)] or "")
            end
            if math.random(2) == 1 then -- most of it where tables keep what is no list
                local backwards = {}
                for i = count, 1, -1 do
                    backwards[i] = given[i]
                end
                given = backwards
            end
            local lists, seen, distinct = {}, {}, 0
            for i = 1, count do
                if not seen[given[i]] then
                    seen[given[i]] = true
                    if distinct % 100 == 0 then
                        lists[#lists + 1] = {}
                    end
                    table.insert(lists[#lists], given[i])
                    distinct = distinct + 1
                end
            end
            local client = closing(new { max_attempts = 1 })
            local op = client:prepare_stop_instances(given, { on_error = "continue" })
            local fails = math.random(2) == 1
            for i = 1, count do
                given[i] = "changed" -- it was read
            end
            local what, n, request = op:step()
            while what == "send" do
                assert.same(lists[n], cjson.decode(request.body).instanceIds)
                if fails and n % 2 == 1 then
                    assert.is_true(op:reply(n, 404, {}, refused "INVALID_INSTANCE_NOT_FOUND"))
                else
                    assert.is_true(op:reply(n, 200, {}, accepted(n)))
                end
                what, n, request = op:step()
            end
            assert.equal("done", what)
            for _ = 1, 2 do
                local first, second = op:result()
                local batches = fails and second.batches or second
                assert.equal(fails, first == nil)
                assert.equal(#lists, #batches)
                for i, batch in ipairs(batches) do
                    assert.same(lists[i], batch.instance_ids)
                    batch.instance_ids[1] = "the caller's" -- and no part of the next result
                end
            end
        end
    end)

    it("takes headers as a table, a list of values, or the head as it came", function()
        local heads = {
            { ["Retry-After"] = "7" }, { ["retry-after"] = 7 }, { ["RETRY-AFTER"] = { "7" } },
            "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\n\r\n",
        }
        for _, headers in ipairs(heads) do
            local client = closing(new())
            local op = client:prepare_stop_instances(ids(1))
            op:step()
            assert.is_true(op:reply(1, 429, headers, "slow down"))
            local what, seconds = op:step()
            assert.equal("wait", what)
            assert.is_true(seconds > 6 and seconds <= 8)
        end
    end)

    it("is judged as any other", function()
        local client = closing(new { max_attempts = 1 })
        local op = client:prepare_stop_instances(ids(150))
        op:step()
        op:step()
        assert.is_true(op:reply(1, 404, {}, refused "INVALID_INSTANCE_NOT_FOUND"))
        assert.is_true(op:failed(2, "the line is dead", true))
        assert.equal("done", (op:step()))
        local err = expect.failure({
            code = "INVALID_INSTANCE_NOT_FOUND", outcome = "unknown", http_status = 404,
        }, op:result())
        assert.equal("rejected", err.batches[1].outcome)
        assert.equal("unknown", err.batches[2].outcome)
        assert.equal("CONNECTION_LOST", err.batches[2].error.code)
        assert.equal("the line is dead", err.batches[2].error.message)
    end)

    it("that was not sent may go again at once, or fail as not sent", function()
        local client = closing(new { max_attempts = 1 })
        local op = client:prepare("DoSomething")
        op:step()
        assert.is_true(op:failed(1, "no route", false))
        expect.failure({ code = "CONNECT_FAILED", outcome = "not_sent", retryable = true },
            op:result())
    end)

    it("ignores reports on what is not in flight", function()
        local client = closing(new())
        local op = client:prepare_stop_instances(ids(1))
        assert.is_false(op:reply(1, 200, nil, accepted(1)))
        op:step()
        assert.is_false(op:reply(2, 200, nil, accepted(1)))
        assert.is_true(op:reply(1, 200, nil, accepted(1)))
        assert.is_false(op:failed(1, "late", true))
        assert.same({ "T1" }, (op:result()))
    end)

    it("says what is wrong with a report", function()
        local client = closing(new())
        local op = client:prepare_stop_instances(ids(1))
        local function bad(where, ...)
            expect.failure({ kind = "argument", where = where }, ...)
        end
        for _, n in ipairs { 0, -1, 1.5, "1", 2 ^ 40 } do
            bad("n", op:reply(n, 200))
            bad("n", op:failed(n, "x", true))
        end
        for _, status in ipairs { 0, 99, 1000, 200.5, "200" } do
            bad("status", op:reply(1, status))
        end
        bad("headers", op:reply(1, 200, 5))
        bad("headers", op:reply(1, 200, { "no name" }))
        bad("headers", op:reply(1, 200, { Date = true }))
        bad("body", op:reply(1, 200, {}, 5))
        bad("message", op:failed(1, nil, true))
        bad("sent", op:failed(1, "x"))
        bad("self", op.step({}))
    end)

    it("lives on when its client is closed or collected", function()
        local op
        do
            local client = closing(new())
            op = client:prepare_stop_instances(ids(1))
        end
        collectgarbage()
        assert.equal("send", (op:step()))
        assert.is_true(op:reply(1, 200, nil, accepted(1)))
        assert.same({ "T1" }, (op:result()))
    end)
end)

it("a prepared call carries its params, and decodes its answer", function()
    local client = closing(new())
    local op = client:prepare("DescribeZones", { b = 1, a = zenlayer.empty_array })
    local _, n, request = op:step()
    assert.equal('{"a":[],"b":1}', request.body)
    assert.is_true(op:reply(n, 200, {}, '{"requestId":"T1","response":{"list":[1,null]}}'))
    local response, request_id = op:result()
    assert.same({ list = { 1, cjson.null } }, response)
    assert.equal("T1", request_id)
end)

it("the rate limit's pause is shared by all operations of a client", function()
    local client = closing(new())
    local a, b = client:prepare("DescribeA"), client:prepare("DescribeB")
    a:step()
    a:reply(1, 429, { ["Retry-After"] = "5" }, "")
    assert.equal("wait", (b:step()))
end)

it("a client that raises prepares operations that raise", function()
    local client = closing(zenlayer.new {
        access_key_id = "KEY", access_key_password = "secret", max_attempts = 1,
    })
    local op = client:prepare_stop_instances { "a" }
    op:step()
    op:reply(1, 403, {}, refused "OPERATION_DENIED_INSTANCE_RECYCLED")
    local ok, err = pcall(op.result, op)
    assert.is_false(ok)
    assert.equal("OPERATION_DENIED_INSTANCE_RECYCLED", err.code)
end)
