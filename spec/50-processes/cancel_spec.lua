-- Cancelling, closing and deadlines take effect at once, whatever a call is at.
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"
local safe = require "zenlayer.safe"

local AT_ONCE_S = 0.05 * process.slowness
local DEADLINE_S = 0.5
local UNDER_WAY_S = 0.3 -- enough for any of them to be at what it is meant to be at

-- The shortest of three: another program may have had the processor meanwhile.
local function shortest(measure)
    local best = math.huge
    for _ = 1, 3 do
        best = math.min(best, measure())
    end
    return best
end

describe("a call that", function()
    local box, full, silent

    setup(function()
        box = sandbox.start()
        full = server.start "full"
        silent = server.start "silent"
    end)
    teardown(function()
        box:stop()
        full:stop()
        silent:stop()
    end)

    local function at(endpoint)
        return function(options)
            options.access_key_id, options.access_key_password = "a", "b"
            options.endpoint, options.proxy = endpoint(), endpoint():find "^https" and false or nil
            return assert(safe.new(options))
        end
    end

    local cases = {
        { "is being let in by nobody", "not_sent", at(function()
            return "https://127.0.0.1:" .. full.port
        end) },
        { "has begun the handshake", "not_sent", at(function()
            return "https://127.0.0.1:" .. silent.port
        end) },
        { "is being sent", "unknown", at(function()
            return "http://127.0.0.1:" .. silent.port
        end), { text = ("x"):rep(2e7) } }, -- more than the kernel takes while nobody reads
        { "waits for its answer", "unknown", function(options)
            box:faults { { fault = "stall", seconds = 60, action = "Echo" } }
            return box:client(options)
        end },
    }

    for _, case in ipairs(cases) do
        local what, outcome, new, params = table.unpack(case)

        it(what .. " is cancelled at once", function()
            local seconds = shortest(function()
                local client = closing(new {})
                local job = client:submit_call("Echo", params)
                assert.is_false(job:wait(UNDER_WAY_S * process.slowness))
                local began = process.now()
                assert.is_true(job:cancel())
                local took = process.now() - began
                expect.failure({ code = "CANCELLED", outcome = outcome }, job:result())
                assert.equal(0, client:poll())
                return took
            end)
            assert(seconds < AT_ONCE_S, ("it took %.3f s"):format(seconds))
        end)

        it(what .. " holds up no close()", function()
            local seconds = shortest(function()
                local client = new {}
                local job = client:submit_call("Echo", params)
                assert.is_false(job:wait(UNDER_WAY_S * process.slowness))
                local began = process.now()
                client:close()
                local took = process.now() - began
                expect.failure({ code = "CANCELLED", outcome = outcome }, job:result())
                return took
            end)
            assert(seconds < AT_ONCE_S, ("it took %.3f s"):format(seconds))
        end)

        it(what .. " ends at its deadline, waited for or polled", function()
            local deadline = DEADLINE_S * process.slowness
            local expected = { code = "DEADLINE_EXCEEDED", outcome = outcome }
            local waited = shortest(function()
                local client = closing(new { deadline = deadline })
                local began = process.now()
                expect.failure(expected, client:call("Echo", params))
                return process.now() - began
            end)
            local polled = shortest(function()
                local client = closing(new { deadline = deadline })
                local began = process.now()
                local job = client:submit_call("Echo", params)
                while client:poll(60) > 0 do end
                expect.failure(expected, job:result())
                return process.now() - began
            end)
            for _, seconds in ipairs { waited, polled } do
                assert(seconds >= deadline - 0.01, ("it took %.3f s"):format(seconds))
                -- A long text has to be encoded and signed first.
                assert(seconds < deadline + (params and 2 or 0.3) * process.slowness,
                    ("it took %.3f s"):format(seconds))
            end
        end)
    end
end)
