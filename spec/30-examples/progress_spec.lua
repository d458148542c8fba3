-- examples/progress.lua, with a terminal and without.
local example = require "example"
local process = require "process"
local sandbox = require "sandbox"

describe("examples/progress.lua", function()
    local box

    setup(function()
        -- Long enough for a look before they are STOPPED.
        box = sandbox.start { "--stop-seconds", "600", "--graceful-seconds",
            tostring(process.slowness) }
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    it("prints a line when something has changed, where there is no terminal", function()
        local ids = box:ids(3)
        local status, out, err = example.script(box, "progress.lua", ids)
        assert.equal(0, status, err)
        assert.equal("", out)
        assert.is_nil(err:find "[\r\27]")
        assert.equal("3 STOPPING\n3 STOPPED\n", err)
        assert.same({ instanceIds = ids, forceShutdown = false }, box:requests()[1].params)
    end)

    it("redraws a bar on a terminal", function()
        local program = [[
import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))
]]
        local ids = box:ids(2)
        local output, status = example.run(box, {
            "ZENLAYER_ENDPOINT=" .. box.endpoint, "ZENLAYER_CA_FILE=" .. box.ca_file,
            "python3", "-c", program, process.lua, "examples/progress.lua",
        }, ids)
        assert.equal(0, status, output)
        local frames = {}
        for frame in output:gmatch "\r([^\r\n]+)" do
            frames[#frames + 1] = frame
        end
        assert.is_truthy(frames[1]:find("^%[" .. ("%."):rep(30) .. "%] [%l%d]"), output)
        assert.is_truthy(frames[#frames]:find("^%[" .. ("#"):rep(30) .. "%] 2 STOPPED  %d+ s *$"),
            output)
        assert.is_truthy(output:find("] 2 STOPPING  ", 1, true), output)
        -- The last of it, with what a terminal makes of a line's end.
        assert.equal("\r" .. frames[#frames] .. "\r\n", output:sub(-#frames[#frames] - 3))
        local longest = 0
        for _, frame in ipairs(frames) do -- each covers the one before
            local text = frame:gsub(" +$", "")
            assert.is_true(#frame >= longest, output)
            longest = #text
        end
    end)

    it("says what went wrong, and of what usage there is", function()
        local status, out, err = example.script(box, "progress.lua", { "missing-1" })
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find "^progress: zenlayer: INVALID_INSTANCE_NOT_FOUND: [^\n]+\n$", err)
        assert.same({ 2, "", "usage: progress.lua id ...\n" },
            { example.script(box, "progress.lua", {}) })
    end)
end)
