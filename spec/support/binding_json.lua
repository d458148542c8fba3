-- Random values for JSON, and what the writer of the module must make of a value, written a second
-- time: the bytes, and the meaning as binding_echo.py tells it.
local property = require "binding_property"
local zenlayer = require "zenlayer"

local binding_json = {}

local ESCAPES = {
    ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
    ["\r"] = "\\r", ["\t"] = "\\t",
}

local function encode_string(text)
    return '"' .. text:gsub('[%z\1-\31"\\]', function(c)
        return ESCAPES[c] or ("\\u%04x"):format(c:byte())
    end) .. '"'
end

local function sorted_keys(value)
    local keys = {}
    for key in next, value do
        keys[#keys + 1] = key
    end
    table.sort(keys) -- in the C locale by bytes
    return keys
end

-- The bytes that a value must become. Floats may have few digits alone here.
function binding_json.encode(value)
    local kind, parts = math.type(value) or type(value), {}
    if value == zenlayer.null then
        return "null"
    elseif value == zenlayer.empty_array then
        return "[]"
    elseif kind == "string" then
        return encode_string(value)
    elseif kind == "integer" or kind == "float" and math.tointeger(value) then
        return ("%d"):format(value)
    elseif kind == "float" then
        return ("%.15g"):format(value)
    elseif kind ~= "table" then
        return tostring(value)
    elseif #value > 0 then
        for i, item in ipairs(value) do
            parts[i] = binding_json.encode(item)
        end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for i, key in ipairs(sorted_keys(value)) do
        parts[i] = encode_string(key) .. ":" .. binding_json.encode(value[key])
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- What somebody else's decoder must find in those bytes.
function binding_json.reading(value)
    local kind, parts = math.type(value) or type(value), {}
    if value == zenlayer.null then
        return "null"
    elseif value == zenlayer.empty_array then
        return "[]"
    elseif kind == "string" then
        return ("s%d:%s"):format(#value, value)
    elseif kind == "float" then
        if value == 0 and 1 / value < 0 then
            return "-0"
        end
        local whole = math.tointeger(value)
        return whole and whole ~= math.mininteger and ("i%d"):format(whole)
            or "f" .. string.pack(">d", value):gsub(".", function(c)
                return ("%02x"):format(c:byte())
            end)
    elseif kind == "integer" then
        return ("i%d"):format(value)
    elseif kind ~= "table" then
        return tostring(value)
    elseif #value > 0 then
        for i, item in ipairs(value) do
            parts[i] = binding_json.reading(item)
        end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for i, key in ipairs(sorted_keys(value)) do
        parts[i] = binding_json.reading(key) .. "=" .. binding_json.reading(value[key])
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- Any finite double: most of them have all their digits.
function binding_json.random_float()
    while true do
        local value = string.unpack("<d", property.bytes(8))
        if value == value and math.abs(value) ~= math.huge then
            return value
        end
    end
end

-- Values without parts, of which there is exactly one way to write them.
binding_json.LEAVES = {
    property.integer,
    function() return math.random(-1000, 1000) end,
    function() return math.tointeger(2^53) + math.random(-3, 3) end,
    function() return math.random(-10000, 10000) / 100 end,
    function() return math.random(-5, 5) * 1.0 + 0.0 end,
    function() return true end,
    function() return false end,
    function() return zenlayer.null end,
    function() return zenlayer.empty_array end,
    function() return {} end,
    function() return property.text(12) end,
    function() return property.text(60) end,
}

-- Floats of every kind.
binding_json.FLOATS = {
    binding_json.random_float,
    function() return math.random() end,
    function() return 2^53 + math.random(-3, 3) end,
    function() return math.random(-10^9, 10^9) * 10.0 ^ math.random(-30, 30) end,
    function() return (math.random(0, 1) * 2 - 1) * 2.0 ^ math.random(-1074, 1023) end,
    function() return -0.0 end,
}

-- A random value of up to so many levels, made of these leaves.
function binding_json.random(levels, leaves)
    if levels == 0 or math.random(3) == 1 then
        return property.pick(leaves)()
    end
    local value = {}
    if math.random(2) == 1 then
        for i = 1, math.random(5) do
            value[i] = binding_json.random(levels - 1, leaves)
        end
    else
        for _ = 1, math.random(5) do
            value[property.text(6)] = binding_json.random(levels - 1, leaves)
        end
    end
    return value
end

return binding_json
