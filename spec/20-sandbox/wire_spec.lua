-- Connections that end, go silent or carry another byte than was sent, anywhere in a request or an
-- answer: what is told of the call is true, the next one is well, and nothing is left open. These
-- calls are jobs; for blocking ones, and answers of other framings, see cut_spec.
local closing = require "every_lua".closing
local expect = require "expect"
local nginx = require "nginx"
local process = require "process"
local sandbox = require "sandbox"
local wire = require "wire"

local SHORT = 0.4 * process.slowness

local function seen(outcomes, ...)
    for _, outcome in ipairs { ... } do
        assert.is_true((outcomes[outcome] or 0) > 0, "no call was " .. outcome)
    end
end

describe("a connection over plain http", function()
    local box, proxy

    setup(function()
        box = sandbox.start { "--http" }
        proxy = wire.start(box)
    end)
    teardown(function()
        proxy:stop()
        box:stop()
    end)

    for _, how in ipairs { "fin", "reset" } do
        it(("that ends (%s) at any byte"):format(how), function()
            local tries, outcomes = proxy:spoil(wire.here, how, wire.step(1, 17))
            assert.is_true(#tries >= 100)
            seen(outcomes, "unknown", "accepted")
        end)

        it(("that ends (%s) at any byte, and a second attempt"):format(how), function()
            local tries = proxy:spoil(wire.here, how, wire.step(29, 97),
                { with = { max_attempts = 2 } })
            local again = 0
            for _, try in ipairs(tries) do
                again = again + (try.told.attempts == 2 and 1 or 0)
            end
            assert.is_true(again >= 5)
        end)
    end

    it("that goes silent at any byte", function()
        local _, outcomes = proxy:spoil(wire.here, "stall", wire.step(31, 97),
            { with = { timeout = SHORT } })
        seen(outcomes, "unknown")
    end)

    it("that goes silent at any byte, up to the deadline", function()
        local _, outcomes = proxy:spoil(wire.here, "stall", wire.step(67, 197),
            { with = { deadline = SHORT } })
        seen(outcomes, "unknown")
    end)

    it("that carries one byte another than was sent", function()
        local _, outcomes = proxy:spoil(wire.here, "flip", wire.step(1, 17),
            { with = { timeout = SHORT } })
        seen(outcomes, "accepted", "rejected", "unknown")
    end)
end)

for _, protocol in ipairs { "TLS", "HTTP/2" } do
    describe("a connection over " .. protocol, function()
        local box, front, proxy

        setup(function()
            box = sandbox.start(protocol == "TLS" and {} or { "--http" })
            front = protocol == "HTTP/2" and nginx.start(box.endpoint) or nil
            proxy = wire.start(box, front)
        end)
        teardown(function()
            proxy:stop()
            if front then
                front:stop()
            end
            box:stop()
        end)

        for how, step in pairs { fin = 29, reset = 31, stall = 61, flip = 23 } do
            it(("that is spoiled (%s)"):format(how), function()
                local more = (how == "stall" or how == "flip") and { with = { timeout = SHORT } }
                local _, outcomes = proxy:spoil(wire.here, how, wire.step(step, 151), more)
                seen(outcomes, "not_sent", "unknown") -- in the handshake, and after it
            end)
        end
    end)
end

-- libcurl keeps a connection over HTTP/2 when a stream of it ends, though all may be lost with it.
describe("a connection over HTTP/2 that has gone silent", function()
    local box, front, proxy, client

    setup(function()
        box = sandbox.start { "--http" }
        front = nginx.start(box.endpoint)
        proxy = wire.start(box, front)
    end)
    teardown(function()
        proxy:stop()
        front:stop()
        box:stop()
    end)

    -- A client whose connection carries nothing more after its first call.
    before_each(function()
        box:faults {}
        client = closing(proxy:new_client(1))
        proxy:tell("Arm", 1)
        expect.success(client:call("Echo", { n = 0 }))
        proxy:tell("Now", 1, { how = "stall" })
    end)

    local function connections()
        return #proxy:tell("Seen", 1).connections
    end

    it("is not the next call's", function()
        expect.failure({ code = "TIMEOUT", outcome = "unknown" },
            client:call("Echo", { n = 1 }, { timeout = SHORT }))
        for n = 2, 4 do
            local response = expect.success(client:call("Echo", { n = n }))
            assert.equal(n, response.params.n)
        end
        assert.equal(2, connections()) -- the second one serves all that follow
    end)

    it("costs each of many calls one attempt", function()
        local jobs = {}
        for n = 1, 6 do
            jobs[n] = client:submit_call("Echo", { n = n },
                { timeout = SHORT, idempotent = true, max_attempts = 2 })
        end
        for n, job in ipairs(jobs) do
            assert.is_true(job:wait(20 * process.slowness))
            local response = expect.success(job:result())
            assert.equal(n, response.params.n)
        end
        expect.success(client:call("Echo", { n = 7 }))
        assert.is_true(connections() <= 3)
    end)

    it("for one call alone is used again", function()
        local slow = nginx.start(box.endpoint)
        local own = closing(box:client {
            endpoint = slow.endpoint, ca_file = slow.ca_file, proxy = false, max_attempts = 1,
        })
        expect.success(own:call "Echo")
        box:faults { { fault = "delay", seconds = 2 * process.slowness, requests = { 1 } } }
        local late = own:submit_call("Echo", { n = 1 }, { timeout = SHORT })
        process.await(function()
            own:poll(0.01)
            return #box:requests() == 1
        end, "the slow call")
        repeat -- while that is under way others are answered, fewer than nginx takes over one
            expect.success(own:call "Echo")
            process.sleep(0.02)
        until late:done()
        local _, err = late:result()
        expect.success(own:call "Echo")
        local used = {}
        for _, line in ipairs(slow:log(#box:requests())) do
            used[line.connection] = true
        end
        slow:stop()
        assert.equal("TIMEOUT", err.code)
        assert.is_nil(next(used, (next(used))))
    end)
end)
