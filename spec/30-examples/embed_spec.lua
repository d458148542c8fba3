-- examples/embed: a program with a Lua of its own, linked with the static library.
local every_lua = require "every_lua"
local example = require "example"
local process = require "process"
local sandbox = require "sandbox"

-- It is built beside the module.
local EMBED = { (package.searchpath("zenlayer", package.cpath):gsub("zenlayer%.so$", "embed")) }
local DELAY_S = process.slowness > 1 and 2 or 0.5

describe("examples/embed", function()
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

    it("stops a thousand instances while its frames go on", function()
        box:faults { { fault = "delay", seconds = DELAY_S, action = "StopInstances" } }
        local ids = box:ids(1000)
        local output, status = example.stop(box, EMBED, ids)
        assert.equal(0, status, output)
        example.assert_stopped(box, ids)
        local told = example.numbers(output)
        assert.equal(1000, told.stopped)
        assert.equal(10, told.requests)
        -- Two waves of requests; one frame that waited for an answer would last as long as it.
        assert.is_true(told.frames >= 2 * DELAY_S * 60 * 0.5, output)
        assert.is_true(told["frames late"] < told.frames, output)
        assert.is_true(told["poll, median"] > 0, output)
        assert.is_true(told["poll, median"] <= told["poll, longest"], output)
        assert.is_true(told["poll, longest"] < DELAY_S * 800, output)
        assert.is_true(#box:connections() <= 8)
    end)

    it("says what went wrong", function()
        local id = box:ids(1, "missing-")[1]
        local output, status = example.stop(box, EMBED, { id })
        assert.equal(1, status, output)
        assert.is_truthy(output:find "^embed: zenlayer: INVALID_INSTANCE_NOT_FOUND: ", output)
        assert.is_nil(output:find("\n.", 1))
    end)

    it("without lua-cjson says so", function()
        local output, status = example.stop(box, {
            "env", "LUA_CPATH=", every_lua.CPATH .. "=", EMBED[1],
        }, { "a" })
        assert.equal(1, status, output)
        assert.is_truthy(output:find("zenlayer needs lua-cjson", 1, true), output)
    end)

    it("refuses bad usage", function()
        for _, words in ipairs { {}, { "--endpoint" }, { "--force", "yes", "a" },
            { "--ca-file", "x" } } do
            local output, status = example.run(box, EMBED, words)
            assert.equal(2, status, output)
            assert.is_truthy(output:find "^usage: embed ", output)
        end
        assert.equal(0, #box:requests())
    end)
end)
