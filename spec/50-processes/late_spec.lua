-- A resolver that takes 3 s (late.c) holds up no deadline, no cancel, and no end of the process.
local late = require "late"
local process = require "process"

local HEAD = [[
local now = require "system".monotime
local safe = require "zenlayer.safe"
local client = assert(safe.new {
    endpoint = "https://name.slow.test:1", access_key_id = "a", access_key_password = "b",
    proxy = false, deadline = tonumber(arg[1]), max_attempts = 1, connect_timeout = 60,
})
local function resolving()
    local job = client:submit_call "Echo"
    assert(not job:wait(0.2))
    return job
end
local began = now()
local function tell(err)
    print(("%.4f %s %s"):format(now() - began, err.code, err.outcome))
end
]]

local CALL = [[
local _, err = client:call "Echo"
tell(err)
client:close()
]]

local CANCEL = [[
local job = resolving()
began = now()
assert(job:cancel())
tell(select(2, job:result()))
]]

local CLOSE = [[
local job = resolving()
began = now()
client:close()
tell(select(2, job:result()))
]]

local RESOLVER_S = 3

describe("while a name is being resolved", function()
    local directory, preload

    setup(function()
        directory = process.temporary_directory()
        preload = late.compile(directory)
    end)
    teardown(function()
        process.remove(directory)
    end)

    -- What it told, and the seconds until the process had ended.
    local function run(body, deadline, environment)
        local all = { LD_PRELOAD = preload }
        for name, value in pairs(environment or {}) do
            all[name] = value
        end
        local began = process.now()
        local output, status = process.run_lua(HEAD .. body, all, deadline or 60)
        assert.equal(0, status, output)
        local seconds, code, outcome = output:match "^([%d.]+) (%S+) (%S+)\n$"
        return tonumber(seconds), code, outcome, process.now() - began
    end

    local function check(code, least, most, seconds, told, outcome)
        assert.equal(code, told)
        assert.equal("not_sent", outcome)
        assert(seconds >= least and seconds < most * process.slowness,
            ("it took %.3f s"):format(seconds))
    end

    it("a deadline comes in time, and the process ends", function()
        local seconds, code, outcome, total = run(CALL, 0.5)
        check("DEADLINE_EXCEEDED", 0.49, 0.9, seconds, code, outcome)
        assert(total < RESOLVER_S * process.slowness, ("it ended after %.1f s"):format(total))
    end)

    it("the message says that it is", function()
        local output, status = process.run_lua(HEAD .. [[
            local _, err = client:call "Echo"
            print(err.message)
            client:close()
        ]], { LD_PRELOAD = preload }, 0.3)
        assert.equal(0, status, output)
        assert.is_truthy(output:find "^resolving name%.slow%.test:1: not done within %d+ ms\n$",
            output)
    end)

    it("a job is cancelled at once, and the process ends", function()
        local seconds, code, outcome, total = run(CANCEL)
        check("CANCELLED", 0, 0.05, seconds, code, outcome)
        assert(total < RESOLVER_S * process.slowness, ("it ended after %.1f s"):format(total))
    end)

    it("a client is closed at once, and the process ends", function()
        local seconds, code, outcome, total = run(CLOSE)
        check("CANCELLED", 0, 0.05, seconds, code, outcome)
        assert(total < RESOLVER_S * process.slowness, ("it ended after %.1f s"):format(total))
    end)

    -- Before 7.87 libcurl waits for the resolver when it lets go of a transfer.
    describe("by an older libcurl", function()
        local OLD = { ZENLAYER_TEST_OLD_CURL = "1" }

        it("a deadline comes in time all the same", function()
            check("DEADLINE_EXCEEDED", 0.49, 0.9, run(CALL, 0.5, OLD))
        end)

        it("a job is cancelled at once all the same", function()
            check("CANCELLED", 0, 0.05, run(CANCEL, nil, OLD))
        end)

        it("closing the client waits for the resolver", function()
            check("CANCELLED", 0.5, 2 * RESOLVER_S, run(CLOSE, nil, OLD))
        end)
    end)
end)
