-- Nothing secret is left in memory that the module gives back: spec/torture/secrets.lua, with every
-- allocation there is, and with some that fail; `make torture` goes to more of those.
local every_lua = require "every_lua"
local process = require "process"

-- It and the module are in one folder.
local BUILT = package.searchpath("zenlayer", package.cpath):gsub("/zenlayer%.so$", "")

describe("memory that was given back", function()
    it("has no key, token, password or signature in it", function()
        local failing = { "core", "lua", "curl", "openssl" } -- a point of each task
        local output, status = process.run {
            "env", every_lua.CPATH .. "=" .. BUILT .. "/?.so;;", "spec/torture/secrets.sh",
            BUILT .. "/torture", "1", "-m", "once", "-f",
            table.concat(failing, ",", 1, process.rounds(#failing, 1)),
        }
        assert(status == 0 and not output:find "Sanitizer", output)
        local points, failures = output:match "(%d+) points, (%d+) failures"
        assert.is_true(tonumber(points) >= 15, output)
        assert.equal("0", failures)

        -- It did look: what Lua and libcurl have been given they leave behind, and only that. A
        -- key's password comes to OpenSSL alone, which wipes it.
        local told = {}
        for who, blocks, held in output:gmatch "(%w+) gave back (%d+) blocks([^\n]*)" do
            assert.is_true(tonumber(blocks) > 1000, output)
            told[who] = held
        end
        assert.is_truthy(told.lua:find "with TORTURE_PASSWORD", output)
        assert.is_truthy(told.lua:find "with a signature", output)
        assert.is_truthy(told.curl:find "with TORTURE_TOKEN", output)
        assert.is_truthy(told.curl:find "with TORTURE_PROXY_PASSWORD", output)
        assert.is_nil(told.curl:find "with TORTURE_PASSWORD", output)
        assert.equal("", told.openssl)
        assert.equal("", told.core)
    end)
end)
