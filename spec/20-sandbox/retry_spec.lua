-- Trying again: the rate limit, the pause of a whole client, deadlines, the corrected clock.
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"

describe("retry", function()
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

    it("a rate limit without Retry-After is waited out", function()
        local client = closing(box:client())
        box:faults { { fault = "rate_limit", times = 2 } }
        local request_ids, batches = expect.success(client:stop_instances(box:ids(1)))
        local requests = box:requests()
        assert.equal(3, #requests)
        assert.equal(3, batches[1].attempts)
        assert.equal(requests[3].request_id, request_ids[1])
        assert.is_true(requests[3].acted)
    end)

    for name, form in pairs { ["seconds"] = 1, ["a date"] = "date:2" } do
        it("a Retry-After of " .. name .. " is waited for", function()
            local client = closing(box:client())
            box:faults { { fault = "rate_limit", times = 1, retry_after = form } }
            expect.success(client:call("Echo")) -- unsafe, but a rate limit means: not done
            local requests = box:requests()
            assert.equal(2, #requests)
            -- A date is in whole seconds, cut off: one from 2 s ahead may be but 1 s away.
            assert.is_true(requests[2].time - requests[1].time >= 1)
        end)
    end

    it("Retry-After of another answer is waited for too", function()
        local client = closing(box:client())
        box:faults { {
            fault = "status", status = 503, times = 1, headers = { ["Retry-After"] = "1" },
        } }
        expect.success(client:stop_instances(box:ids(1)))
        local requests = box:requests()
        assert.equal(2, #requests)
        assert.is_true(requests[2].time - requests[1].time >= 1)
    end)

    it("a Retry-After of nonsense or of the past is none", function()
        for _, form in ipairs { "soon", "-5", "date:-3600", 0 } do
            local client = closing(box:client { deadline = 10 * process.slowness })
            box:faults { { fault = "rate_limit", times = 1, retry_after = form } }
            expect.success(client:call("Echo"))
            assert.equal(2, #box:requests())
        end
    end)

    for n = 1, 4 do
        it(("max_attempts = %d counts all sends"):format(n), function()
            local client = closing(box:client { max_attempts = n })
            box:faults { { fault = "reset_before" } }
            expect.failure({ code = "CONNECTION_LOST", attempts = n },
                client:describe_instances_status(box:ids(1)))
            assert.equal(n, #box:requests())
        end)
    end

    it("is four by default, and an operation's own goes first", function()
        local client = closing(box:client())
        box:faults { { fault = "status", status = 500 } }
        expect.failure({ attempts = 4 }, client:stop_instances(box:ids(1)))
        assert.equal(4, #box:requests())
        box:mark()
        expect.failure({ attempts = 2 }, client:stop_instances(box:ids(1), { max_attempts = 2 }))
        assert.equal(2, #box:requests())
    end)

    it("each attempt has a timestamp and a signature of its own", function()
        local client = closing(box:client { max_attempts = 3 })
        box:faults { { fault = "rate_limit", times = 1, retry_after = 1 } }
        expect.success(client:stop_instances(box:ids(1)))
        local requests = box:requests()
        assert.equal(2, #requests)
        for i, request in ipairs(requests) do
            assert.is_true(request.verified)
            assert.is_true(math.abs(tonumber(request.timestamp) - request.time) < 5)
            assert.is_true(i == 1
                or tonumber(request.timestamp) > tonumber(requests[i - 1].timestamp))
        end
    end)

    it("one rate limit pauses the whole client", function()
        local client = closing(box:client { max_concurrency = 4 })
        box:faults { { fault = "rate_limit", requests = { 3 }, retry_after = 1 } }
        local ids = box:ids(1500)
        local _, batches = expect.success(client:stop_instances(ids))
        expect.partition(ids, batches)
        local requests = box:requests()
        assert.equal(16, #requests)
        local limited
        for _, request in ipairs(requests) do
            limited = limited or request.status == 429 and request
        end
        -- Three more may have been under way with it, and three others took the places of those
        -- before its answer was read.
        for _, request in ipairs(requests) do
            local under_way = request.seq - limited.seq <= 6
            assert.is_true(under_way or request.time - limited.time >= 1)
        end
    end)

    it("and the pause outlives the call that met it", function()
        local client = closing(box:client { max_attempts = 1 })
        box:faults { { fault = "rate_limit", times = 1, retry_after = 1 } }
        expect.failure({
            code = "REQUEST_LIMIT_EXCEEDED", attempts = 1, retry_after = 1, retryable = true,
        }, client:call("Echo"))
        expect.success(client:describe_instances_status(box:ids(1)))
        local requests = box:requests()
        assert.equal(2, #requests)
        assert.is_true(requests[2].time - requests[1].time >= 1)
    end)

    it("refusals let more through after it, as successes do", function()
        for _, beginning in ipairs { "missing-", "" } do
            local client = closing(box:client { max_concurrency = 8 })
            box:faults { { fault = "rate_limit", requests = { 1 } } }
            expect.failure({ code = "REQUEST_LIMIT_EXCEEDED" },
                client:call("Echo", {}, { max_attempts = 1 }))
            assert.equal(1, #box:connections())

            -- One after the other needs one connection; it takes two under way at once for more.
            box:faults { { fault = "delay", seconds = 0.2 } }
            local batches = select(2, client:stop_instances(box:ids(901, beginning),
                { on_error = "continue" }))
            batches = batches.batches or batches
            for _, batch in ipairs(batches) do
                assert.equal(beginning == "" and "accepted" or "rejected", batch.outcome)
            end
            local requests = box:requests()
            assert.equal(10, #requests)
            for i = 2, 4 do
                assert.equal(requests[1].connection, requests[i].connection)
                assert.is_true(requests[i].time - requests[i - 1].time >= 0.199)
            end
            assert.is_true(#box:connections() >= 1, "never two requests at once")
        end
    end)

    it("but not other clients", function()
        local one = closing(box:client { max_attempts = 1 })
        local other = closing(box:client { max_attempts = 1 })
        box:faults { { fault = "rate_limit", times = 1, retry_after = 60 } }
        expect.failure({ code = "REQUEST_LIMIT_EXCEEDED" }, one:call("Echo"))
        local began = process.now()
        expect.success(other:call("Echo"))
        assert.is_true(process.now() - began < 30)
    end)

    it("fails at once when the wait would pass the deadline", function()
        local client = closing(box:client { deadline = 20 })
        box:faults { { fault = "rate_limit", retry_after = 60 } }
        local began = process.now()
        local err = expect.failure({
            kind = "api", code = "REQUEST_LIMIT_EXCEEDED", outcome = "rejected", attempts = 1,
            retry_after = 60, retryable = true,
        }, client:stop_instances(box:ids(1)))
        assert.is_true(process.now() - began < 10)
        assert.equal(1, #box:requests())
        assert.equal(60, err.batches[1].error.retry_after)

        -- The pause holds for the next call, too: it cannot be sent in its time.
        local later = expect.failure({
            kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "not_sent", attempts = 0,
        }, client:stop_instances(box:ids(1)))
        assert.is_true(process.now() - began < 10)
        assert.is_true(later.retry_after > 30 and later.retry_after <= 61)
        assert.equal(1, #box:requests())
    end)

    it("fails the other batches at once as well", function()
        local client = closing(box:client { deadline = 20, max_concurrency = 1 })
        box:faults { { fault = "rate_limit", retry_after = 60, requests = { 2 } } }
        local ids = box:ids(400)
        local began = process.now()
        local err = expect.failure({ code = "REQUEST_LIMIT_EXCEEDED", outcome = "rejected" },
            client:stop_instances(ids, { on_error = "continue" }))
        assert.is_true(process.now() - began < 10)
        expect.partition(ids, err.batches)
        local outcomes = {}
        for i, batch in ipairs(err.batches) do
            outcomes[i] = batch.outcome
        end
        assert.same({ "accepted", "rejected", "not_sent", "not_sent" }, outcomes)
        assert.equal(2, #box:requests())
    end)

    it("an operation's deadline goes before the client's", function()
        local client = closing(box:client())
        box:faults { { fault = "rate_limit", retry_after = 60 } }
        local began = process.now()
        expect.failure({ code = "REQUEST_LIMIT_EXCEEDED", attempts = 1, retry_after = 60 },
            client:call("Echo", {}, { deadline = 5 }))
        assert.is_true(process.now() - began < 4 * process.slowness)
    end)

    it("a quota keeps an outage from being hammered", function()
        local client = closing(box:client { max_attempts = 10 })
        box:faults { { fault = "reset_before" } }
        local err = expect.failure({ code = "CONNECTION_LOST", outcome = "unknown" },
            client:stop_instances(box:ids(1000), { on_error = "continue" }))
        local sent = 0
        for _, batch in ipairs(err.batches) do
            sent = sent + batch.attempts
        end
        assert.equal(sent, #box:requests())
        assert.equal(10 + math.floor(500 / 14), sent) -- each call once, and what the quota pays for
        box:faults {}
        expect.success(client:call("Echo"))
    end)
end)

describe("a wrong clock", function()
    for _, offset in ipairs { 3600, -3600 } do
        describe(("of %+d seconds"):format(offset), function()
            local box

            setup(function()
                box = sandbox.start { "--clock-offset=" .. offset }
            end)
            teardown(function()
                box:stop()
            end)
            before_each(function()
                box:faults {}
            end)

            it("is corrected with one more request, once and for all", function()
                local client = closing(box:client())
                local _, batches = expect.success(client:stop_instances(box:ids(1)))
                local requests = box:requests()
                assert.equal(2, #requests)
                assert.equal(2, batches[1].attempts)
                assert.equal("AUTHFAILURE_SIGNATURE_EXPIRED", requests[1].code)
                assert.is_true(requests[2].verified)
                for _ = 1, 3 do
                    _, batches = expect.success(client:stop_instances(box:ids(1)))
                    assert.equal(1, batches[1].attempts)
                end
                expect.success(client:call("Echo"))
                assert.equal(6, #box:requests())
            end)

            it("is corrected for an unsafe call, with two attempts in all", function()
                local client = closing(box:client { max_attempts = 2 })
                expect.success(client:call("Echo"))
                assert.equal(2, #box:requests())
            end)

            it("is corrected for the next call if this one has no attempt left", function()
                local client = closing(box:client { max_attempts = 1 })
                expect.failure({
                    code = "AUTHFAILURE_SIGNATURE_EXPIRED", outcome = "rejected", attempts = 1,
                    retryable = true,
                }, client:call("Echo"))
                expect.success(client:call("Echo"))
                assert.equal(2, #box:requests())
            end)

            it("is corrected for many calls at once", function()
                local client = closing(box:client())
                box:faults { { fault = "delay", seconds = 0.02 } }
                local ids = box:ids(1200)
                local _, batches = expect.success(client:stop_instances(ids))
                expect.partition(ids, batches)
                local sent = 0
                for _, batch in ipairs(batches) do
                    assert.is_true(batch.attempts <= 2)
                    sent = sent + batch.attempts
                end
                assert.equal(sent, #box:requests())
            end)

            it("does not loop on a wrong key", function()
                for _, pair in ipairs {
                    { sandbox.KEY_ID, "wrong", "AUTHFAILURE_SIGNATURE_FAILURE" },
                    { "NOBODY", "wrong", "AUTHFAILURE_INVALID_AUTHORIZATION" },
                } do
                    local client = closing(box:client {
                        access_key_id = pair[1], access_key_password = pair[2],
                    })
                    box:mark()
                    expect.failure({ code = pair[3], outcome = "rejected", attempts = 2 },
                        client:call("Echo"))
                    assert.equal(2, #box:requests())
                    expect.failure({ code = pair[3], outcome = "rejected", attempts = 1 },
                        client:call("Echo"))
                    assert.equal(3, #box:requests())
                end
            end)

            it("is corrected with a token as well", function()
                local client = closing(box:client { token = sandbox.TOKEN })
                expect.success(client:call("Echo"))
                assert.equal(2, #box:requests())
            end)
        end)
    end

    it("that is right is left alone: a refused key costs one request", function()
        local box = sandbox.start { "--clock-offset=-200" } -- within the API's five minutes
        local client = closing(box:client { access_key_id = "NOBODY", access_key_password = "x" })
        local _, err = client:call("Echo")
        local requests = box:requests()
        box:stop()
        assert.equal("AUTHFAILURE_INVALID_AUTHORIZATION", err.code)
        assert.equal(1, #requests)
    end)
end)

describe("a server that takes 5 requests a second", function()
    -- A call must not run out of attempts while others of the same client pass it by.
    local function stop(n, arguments)
        local box = sandbox.start { "--rate", "5", table.unpack(arguments) }
        local client = closing(box:client())
        local ids = box:ids(n)
        local request_ids, batches = client:stop_instances(ids)
        local requests = box:requests()
        box:stop()
        expect.success(request_ids, batches)
        assert.equal(math.floor((n + 99) / 100), #request_ids)
        expect.partition(ids, batches)
        local sent = 0
        for _, batch in ipairs(batches) do
            sent = sent + batch.attempts
        end
        assert.equal(sent, #requests)
    end

    it("stops 2,000 instances all the same", function()
        stop(2000, {})
    end)
    it("stops 1,000 when no more than two may come at once", function()
        stop(1000, { "--burst", "2" })
    end)
end)
