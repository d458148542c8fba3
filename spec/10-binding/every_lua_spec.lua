-- The module says the same on every Lua: the same results, errors and texts (transcript.lua).
local process = require "process"
local sandbox = require "sandbox"

-- The interpreters that the specs run on, each with the folder of the module that was built for it,
-- as spec/run tells them.
local interpreters = {}
for lua, folder in os.getenv("ZENLAYER_TEST_LUAS"):gmatch "([^\n\t]+)\t([^\n\t]+)" do
    interpreters[#interpreters + 1] = { lua = lua, folder = folder }
end

local function transcript(of)
    local box = sandbox.start { "--instances", "0" }
    local path = of.folder .. "/?.so;;"
    local output, status = process.run {
        "env", "-u", "https_proxy", "LUA_CPATH=" .. path, "LUA_CPATH_5_2=" .. path,
        "LUA_CPATH_5_3=" .. path, "LUA_CPATH_5_4=" .. path, of.lua, "-l", "every_lua",
        "spec/support/transcript.lua", box.endpoint, box.ca_file,
    }
    box:stop()
    assert(status == 0, of.lua .. ": " .. output)
    -- What differs from one sandbox to the next.
    local ids, count = {}, 0
    output = output:gsub("T%x%x%x%x%x%x%x%x%-[%x-]+", function(id)
        if not ids[id] then
            count = count + 1
            ids[id] = "REQUEST-" .. count
        end
        return ids[id]
    end)
    local lines = {}
    for line in output:gmatch "[^\n]+" do
        lines[#lines + 1] = line
    end
    return lines
end

local function compare(one, other, name)
    for i = 1, math.max(#one, #other) do
        if one[i] ~= other[i] then
            error(("%s says otherwise in line %d:\n%s\nand not\n%s"):format(name, i,
                tostring(other[i]), tostring(one[i])), 0)
        end
    end
end

-- The first of them is compared with every one, and so with itself: two runs agree. Where another
-- one runs this, with that alone.
local is_first = process.rounds(2, 1) == 2
local own = package.searchpath("zenlayer", package.cpath):match "^(.*)/"

describe("the module says the same", function()
    local expected

    for _, interpreter in ipairs(interpreters) do
        if is_first or interpreter.folder == own then
            it(("on %s as on %s"):format(interpreter.lua, interpreters[1].lua), function()
                expected = expected or transcript(interpreters[1])
                assert(#expected > 7000, #expected .. " lines")
                compare(expected, transcript(interpreter), interpreter.lua)
            end)
        end
    end
end)
