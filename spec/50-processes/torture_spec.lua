-- Memory that runs out: spec/torture/torture.c at a few of its points; `make torture` runs all.
local every_lua = require "every_lua"
local process = require "process"

-- It and the module are in one folder.
local BUILT = package.searchpath("zenlayer", package.cpath):gsub("/zenlayer%.so$", "")

describe("a task for which memory runs out", function()
    it("crashes nothing, loses nothing, and says what is true", function()
        local output, status = process.run {
            "env", every_lua.CPATH .. "=" .. BUILT .. "/?.so;;", "spec/torture/run.sh",
            BUILT .. "/torture", process.rounds(2, 1), process.rounds(3, 1),
        }
        assert(status == 0 and not output:find "Sanitizer", output)
        local totals = 0
        for points, failures in output:gmatch "(%d+) points, (%d+) failures" do
            assert.is_true(tonumber(points) > 50, output)
            assert.equal("0", failures)
            totals = totals + 1
        end
        assert.equal(2, totals, output)
    end)
end)
