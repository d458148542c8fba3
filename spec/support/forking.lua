-- Compiles forker.c for the Lua that runs this.
local every_lua = require "every_lua"
local process = require "process"

local forking = {}

local VERSION = _VERSION:sub(5)
local PACKAGES = every_lua.is_luajit and { "luajit" }
    or { "lua" .. VERSION, "lua-" .. VERSION, "lua" .. VERSION:gsub("%.", "") }

local function header_flags()
    local tool = os.getenv "PKG_CONFIG" or "pkg-config"
    for _, name in ipairs(PACKAGES) do
        local output, status = process.run { tool, "--cflags", name }
        if status == 0 then
            return (output:gsub("%s+$", ""))
        end
    end
    error("pkg-config does not know where the headers of Lua " .. VERSION .. " are")
end

-- In `directory`: forker.so. Returns what package.cpath needs to find it.
function forking.compile(directory)
    process.check {
        "sh", "-c", ("exec ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -Wall -Wextra -fPIC "
            .. "-shared -iquote . %s -o %s spec/support/forker.c"):format(header_flags(),
            process.quote(directory .. "/forker.so")),
    }
    return directory .. "/?.so;"
end

return forking
