-- Servers that answer as no good one does (hostile.lua), over libcurl.
local closing = require "every_lua".closing
local expect = require "expect"
local hostile = require "hostile"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"

describe("a server that", function()
    local elsewhere, other, box

    setup(function()
        elsewhere = server.start "scripted"
        other = hostile.start(elsewhere)
        box = setmetatable({ endpoint = "http://127.0.0.1:" .. other.port }, sandbox)
    end)
    teardown(function()
        other:stop()
        elsewhere:stop()
    end)

    local function new()
        return closing(box:client {
            max_attempts = 1, max_response_bytes = hostile.MAX_RESPONSE_BYTES,
        })
    end

    for i, case in ipairs(hostile.CASES) do
        it("answers with " .. case[1], function()
            local client, began = new(), process.now()
            local response, err = client:call("Case" .. i, {}, { timeout = process.slowness })
            assert.is_true(process.now() - began < 10 * process.slowness)
            hostile.check(case.engine or case[3], response, err, expect.failure)
            assert.equal("server.py", expect.success(client:call "After").from)
        end)
    end

    it("leads elsewhere is not followed, and nothing it says is kept", function()
        hostile.check_that_nothing_is_followed(new(), other, elsewhere, expect.failure)
    end)
end)

describe("a proxy that answers CONNECT with", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)

    for _, case in ipairs(hostile.PROXIES) do
        it(case[1], function()
            local proxy = server.start("scripted", { script = { case[2] } })
            local client = closing(box:client {
                proxy = "http://user:s3cret@127.0.0.1:" .. proxy.port, max_attempts = 1,
                connect_timeout = 2 * process.slowness,
            })
            local began = process.now()
            local response, err = client:call "Echo"
            local seconds = process.now() - began
            proxy:stop()
            expect.failure({ code = case.engine or case[3], outcome = "not_sent", attempts = 1 },
                response, err)
            assert.is_nil(expect.texts(err):find("s3cret", 1, true))
            assert.is_true(seconds < 10 * process.slowness)
            assert.equal(0, #box:requests())
        end)
    end
end)
