-- Stands in for OpenResty's fork of lua-cjson, which Debian does not have: the decoder of the
-- lua-cjson that is here, but a number without fraction and exponent is read as an integer where
-- Lua has them, and clamped to 64 bits on every Lua (strtoll). The fork's empty_array is there too.
local cjson = require "cjson"

local MARK = "\\u0001integer:"
local MARKED = "^\1integer:(%-?%d+)$"

local function clamped(digits)
    local value = tonumber(digits)
    if value >= 2^63 then
        return math.maxinteger
    elseif value < -2^63 then
        return math.mininteger
    end
    return math.tointeger(value) or value
end

-- Outside of strings, integers become strings that say so.
local function mark(text)
    local parts, at = {}, 1
    while at <= #text do
        local from, to = text:find('^"[^"\\]*', at)
        if from then
            while text:sub(to + 1, to + 1) == "\\" do
                to = to + 2
                to = select(2, text:find('^[^"\\]*', to + 1))
            end
            to = to + 1
        else
            from, to = text:find("^[%d.eE+-]+", at)
            local number = from and text:sub(from, to)
            if number and (number:find "^%-?[1-9]%d*$" or number:find "^%-?0$") then
                parts[#parts + 1] = ('"%s%s"'):format(MARK, number)
                at, from = to + 1, nil
            elseif not from then
                from, to = at, (text:find('["%d-]', at + 1) or #text + 1) - 1
            end
        end
        if from then
            parts[#parts + 1] = text:sub(from, to)
            at = to + 1
        end
    end
    return table.concat(parts)
end

local function unmark(value)
    if type(value) == "table" then
        for key, item in pairs(value) do
            value[key] = unmark(item)
        end
    elseif type(value) == "string" then
        local digits = value:match(MARKED)
        return digits and clamped(digits) or value
    end
    return value
end

local function make(plain)
    local fork = {}
    for name, member in pairs(plain) do
        fork[name] = member
    end
    fork.empty_array = fork.empty_array or fork.null

    function fork.decode(text)
        local ok, value = pcall(plain.decode, mark(text))
        if not ok then
            error(value, 0) -- as it is: the decoder in C adds no place either
        end
        return unmark(value)
    end

    function fork.new()
        return make(plain.new())
    end
    return fork
end

return make(cjson.new())
