-- The specs of decoding, with a decoder like that of OpenResty's fork of lua-cjson. It is what
-- require "cjson" gives here, before the module is loaded for the first time.
local fork = require "cjson_fork"
package.loaded["cjson"] = fork

local every_lua = require "every_lua"
local process = require "process"

local environment = every_lua.environment(1)

describe("the fork's stand-in", function()
    it("reads integers, and clamps them", function()
        local got = fork.decode '[100, -1, 0, -0, {"a": 7, "b": "8"}, 100.0, 1e2, "9\\"10", 0.5]'
        assert.same({ 100, -1, 0, 0, { a = 7, b = "8" }, 100, 100, '9"10', 0.5 }, got)
        got = fork.decode "[18446744073709551615,-18446744073709551615,9223372036854775807]"
        assert.equal(2^63, got[1] + 0.0)
        assert.equal(-2^63, got[2] + 0.0)
        if every_lua.integers then
            assert.equal("integer", math.type(fork.decode "[100]"[1]))
            assert.same({ math.maxinteger, math.mininteger, math.maxinteger }, got)
        end
    end)

    it("is what the module decodes with", function()
        local seen = 0
        local plain = fork.new
        fork.new = function()
            seen = seen + 1
            return plain()
        end
        require "zenlayer"
        fork.new = plain
        assert.equal(1, seen)
    end)
end)

for _, path in ipairs {
    "spec/10-binding/json_decode_spec.lua", "spec/20-sandbox/status_spec.lua",
} do
    describe("with the fork's stand-in, " .. path, function()
        assert(load(process.read(path), "@" .. path, "t", environment))()
    end)
end
