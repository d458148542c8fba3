-- What the sources say of themselves, for the specs that compare it with what is told elsewhere.
local process = require "process"

local sources = {}

local function sorted(list)
    table.sort(list)
    return list
end

-- The strings of a list of the binding: static const char *const NAME[] = { … }
function sources.strings(name)
    local text
    for path in process.check { "sh", "-c", "ls lua_zenlayer.c binding/*.c" }:gmatch "[^\n]+" do
        text = text or process.read(path):match("%*const " .. name .. "%[%] = {(.-)};")
    end
    local found = {}
    for word in assert(text, name):gmatch '"([^"]*)"' do
        found[#found + 1] = word
    end
    assert(#found > 0)
    return sorted(found)
end

-- X(NAME, …) of a list in api/error.h: { { "NAME", "what comes next" }, … }
function sources.errors(name)
    local text = process.read "api/error.h":match("#define " .. name .. "%(X%)(.-[^\\])\n")
    local found = {}
    for each, more in assert(text, name):gmatch 'X%(([%u%d_]+), "?([%w_]+)' do
        found[#found + 1] = { each, more }
    end
    assert(#found > 0)
    return found
end

return sources
