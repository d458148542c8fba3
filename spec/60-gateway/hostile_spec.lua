-- Servers that answer as no good one does (hostile.lua), over cosockets.
local expect = require "expect"
local hostile = require "hostile"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

describe("a server that", function()
    local elsewhere, other, front

    setup(function()
        elsewhere = server.start "scripted"
        other = hostile.start(elsewhere)
        front = remote.start(setmetatable({
            endpoint = "http://127.0.0.1:" .. other.port,
        }, sandbox))
    end)
    teardown(function()
        other:stop()
        elsewhere:stop()
        front:stop()
    end)

    local function new()
        return front:client {
            max_attempts = 1, max_response_bytes = hostile.MAX_RESPONSE_BYTES,
        }
    end

    for i, case in ipairs(hostile.CASES) do
        it("answers a gateway with " .. case[1], function()
            local client, began = new(), process.now()
            local response, err = client:run("return client:call(...)", "Case" .. i, {},
                { timeout = process.slowness })
            assert.is_true(process.now() - began < 10 * process.slowness)
            hostile.check(case.gateway or case[3], response, err, remote.failure)
            assert.equal("server.py", expect.success(client:call "After").from)
        end)
    end

    it("leads a gateway elsewhere is not followed, and nothing it says is kept", function()
        hostile.check_that_nothing_is_followed(new(), other, elsewhere, remote.failure)
    end)
end)

describe("a gateway's proxy that answers CONNECT with", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = remote.start(box)
    end)
    teardown(function()
        box:stop()
        front:stop { "SSL_do_handshake%(%) failed" }
    end)

    for _, case in ipairs(hostile.PROXIES) do
        it(case[1], function()
            local proxy = server.start("scripted", { script = { case[2] } })
            local client = front:client {
                proxy = "http://user:s3cret@127.0.0.1:" .. proxy.port, max_attempts = 1,
                connect_timeout = 2 * process.slowness,
            }
            local began = process.now()
            local response, err = client:call "Echo"
            local seconds = process.now() - began
            proxy:stop()
            remote.failure({ code = case[3], outcome = "not_sent", attempts = 1 }, response, err)
            assert.is_nil(expect.texts(err):find("s3cret", 1, true))
            assert.is_true(seconds < 10 * process.slowness)
            assert.equal(0, #box:requests())
        end)
    end
end)
