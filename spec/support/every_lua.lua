-- What makes the specs the same text on Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT. The functions of 5.4
-- that a version lacks are put in their places, as far as the specs need them; the rest is in the
-- table that comes back. spec/run loads this before anything else, process.run_lua too.
local every_lua = {}

-- Whether integers are a type of their own.
every_lua.integers = math.type ~= nil

every_lua.is_luajit = jit ~= nil
local is_plain_5_1 = _VERSION == "Lua 5.1" and not jit

-- Whether the interpreter prints an error that nobody caught and that is not a string.
every_lua.prints_error_objects = not is_plain_5_1

-- Whether setmetatable(table, { __gc = f }) makes a finalizer.
every_lua.table_finalizers = not newproxy

-- In 5.1 and 5.2 %s ends at a zero byte, and in 5.1 it takes strings alone.
if ("%s"):format "a\0b" ~= "a\0b" then
    local format = string.format

    function string.format(pattern, ...)
        local values, used = { ... }, 0
        return (pattern:gsub("(%%[-+ #0]*%d*%.?%d*([%a%%]))", function(whole, kind)
            if kind == "%" then
                return "%"
            end
            used = used + 1
            local value = values[used]
            if whole == "%s" then
                return tostring(value)
            end
            return format(whole, kind == "s" and tostring(value) or value)
        end))
    end
end

if is_plain_5_1 then
    local load_function, plain_xpcall = load, xpcall

    function load(chunk, name, _, ...)
        local made, message
        if type(chunk) == "string" then
            made, message = loadstring(chunk, name)
        else
            made, message = load_function(chunk, name)
        end
        if made and select("#", ...) > 0 then
            setfenv(made, (...))
        end
        return made, message
    end

    function xpcall(f, handler, ...)
        local values, n = { ... }, select("#", ...)
        return plain_xpcall(function() return f(unpack(values, 1, n)) end, handler)
    end

    function package.searchpath(name, path)
        for template in path:gmatch "[^;]+" do
            local file = template:gsub("%?", (name:gsub("%.", "/")))
            local found = io.open(file)
            if found then
                found:close()
                return file
            end
        end
        return nil, "no " .. name .. " in " .. path
    end
end

if type(os.execute "exit 0") == "number" then
    local execute = os.execute

    function os.execute(command)
        local status = execute(command)
        if status % 128 ~= 0 then
            return nil, "signal", status % 128
        end
        return status == 0 or nil, "exit", math.floor(status / 256)
    end
end

table.unpack = table.unpack or unpack

table.pack = table.pack or function(...)
    return { n = select("#", ...), ... }
end

table.move = table.move or function(from, first, last, at, to)
    to = to or from
    if at > first and to == from then
        for i = last, first, -1 do
            to[at + i - first] = from[i]
        end
    else
        for i = first, last do
            to[at + i - first] = from[i]
        end
    end
    return to
end

if not every_lua.integers then
    math.maxinteger, math.mininteger = 2^63, -2^63 -- as near as a double gets

    -- Whole numbers up to 2^53 are those that 5.4 would have as integers in the specs.
    function math.type(value)
        if type(value) ~= "number" then
            return nil
        end
        local whole = value % 1 == 0 and math.abs(value) <= 2^53 and 1 / value ~= -math.huge
        return whole and "integer" or "float"
    end

    function math.tointeger(value)
        local whole = type(value) == "number" and value % 1 == 0 and value >= -2^63
            and value < 2^63
        return whole and value or nil
    end
end

if not string.pack then
    -- The bytes of a double, the highest first.
    local function bytes_of(value)
        local sign = (value < 0 or value == 0 and 1 / value < 0) and 128 or 0
        value = math.abs(value)
        local _, exponent = math.frexp(value)
        local biased, rest = exponent + 1022
        if value == 0 or biased < 1 then
            biased, rest = 0, math.ldexp(value, 1074)
        elseif value == math.huge then
            biased, rest = 2047, 0
        else
            rest = math.ldexp(value, 53 - exponent) - 2^52
        end
        local bytes = {}
        for i = 8, 3, -1 do
            bytes[i] = rest % 256
            rest = math.floor(rest / 256)
        end
        bytes[2] = biased % 16 * 16 + rest
        bytes[1] = sign + math.floor(biased / 16)
        return string.char(unpack(bytes))
    end

    local function double_of(bytes)
        local first, second = bytes:byte(1, 2)
        local biased, rest = first % 128 * 16 + math.floor(second / 16), second % 16
        for i = 3, 8 do
            rest = rest * 256 + bytes:byte(i)
        end
        local value
        if biased == 2047 then
            value = rest == 0 and math.huge or 0 / 0
        elseif biased == 0 then
            value = math.ldexp(rest, -1074)
        else
            value = math.ldexp(rest + 2^52, biased - 1075)
        end
        return first >= 128 and -value or value
    end

    function string.pack(format, value)
        assert(format == ">d" or format == "<d", format)
        local bytes = bytes_of(value)
        return format == ">d" and bytes or bytes:reverse()
    end

    function string.unpack(format, bytes)
        assert(format == ">d" or format == "<d", format)
        return double_of(format == ">d" and bytes or bytes:reverse())
    end
end

if not utf8 then
    utf8 = {}

    local function character(code)
        if code < 0x80 then
            return string.char(code)
        elseif code < 0x800 then
            return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
        elseif code < 0x10000 then
            return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
                0x80 + code % 64)
        end
        return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
            0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
    end

    function utf8.char(...)
        local characters = { ... }
        for i, code in ipairs(characters) do
            characters[i] = character(code)
        end
        return table.concat(characters)
    end

    function utf8.len(text)
        local count, at = 0, 1
        while at <= #text do
            local byte = text:byte(at)
            local more = byte < 0x80 and 0 or byte >= 0xF0 and 3 or byte >= 0xE0 and 2 or 1
            local follow = text:sub(at + 1, at + more)
            if byte >= 0x80 and byte < 0xC2 or byte > 0xF4 or #follow < more
                or follow:find "[^\128-\191]" then
                return nil, at
            end
            count, at = count + 1, at + more + 1
        end
        return count
    end
end

-- Whether there is `local client <close>`.
every_lua.blocks = load "local client <close> = nil" ~= nil

-- Whether the hook that the interpreter sets at Ctrl-C can be seen from a coroutine. In 5.1 it can
-- not: the main thread has it, and nothing leads there.
every_lua.interrupts_coroutines = not is_plain_5_1

-- The globals of the function that calls this (level 1), of the one that called that, and so on.
function every_lua.environment(level)
    if getfenv then
        local globals = getfenv(level + 1) -- no tail call: that is a level of its own in 5.1
        return globals
    end
    local f = debug.getinfo(level + 1, "f").func
    for i = 1, 255 do
        local name, value = debug.getupvalue(f, i)
        if name == "_ENV" or name == nil then
            return value
        end
    end
end

-- Something that calls f when it is collected.
function every_lua.finalizer(f)
    if every_lua.table_finalizers then
        return setmetatable({}, { __gc = f })
    end
    local object = newproxy(true)
    getmetatable(object).__gc = f
    return object
end

-- How the collector works: "incremental" with pause and step multiplier, "generational" with minor
-- and major multiplier, where there is that.
if not every_lua.blocks then
    local collect = collectgarbage

    function collectgarbage(how, ...)
        if how == "incremental" then
            collect("setpause", (...))
            return collect("setstepmul", (select(2, ...)))
        elseif how == "generational" then
            return collect()
        end
        return collect(how, ...)
    end
end

-- The environment variable that package.cpath is made of, before any other.
every_lua.CPATH = _VERSION == "Lua 5.1" and "LUA_CPATH"
    or "LUA_CPATH_" .. _VERSION:sub(5):gsub("%.", "_")

-- What 5.4 has `local client <close>` for. closing(object) gives it back, and object:close() is
-- called when the innermost scope ends, in whatever way: the test, or every_lua.scope within it.
local open = {}

function every_lua.closing(object)
    open[#open + 1] = object
    return object
end

-- Close what was opened since there were so many, the last one first.
local function close_down_to(count)
    while #open > count do
        table.remove(open):close()
    end
end

function every_lua.test_ended()
    close_down_to(0)
    return nil, true -- for busted: others want to hear of it too
end

function every_lua.scope(body, ...)
    local count = #open
    local results = table.pack(pcall(body, ...))
    close_down_to(count)
    if not results[1] then
        error(results[2], 0)
    end
    return table.unpack(results, 2, results.n)
end

if os.getenv "ZENLAYER_TEST_TELL" then
    require "tell_all".begin()
end

return every_lua
