-- Runs a text of Lua with a client, and tells what came of it as JSON: within nginx (remote.lua)
-- and in a spec's own process alike, so that both can be compared. For Lua 5.4 and LuaJIT.
--
-- The text sees `client`, `zenlayer` and whatever is global, and gets its values as `...`. What it
-- returns is told as { n = how many, [1] =, … }, what it raises as { raised = }. An error of
-- zenlayer's is told as a table with its fields, and `text`, its line for a log.
-- luacheck: std ngx_lua
local cjson = require "cjson"

local chunks = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local function pack(...)
    return { n = select("#", ...), ... }
end

local function plain(value, zenlayer, above)
    if value == zenlayer.null then
        return cjson.null
    elseif type(value) == "table" then
        local copy = {}
        for _, each in ipairs(above) do
            if each == value then
                return "itself"
            end
        end
        above[#above + 1] = value
        for key, item in next, value do
            copy[key] = plain(item, zenlayer, above)
        end
        above[#above] = nil
        if zenlayer.is_error(value) then
            copy.text, copy.is_error = tostring(value), true
        end
        return copy
    elseif type(value) == "string" or type(value) == "boolean" then
        return value
    elseif type(value) == "number" and value == value and math.abs(value) < math.huge then
        return value
    end
    return tostring(value):gsub("0x%x+", "0x") .. " (" .. type(value) .. ")"
end

local function tell(zenlayer, ok, ...)
    if not ok then
        return cjson.encode { raised = plain((...), zenlayer, {}) }
    end
    local results = pack(...)
    local told = { n = results.n, results = {} }
    for i = 1, results.n do
        told.results[i] = results[i] == nil and cjson.null or plain(results[i], zenlayer, {})
    end
    return cjson.encode(told)
end

-- values: a list, whose nils are JSON's null.
function chunks.run(zenlayer, client, text, values)
    local environment = setmetatable({ client = client, zenlayer = zenlayer }, { __index = _G })
    local chunk = assert(load(text, "=text", "t", environment))
    local given = {}
    for i = 1, #values do
        given[i] = values[i] ~= cjson.null and values[i] or nil
        if values[i] == false then
            given[i] = false
        end
    end
    return tell(zenlayer, pcall(chunk, unpack(given, 1, #values)))
end

--- within nginx ----------------------------------------------------------------------------------

local clients = {}

-- A client of resty.zenlayer that is known by a name from now on. → client | nil, err
function chunks.client(name, options)
    if not clients[name] then
        local client, err = require("resty.zenlayer").new(options)
        if not client then
            return nil, err
        end
        clients[name] = client
    end
    return clients[name]
end

-- Run the text that a request's body (JSON) describes: { name =, options =, text =, values = }.
function chunks.answer(body)
    local zenlayer = require "resty.zenlayer"
    local asked = cjson.decode(body)
    local client, err = chunks.client(asked.name, asked.options)
    if not client then
        return tell(zenlayer, true, nil, err)
    end
    return chunks.run(zenlayer, client, asked.text, asked.values)
end

-- For a request: in its content phase, or before that.
function chunks.serve()
    ngx.req.read_body()
    ngx.print(chunks.answer(ngx.req.get_body_data()))
    ngx.exit(ngx.HTTP_OK)
end

-- The same in a timer.
function chunks.serve_in_timer()
    ngx.req.read_body()
    local body, done, told = ngx.req.get_body_data(), require("ngx.semaphore").new(0), nil
    assert(ngx.timer.at(0, function()
        told = chunks.answer(body)
        done:post()
    end))
    assert(done:wait(60))
    ngx.print(told)
end

return chunks
