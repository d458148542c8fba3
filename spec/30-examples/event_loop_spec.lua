-- examples/event_loop.lua: jobs in somebody else's event loop.
local every_lua = require "every_lua"
local example = require "example"
local process = require "process"
local sandbox = require "sandbox"

local PROGRAM = { process.lua, "examples/event_loop.lua" }
local DELAY_S = process.slowness > 1 and 2 or 0.5

describe("examples/event_loop.lua", function()
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

    local function run()
        local ids = box:ids(1000)
        local output, status = example.stop(box, PROGRAM, ids)
        assert.equal(0, status, output)
        example.assert_stopped(box, ids)
        local told = example.numbers(output)
        assert.equal(1000, told.stopped)
        assert.equal(10, told.requests)
        return told, output
    end

    it("stops a thousand instances while its timer ticks on", function()
        box:faults { { fault = "delay", seconds = DELAY_S, action = "StopInstances" } }
        local told, output = run()
        -- Two waves of requests; a loop that waited for an answer would not tick meanwhile.
        assert.is_true(told.took >= 2 * DELAY_S * 1000, output)
        assert.is_true(told.took < 2 * DELAY_S * 1000 + 5000 * process.slowness, output)
        assert.is_true(told.ticks >= told.took / 5 * 0.25, output)
        assert.is_true(told["longest pause"] >= 4, output)
        assert.is_true(told["longest pause"] < DELAY_S * 800, output)
        assert.is_true(#box:connections() <= 8)
    end)

    it("goes on when every answer closes its connection", function()
        box:faults { { fault = "connection_close" } }
        local told, output = run()
        assert.equal(10, #box:connections()) -- the first is that of connect
        assert.is_true(told.took < 5000 * process.slowness, output)
    end)

    it("tries again when libcurl's sockets have nothing to say", function()
        box:faults { { fault = "rate_limit", times = 1, retry_after = 1 } }
        local ids = box:ids(3)
        local output, status = example.stop(box, PROGRAM, ids)
        assert.equal(0, status, output)
        assert.equal(2, #box:requests())
        local told = example.numbers(output)
        assert.is_true(told.took >= 1000, output)
        assert.is_true(told.ticks >= told.took / 5 * 0.25, output)
    end)

    it("says what went wrong", function()
        local output, status = example.stop(box, PROGRAM, box:ids(1, "missing-"))
        assert.equal(1, status, output)
        local expected = every_lua.prints_error_objects and "INVALID_INSTANCE_NOT_FOUND"
            or "(error object is not a string)"
        assert.is_truthy(output:find(expected, 1, true), output)
    end)

    it("refuses bad usage", function()
        for _, words in ipairs { {}, { "--endpoint" }, { "--force", "a" } } do
            local output, status = example.run(box, PROGRAM, words)
            assert.equal(2, status, output)
            assert.is_truthy(output:find "^usage: event_loop.lua ", output)
        end
        assert.equal(0, #box:requests())
    end)
end)
