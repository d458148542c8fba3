-- States that come and go in one process leave nothing behind.
local process = require "process"
local sandbox = require "sandbox"
local threads = require "threads"

-- A sanitizer keeps what was freed for a while, up to 256 MiB of it.
local GROWTH_MAX_KIB = process.slowness > 1 and 300000 or 256

describe("a process", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)

    it("does not grow by a thousand states with a client and a call each", function()
        local output = threads.run(box, 1, 1000, [[
            echo(1)
            if nth % 3 == 0 then
                client:close()
            elseif nth % 3 == 1 then
                client:submit_call("Echo", { n = 2 }) -- and lua_close cancels it
                client:poll(0)
            end
            return 1
        ]])
        local held, descriptors = {}, {}
        for nth, kib, count in output:gmatch "after (%d+) states: (%d+) KiB, (%d+) descriptors" do
            held[tonumber(nth)], descriptors[tonumber(nth)] = tonumber(kib), tonumber(count)
        end
        assert.is_truthy(output:find "\ncounted 1000\n$", output)
        assert.equal(descriptors[200], descriptors[1000], output)
        assert.is_true(held[1000] - held[200] < GROWTH_MAX_KIB, output)
    end)
end)
