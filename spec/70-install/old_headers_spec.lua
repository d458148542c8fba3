-- Building where a library is too old, or something is missing: make says it once, and ends.
local lfs = require "lfs"
local machines = require "machine"
local process = require "process"

local NAMES = { curl = "libcurl 7.80.0", openssl = "OpenSSL 3.0" }
-- All there is in them: everything that the sources use is missing besides.
local OLD = {
    curl = { "curl.h", "#define LIBCURL_VERSION_NUM 0x074f01" },
    openssl = { "opensslv.h", "#define OPENSSL_VERSION_NUMBER 0x101011afL" },
}
local compilers = {}
for _, compiler in ipairs { "gcc", "clang" } do
    local _, status = process.run { "sh", "-c", "command -v " .. compiler }
    compilers[#compilers + 1] = status == 0 and compiler or nil
end
assert(compilers[1], "no compiler")

describe("make", function()
    local machine

    setup(function()
        machine = machines.new()
        for library, header in pairs(OLD) do
            local folder = machine:path("old-" .. library)
            assert(lfs.mkdir(folder) and lfs.mkdir(folder .. "/" .. library))
            process.write(folder .. "/" .. library .. "/" .. header[1], header[2] .. "\n")
        end
    end)
    teardown(function()
        machine:remove()
    end)

    -- What make says before it ends with an error, which is not much.
    local function refusal(...)
        local output, status = machine:run({ "env", ... }, "the sources")
        assert.equal(2, status, output)
        local _, lines = output:gsub("\n", "")
        assert.is_true(lines <= 8, output)
        return output
    end

    local function errors(output)
        local _, count = output:gsub(":%d+:%d+: [%a ]*error: ", "")
        return count
    end

    for _, compiler in ipairs(compilers) do
        for library, name in pairs(NAMES) do
            local what = ("with %s says once that %s is too old"):format(compiler, library)
            it(what, function()
                for _, jobs in ipairs { "-j1", "-j2" } do
                    local folder = machine:path("old-" .. library)
                    local output = refusal("make", jobs, "CC=" .. compiler,
                        "CPPFLAGS=-I" .. folder)
                    assert.equal(1, errors(output), output)
                    local told = ("lua-zenlayer needs %s or newer"):format(name):gsub("%p", "%%%0")
                    assert.truthy(output:find('error: [^\n]*"' .. told .. '"\n'), output)
                end
            end)
        end
    end

    it("builds what is for OpenResty with any libcurl", function()
        local old = "CPPFLAGS=-I" .. machine:path "old-curl"
        local _, status = machine:run({ "make", "-j2", "LUA=luajit", "openresty", old },
            "the sources")
        assert.equal(0, status)
    end)

    it("says that the headers of Lua are missing, or another Lua's", function()
        local output = refusal("make", "LUA=lua5.3", "LUA_INCDIR=" .. machine:path "empty")
        assert.truthy(output:find("lua-zenlayer: no headers of lua5.3 here", 1, true), output)
        assert.truthy(output:find("give LUA_INCDIR=<the folder with lua.h>", 1, true), output)
        local other = machine:path "other-lua"
        assert(lfs.mkdir(other))
        for _, name in ipairs { "lua.h", "lauxlib.h", "lualib.h" } do
            process.write(other .. "/" .. name, "#define LUA_VERSION_NUM 502\n")
        end
        output = refusal("make", "LUA=lua5.3", "LUA_INCDIR=" .. other)
        assert.truthy(output:find("lua.h is that of another Lua", 1, true), output)
        assert.equal(1, errors(output))
    end)

    it("says that there is no pkg-config, or that it does not know the libraries", function()
        local empty = "PKG_CONFIG_LIBDIR=" .. machine:path "empty"
        for _, words in ipairs { { "make", "PKG_CONFIG=no-pkg-config" }, { empty, "make" } } do
            local output = refusal(table.unpack(words))
            assert.truthy(output:find("pkg-config does not find libcurl libcrypto", 1, true),
                output)
            assert.equal(0, errors(output), output)
        end
    end)
end)
