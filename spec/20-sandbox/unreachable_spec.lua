-- Nobody there: what cannot be reached was not sent, and says so in time.
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"
local safe = require "zenlayer.safe"

-- Options for an endpoint at a port of this machine.
local function at(port, options)
    local box = setmetatable({ endpoint = "https://127.0.0.1:" .. port }, sandbox)
    return box:options(options)
end

local function new(port, options)
    return assert(safe.new(at(port, options)))
end

describe("a port where nobody listens", function()
    local nobody

    setup(function()
        nobody = server.start("closed")
    end)
    teardown(function()
        nobody:stop()
    end)

    for _, n in ipairs { 1, 3 } do
        it(("is tried max_attempts = %d times"):format(n), function()
            local client = closing(new(nobody.port, { max_attempts = n }))
            expect.failure({
                kind = "network", code = "CONNECT_FAILED", outcome = "not_sent", attempts = n,
                retryable = true, http_status = expect.ABSENT, request_id = expect.ABSENT,
                action = "Echo",
            }, client:call("Echo"))
        end)
    end

    it("is tried though the call is unsafe: nothing was sent", function()
        local client = closing(new(nobody.port))
        expect.failure({ code = "CONNECT_FAILED", outcome = "not_sent", attempts = 4 },
            client:call("Echo"))
    end)

    it("leaves every id not sent", function()
        local client = closing(new(nobody.port, { max_attempts = 2 }))
        local ids = {}
        for i = 1, 250 do
            ids[i] = "id-" .. i
        end
        for _, on_error in ipairs { "stop", "continue" } do
            local err = expect.failure({
                code = "CONNECT_FAILED", outcome = "not_sent", action = "StopInstances",
            }, client:stop_instances(ids, { on_error = on_error }))
            expect.partition(ids, err.batches)
            for _, batch in ipairs(err.batches) do
                assert.equal("not_sent", batch.outcome)
            end
        end
    end)

    it("fails connect()", function()
        local client = closing(new(nobody.port))
        expect.failure({ kind = "network", code = "CONNECT_FAILED", outcome = "not_sent" },
            client:connect())
    end)

    it("fails over plain http, too", function()
        local box = setmetatable({ endpoint = "http://127.0.0.1:" .. nobody.port }, sandbox)
        local client = closing(box:client { max_attempts = 2 })
        expect.failure({ code = "CONNECT_FAILED", outcome = "not_sent", attempts = 2 },
            client:call("Echo"))
    end)

    it("where somebody listened before, is told as such", function()
        local box = sandbox.start()
        local client = closing(box:client { max_attempts = 2 })
        expect.success(client:call("Echo"))
        box:stop()
        expect.failure({ code = "CONNECT_FAILED", outcome = "not_sent", attempts = 2 },
            client:call("Echo"))
    end)
end)

describe("a name", function()
    -- The system's resolver may have nobody to ask; then it gives up after a second.
    local CHILD = [[
        local cjson = require "cjson"
        local options = cjson.decode(arg[1])
        local client = require "zenlayer.safe".new(options)
        local _, err = client:stop_instances({ "a" })
        print(cjson.encode { kind = err.kind, code = err.code, outcome = err.outcome,
            attempts = err.attempts, retryable = err.retryable, message = err.message,
            batch = err.batches[1].outcome })
        client:close()
    ]]

    local function call(options)
        options.access_key_id, options.access_key_password = "a", "b"
        options.proxy, options.connect_timeout, options.max_attempts = false, 25, 2
        local output, status = process.run_lua(CHILD,
            { RES_OPTIONS = "timeout:1 attempts:1 ndots:1", LOCALDOMAIN = "" },
            cjson.encode(options))
        assert.equal(0, status, output)
        return cjson.decode(output)
    end

    it("that does not exist is not resolved", function()
        local told = call { endpoint = "https://something.invalid" }
        assert.equal("RESOLVE_FAILED", told.code)
        assert.equal("network", told.kind)
        assert.equal("not_sent", told.outcome)
        assert.equal("not_sent", told.batch)
        assert.equal(2, told.attempts)
        assert.is_true(told.retryable)
        assert.truthy(told.message:find("something.invalid", 1, true))
    end)

    it("that does not exist is no better in connect_to", function()
        local told = call {
            endpoint = "https://console.zenlayer.com", connect_to = "something.invalid:443",
        }
        assert.equal("RESOLVE_FAILED", told.code)
        assert.equal("not_sent", told.outcome)
    end)
end)

describe("a server that does not answer", function()
    for _, mode in ipairs { "full", "silent" } do
        local what = mode == "full" and "its door" or "the handshake"

        describe("at " .. what, function()
            local hole

            setup(function()
                hole = server.start(mode)
            end)
            teardown(function()
                hole:stop()
            end)

            it("is given connect_timeout, max_attempts times", function()
                local client = closing(new(hole.port, { connect_timeout = 0.3, max_attempts = 3 }))
                local began = process.now()
                expect.failure({
                    kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent", attempts = 3,
                    retryable = true,
                }, client:call("Echo"))
                local took = process.now() - began
                assert.is_true(took >= 0.9)
                assert.is_true(took < 5 * process.slowness)
            end)

            it("is given no longer than the timeout of an attempt", function()
                local client = closing(new(hole.port,
                    { connect_timeout = 60, timeout = 0.3, max_attempts = 1 }))
                local began = process.now()
                expect.failure({
                    kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent", attempts = 1,
                }, client:call("Echo"))
                assert.is_true(process.now() - began < 5 * process.slowness)
            end)

            it("is given no longer than the deadline", function()
                local client = closing(new(hole.port, { connect_timeout = 60, deadline = 0.5 }))
                local ids = {}
                for i = 1, 250 do
                    ids[i] = "id-" .. i
                end
                local began = process.now()
                local err = expect.failure({
                    kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "not_sent",
                    retryable = true,
                }, client:stop_instances(ids))
                assert.is_true(process.now() - began < 5 * process.slowness)
                expect.partition(ids, err.batches)
                for _, batch in ipairs(err.batches) do
                    assert.equal("not_sent", batch.outcome)
                end
            end)

            it("fails connect() in time", function()
                local client = closing(new(hole.port, { connect_timeout = 0.3 }))
                local began = process.now()
                expect.failure({ kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent" },
                    client:connect())
                assert.is_true(process.now() - began < 5 * process.slowness)
            end)

            it("as a proxy is given connect_timeout, too", function()
                local client = closing(new(1, {
                    connect_timeout = 0.3, max_attempts = 1,
                    proxy = "http://127.0.0.1:" .. hole.port,
                }))
                expect.failure({ kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent" },
                    client:call("Echo"))
            end)
        end)
    end

    it("to the first call holds up no other call", function()
        for _, arguments in ipairs { { "--http" }, {} } do
            local box = sandbox.start(arguments)
            local client = box:client()
            box:faults { { fault = "stall", seconds = 60, action = "Stalled" } }
            local job = client:submit_call("Stalled")
            process.await(function()
                client:poll(0.01)
                return #box:requests() > 0
            end, "the first call")
            local began = process.now()
            local response, err = client:call("Echo")
            local seconds = process.now() - began
            client:close()
            box:stop()
            expect.success(response, err)
            assert.is_true(job:done())
            assert.is_true(seconds < 2 * process.slowness, ("it took %.3f s"):format(seconds))
        end
    end)

    it("holds up no other client", function()
        local hole = server.start("silent")
        local box = sandbox.start()
        local stuck = closing(new(hole.port, { connect_timeout = 0.3, max_attempts = 1 }))
        local client = closing(box:client())
        stuck:call("Echo")
        local response, err = client:call("Echo")
        box:stop()
        hole:stop()
        expect.success(response, err)
    end)
end)
