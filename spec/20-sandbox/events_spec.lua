-- on_event: what is told is what happened, and what it does breaks nothing.
local closing = require "every_lua".closing
local events = require "events"
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"

describe("on_event", function()
    local box

    setup(function()
        box = sandbox.start { "--stop-seconds", "0.2" }
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local function watched(options)
        local seen, all = events.new(), { on_event = false }
        for name, value in pairs(options or {}) do
            all[name] = value
        end
        all.on_event = seen.note
        return closing(box:client(all)), seen
    end

    -- What the result or the error of a stop says of its batches.
    local function batches_of(result, more)
        return result and more or more.batches
    end

    it("is told of a stop, in the order in which it happens", function()
        local client, seen = watched()
        local request_ids = expect.success(client:stop_instances(box:ids(2)))
        assert.same({ "attempt_started", "connection_opened", "answered", "batch_settled" },
            seen:names())
        local answered, settled = seen[3], seen[4]
        assert.equal("StopInstances", answered.action)
        assert.equal(200, answered.http_status)
        assert.equal(request_ids[1], answered.request_id)
        assert.is_nil(answered.code)
        assert.equal(1, settled.operation)
        assert.equal(1, settled.call)
        assert.equal(1, settled.attempts)
        assert.equal(2, settled.instances)
        assert.equal("accepted", settled.outcome)
        assert.equal(request_ids[1], settled.request_id)
        assert.equal("127.0.0.1:" .. box.port, seen[2].address)
        assert.is_true(answered.duration >= 0 and answered.duration < 60)
    end)

    it("is told of a kept connection once, and counts operations", function()
        local client, seen = watched()
        for n = 1, 3 do
            expect.success(client:call("Echo"))
            assert.equal(n, seen[#seen].operation)
        end
        assert.equal(1, #seen:of "connection_opened")
        assert.equal(3, #seen:of "batch_settled")
        assert.is_nil(seen:of "batch_settled"[1].instances)
    end)

    it("is told of a refusal with its code", function()
        local client, seen = watched()
        local err = expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND" },
            client:stop_instances(box:ids(1, "missing-")))
        seen:agrees(box:requests(), err.batches)
        local answered = seen:of "answered"[1]
        assert.equal(404, answered.http_status)
        assert.equal("INVALID_INSTANCE_NOT_FOUND", answered.code)
        assert.equal("INVALID_INSTANCE_NOT_FOUND", seen:of "batch_settled"[1].code)
        assert.equal("rejected", seen:of "batch_settled"[1].outcome)
    end)

    it("is told of a lost answer, why it is retried and when", function()
        local client, seen = watched()
        box:faults { { fault = "reset_before", times = 1 } }
        expect.success(client:stop_instances(box:ids(1)))
        assert.same({ "attempt_started", "connection_opened", "failed", "retried",
            "attempt_started", "connection_opened", "answered", "batch_settled" }, seen:names())
        local failed, retried = seen[3], seen[4]
        assert.equal("CONNECTION_LOST", failed.code)
        assert.equal("unknown", failed.outcome)
        assert.equal("CONNECTION_LOST", retried.code)
        assert.equal(2, retried.attempt)
        assert.is_true(retried.delay >= 0 and retried.delay <= 0.05)
    end)

    it("is told of a pause", function()
        local client, seen = watched()
        box:faults { { fault = "rate_limit", retry_after = 1, times = 1 } }
        expect.success(client:stop_instances(box:ids(1)))
        local paused = seen:of "paused"[1]
        assert.equal("REQUEST_LIMIT_EXCEEDED", paused.code)
        assert.is_true(paused.delay >= 1 and paused.delay <= 2)
        assert.equal(paused.delay, seen:of "retried"[1].delay)
    end)

    it("is told of a corrected clock", function()
        local client, seen = watched()
        box:faults { { fault = "clock", offset = 1000 } }
        expect.success(client:stop_instances(box:ids(1)))
        local corrected = seen:of "clock_corrected"
        assert.equal(1, #corrected)
        assert.is_true(math.abs(corrected[1].offset - 1000) < 60, corrected[1].offset)
        assert.equal(0, seen:of "retried"[1].delay)
    end)

    it("is told of batches that were never sent", function()
        local client, seen = watched { max_concurrency = 1 }
        local ids = box:ids(150)
        table.insert(ids, 1, "missing-1")
        local err = expect.failure({ outcome = "rejected" }, client:stop_instances(ids))
        seen:agrees(box:requests(), err.batches)
        local settled = seen:of "batch_settled"
        assert.same({ "rejected", "not_sent" }, { settled[1].outcome, settled[2].outcome })
        assert.is_nil(settled[2].call)
        assert.equal(51, settled[2].instances)
    end)

    it("agrees with the journal and the account, whatever goes wrong", function()
        local faults = {
            {}, { { fault = "reset_after", times = 2 } }, { { fault = "status", status = 503 } },
            { { fault = "stall", seconds = 60, times = 1 } },
            { { fault = "truncate", bytes = 20 } },
            { { fault = "challenge", times = 1 } }, { { fault = "rate_limit", times = 3 } },
            { { fault = "close_after", times = 1 } }, { { fault = "not_json", times = 2 } },
        }
        for i, rules in ipairs(faults) do
            for _, on_error in ipairs { "stop", "continue" } do
                local client, seen = watched { timeout = 0.5, deadline = 20, max_concurrency = 2 }
                box:faults(rules)
                local batches = batches_of(client:stop_instances(box:ids(250), {
                    on_error = on_error,
                }))
                local ok, complaint = pcall(seen.agrees, seen, box:requests(), batches)
                assert(ok, i .. " " .. on_error .. ": " .. tostring(complaint))
            end
        end
    end)

    it("is told of looks, of isolated ids and of forced stops", function()
        local client, seen = watched()
        local ids = box:ids(3)
        ids[4] = "missing-7"
        local err = expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND" },
            client:stop_instances(ids, { isolate = true }))
        seen:agrees(box:requests(), err.batches)
        local actions = {}
        for i, event in ipairs(seen:of "attempt_started") do
            actions[i] = event.action
        end
        assert.same({ "StopInstances", "DescribeInstancesStatus", "StopInstances" }, actions)
    end)

    it("is told of jobs as they are polled", function()
        local client, seen = watched()
        local job = client:submit_stop_instances(box:ids(1))
        assert.same({}, seen:names())
        process.await(function()
            client:poll(0.05)
            return job:done()
        end, "the job")
        assert.equal("batch_settled", seen[#seen].event)
        assert.equal("accepted", seen[#seen].outcome)
    end)

    it("is told of what cancel and close end", function()
        local client, seen = watched()
        box:faults { { fault = "stall", seconds = 60 } }
        local first, second = client:submit_call "Echo", client:submit_call "Echo"
        process.await(function()
            client:poll(0.05)
            return #seen:of "attempt_started" == 2 and #box:requests() == 2
        end, "two requests")
        assert.is_true(first:cancel())
        local settled = seen:of "batch_settled"
        assert.equal(1, #settled)
        assert.equal("CANCELLED", settled[1].code)
        assert.equal("unknown", settled[1].outcome)
        client:close()
        assert.equal(2, #seen:of "batch_settled")
        assert.is_true(second:done())
    end)

    it("is told of operations that somebody else drives", function()
        local client, seen = watched()
        local op = client:prepare_stop_instances { "a" }
        local _, n, request = op:step()
        assert.equal("https", request.url:match "^https")
        assert.same({ "attempt_started" }, seen:names())
        op:failed(n, "no way", false)
        assert.equal("failed", seen[2].event)
        assert.equal("not_sent", seen[2].outcome)
        client:close()
        op:cancel()
        assert.equal("batch_settled", seen[#seen].event)
    end)

    it("may end the operation that it is told of", function()
        local op, n
        local client = closing(box:client {
            on_event = function(event)
                if event.event == "attempt_started" then
                    op:failed(event.call, "ended by on_event", false)
                end
            end,
        })
        op = client:prepare("Echo", { a = 1 })
        local what, number, request = op:step()
        n = number
        assert.equal("send", what)
        assert.equal('{"a":1}', request.body)
        assert.is_false(op:reply(n, 200, {}, "{}"))
    end)

    it("may raise, yield, close the client, use it", function()
        local calls = 0
        local client = closing(box:client {
            on_event = function()
                calls = calls + 1
                error { "anything" }
            end,
        })
        expect.success(client:stop_instances(box:ids(150)))
        assert.is_true(calls >= 7)

        client = closing(box:client { on_event = coroutine.yield })
        expect.success(client:call "Echo")
        local thread = coroutine.wrap(function()
            return client:call "Echo"
        end)
        expect.success(thread())

        client = closing(box:client {
            on_event = function(event)
                if event.event == "answered" then
                    client:close()
                end
            end,
        })
        expect.success(client:call "Echo")
        expect.failure({ code = "CLIENT_CLOSED" }, client:call "Echo")

        local nested = {}
        client = closing(box:client {
            on_event = function(event)
                if event.event == "attempt_started" and event.operation == 1 then
                    nested.result = client:call("Echo", { inner = true })
                    nested.events = #nested
                end
                nested[#nested + 1] = event.operation
            end,
        })
        expect.success(client:call "Echo")
        assert.is_true(nested.result.params.inner)
        assert.equal(0, nested.events) -- nothing is told while it runs
        local of = {}
        for _, operation in ipairs(nested) do
            of[operation] = (of[operation] or 0) + 1
        end
        assert.is_true(of[1] >= 3 and of[2] >= 3)
    end)

    it("lets Ctrl-C through", function() -- busted would take it for one, so elsewhere
        local output, status = process.run_lua([[
            local client = require "zenlayer".new {
                access_key_id = "a", access_key_password = "b",
                on_event = function() error("interrupted!") end,
            }
            print(pcall(function() return client:prepare("Echo"):step() end))
        ]], {})
        assert.equal(0, status, output)
        assert.is_truthy(output:find("^false\t.*interrupted!\n$"), output)
    end)

    it("must be a function", function()
        expect.failure({ code = "INVALID_ARGUMENT", where = "options.on_event" },
            require "zenlayer.safe".new(box:options { on_event = "print" }))
    end)

    it("tells no secret", function()
        local client, seen = watched {
            access_key_id = "AKID", access_key_password = "s3cr3t-va1ue",
        }
        expect.failure({ kind = "api" }, client:call "Echo")
        local token = events.new()
        client = closing(box:client { token = "s3cr3t-t0ken", on_event = token.note })
        expect.failure({ kind = "api" }, client:call "Echo")
        for _, list in ipairs { seen, token } do
            assert.is_true(#list > 2)
            local text = expect.texts(setmetatable({ list = { table.unpack(list) } }, nil))
            assert.is_nil(text:find("s3cr3t", 1, true))
            assert.is_nil(text:find("Signature=", 1, true))
        end
    end)
end)
