-- Properties: a test run on many random inputs. A failure names the seed; with it in
-- ZENLAYER_SPEC_SEED the same inputs come again.
local every_lua = require "every_lua"
local process = require "process"

local binding_property = {}

-- Run body(i) n times with math.random seeded anew, or a part of that: process.rounds.
function binding_property.check(n, body)
    local seed = math.tointeger(tonumber(os.getenv "ZENLAYER_SPEC_SEED") or os.time())
    for i = 1, process.rounds(n) do
        math.randomseed((seed + i * 7919) % 2^31)
        local ok, message = pcall(body, i)
        if not ok then
            error(("ZENLAYER_SPEC_SEED=%d, case %d: %s"):format(seed, i, tostring(message)), 2)
        end
    end
end

function binding_property.pick(list)
    return list[math.random(#list)]
end

local RANGES = { { 0, 0x1F }, { 0x20, 0x7F }, { 0x80, 0x7FF }, { 0x800, 0xD7FF },
    { 0xE000, 0xFFFF }, { 0x10000, 0x10FFFF } }

-- Valid UTF-8 of up to so many characters, from every length of encoding.
function binding_property.text(most)
    local characters = {}
    for i = 1, math.random(0, most) do
        local range = binding_property.pick(RANGES)
        characters[i] = utf8.char(math.random(range[1], range[2]))
    end
    return table.concat(characters)
end

-- Any integer; where all numbers are doubles, any that they hold exactly.
function binding_property.integer()
    if every_lua.integers then
        return (string.unpack("<i8", binding_property.bytes(8)))
    end
    local value = math.random(0, 2^26) * 2^27 + math.random(0, 2^27 - 1)
    return binding_property.pick { value, -value }
end

-- Any bytes, so many.
function binding_property.bytes(count)
    local bytes = {}
    for i = 1, count do
        bytes[i] = string.char(math.random(0, 255))
    end
    return table.concat(bytes)
end

return binding_property
