-- Time in a gateway: of an attempt, of an operation, and of what is waited for.
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local SECONDS = 5 * process.slowness

describe("a gateway's", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = remote.start(box)
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    it("deadline is told as one, never as the end of an attempt", function()
        box:faults { { fault = "delay", seconds = 60 } }
        for round = 1, 8 do
            for _, count in ipairs { 1, 250, 850 } do
                local ids = box:ids(count)
                local err = remote.failure({
                    kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "unknown",
                }, front:client { max_attempts = round % 2 + 1 }
                    :run("return client:stop_instances(..., { deadline = 0.2 })", ids))
                expect.partition(ids, err.batches)
            end
        end
    end)

    it("timeout of an attempt is told as one, and counts for each", function()
        box:faults { { fault = "delay", seconds = 60 } }
        for attempts = 1, 3 do
            box:mark()
            local began = process.now()
            remote.failure({
                kind = "timeout", code = "TIMEOUT", outcome = "unknown", attempts = attempts,
            }, front:client { timeout = 0.3, max_attempts = attempts }
                :describe_instances_status(box:ids(1)))
            local seconds = process.now() - began
            assert.is_true(seconds >= 0.3 * attempts, seconds)
            assert.is_true(seconds < SECONDS, seconds)
            assert.equal(attempts, #box:requests())
        end
    end)

    it("timeout of one operation goes before the client's", function()
        box:faults { { fault = "delay", seconds = 60 } }
        local began = process.now()
        remote.failure({ code = "TIMEOUT", attempts = 1 }, front:client { max_attempts = 1 }
            :run "return client:call('Echo', {}, { timeout = 0.3 })")
        assert.is_true(process.now() - began < SECONDS)
    end)

    it("deadline ends a wait for the rate limit at once", function()
        box:faults { { fault = "rate_limit", retry_after = 60 } }
        local began = process.now()
        local client = front:client { deadline = 20 }
        remote.failure({
            kind = "api", code = "REQUEST_LIMIT_EXCEEDED", outcome = "rejected", attempts = 1,
            retry_after = 60,
        }, client:stop_instances(box:ids(1)))
        local err = remote.failure({
            kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "not_sent", attempts = 0,
        }, client:stop_instances(box:ids(1)))
        assert.is_true(err.retry_after > 30 and err.retry_after <= 61)
        assert.is_true(process.now() - began < SECONDS)
        assert.equal(1, #box:requests())
    end)

    it("connect_timeout is for a server that is silent, or has no place", function()
        for _, mode in ipairs { "silent", "full" } do
            local hole = server.start(mode)
            local began = process.now()
            local client = front:client {
                endpoint = "https://127.0.0.1:" .. hole.port, connect_timeout = 0.3,
                max_attempts = 2,
            }
            local response, err = client:stop_instances { "a" }
            local seconds = process.now() - began
            hole:stop()
            remote.failure({
                kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent", attempts = 2,
                retryable = true,
            }, response, err)
            assert.is_true(seconds >= 0.6 and seconds < SECONDS, seconds)
        end
    end)

    it("server that is not there is not waited for", function()
        local nobody = server.start "closed"
        local response, err = front:client {
            endpoint = "https://127.0.0.1:" .. nobody.port, max_attempts = 3,
        }:call "Echo"
        nobody:stop()
        remote.failure({
            kind = "network", code = "CONNECT_FAILED", outcome = "not_sent", attempts = 3,
            retryable = true,
        }, response, err)
    end)

    it("worker goes on while it waits", function()
        box:faults { { fault = "delay", seconds = 2, requests = { 1 } } }
        local slow = front:first():begin "return client:call('Echo', { n = 1 })"
        process.await(function()
            return #box:requests() == 1
        end, "the slow call")
        for n = 2, 20 do
            assert.equal(n, (expect.success(front:first():call("Echo", { n = n }))).params.n)
        end
        local requests = box:requests()
        assert.equal(20, #requests)
        assert.is_true(requests[20].time - requests[1].time < 2)
        assert.equal(1, slow:result().params.n)
    end)
end)
