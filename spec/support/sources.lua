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

-- X(NAME, …) of a list in a header: { { "NAME", "what comes next" }, … }
local function list(path, name)
    local text = process.read(path):match("#define " .. name .. "%(X%)(.-[^\\])\n")
    local found = {}
    for each, more in assert(text, name):gmatch 'X%(([%u%d_]+), "?([%w_]+)' do
        found[#found + 1] = { each, more }
    end
    assert(#found > 0)
    return found
end

function sources.errors(name)
    return list("api/error.h", name)
end

function sources.events()
    return list("api/event.h", "ZL_EVENTS")
end

-- The targets that `make help` tells of, as a set.
function sources.make_targets()
    local found = {}
    for target in process.read "Makefile":gmatch "\n([%l-]+):[^\n=#]*## " do
        found[target] = true
    end
    assert(next(found))
    return found
end

return sources
