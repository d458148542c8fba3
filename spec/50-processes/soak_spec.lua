-- The short form of `make soak`: enough calls for a leak to show, too few for a slow growth.
local process = require "process"

describe("many calls, some with a fault", function()
    it("leave memory and descriptors as they were", function()
        local output, status = process.run {
            "python3", "-B", "bench/soak.py", "--lua", process.lua, "--calls", "4000",
            "--faults", "0.02", "--slower", "200",
            -- Sanitizers keep what was freed.
            "--grown", process.slowness > 1 and 1000000 or 256,
        }
        assert.equal(0, status, output)
        local _, checks = output:gsub("\nok +%l", "")
        assert.equal(8, checks, output)
    end)
end)
