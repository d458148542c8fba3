-- A gateway's connections that end, go silent or carry another byte than was sent, anywhere in a
-- request or an answer: what is told of the call is true, the next one is well, and nothing is left
-- open.
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local wire = require "wire"

local SHORT = 0.4 * process.slowness

-- What nginx logs of such connections, though lua_socket_log_errors is off.
local EXPECTED = {
    http = { "[%a_]+%(%) failed" }, -- recv, send
    https = { "peer closed connection in SSL handshake", "[%a_]+%(%) failed" },
}

for _, scheme in ipairs { "http", "https" } do
    describe("a gateway's connection over " .. scheme, function()
        local box, proxy, front, run, pid
        local is_plain = scheme == "http"

        setup(function()
            box = sandbox.start(is_plain and { "--http" } or {})
            proxy = wire.start(box)
            front = remote.start(box, { http = "lua_ssl_verify_depth 5;" })
            run, pid = wire.within(front), front.gateway:workers()[1]
        end)
        teardown(function()
            proxy:stop()
            box:stop()
            front:stop(EXPECTED[scheme])
        end)

        local function seen(outcomes, ...)
            for _, outcome in ipairs { ... } do
                assert.is_true((outcomes[outcome] or 0) > 0, "no call was " .. outcome)
            end
        end

        for _, how in ipairs { "fin", "reset" } do
            it(("that ends (%s) at any byte"):format(how), function()
                local tries, outcomes = proxy:spoil(run, how, wire.step(is_plain and 1 or 29), nil,
                    pid)
                assert.is_true(#tries >= 60)
                seen(outcomes, "unknown", is_plain and "accepted" or "not_sent")
            end)

            it(("that ends (%s) at any byte, and a second attempt"):format(how), function()
                local tries = proxy:spoil(run, how, wire.step(is_plain and 13 or 67),
                    { with = { max_attempts = 2 } }, pid)
                local again = 0
                for _, try in ipairs(tries) do
                    again = again + (try.told.attempts == 2 and 1 or 0)
                end
                assert.is_true(again >= 5)
            end)
        end

        for _, limit in ipairs { "timeout", "deadline" } do
            it(("that goes silent at any byte, up to the %s"):format(limit), function()
                local _, outcomes = proxy:spoil(run, "stall", wire.step(is_plain and 31 or 61),
                    { with = { [limit] = SHORT } }, pid)
                seen(outcomes, "unknown")
            end)
        end

        it("that carries one byte another than was sent", function()
            local _, outcomes = proxy:spoil(run, "flip", wire.step(is_plain and 1 or 23),
                { with = { timeout = SHORT } }, pid)
            seen(outcomes, "unknown", is_plain and "accepted" or "not_sent")
        end)
    end)
end
