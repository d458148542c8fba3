-- Clients of resty.zenlayer in an nginx, for a spec: whatever they are asked to do is a request.
--
--   local front = remote.start(box, { ca_file = false, … })   -- the pieces of gateway.lua
--   local client = front:client { max_attempts = 2 }           -- of a sandbox's options
--   local response, err = client:call("Echo", { n = 1 })      -- err: a table of the error's fields
--   local a, b = client:run("return client:call(...)", "Echo") -- a text: see chunks.lua
--   local under_way = client:begin("return client:call 'Echo'")
--   local response, err = under_way:result()
--   remote.failure({ code = …, … }, response, err)            -- as expect.failure
--   front:stop()
--   remote.with(box, { … }, function(front) … end)            -- both are stopped in any case
--
-- front.gateway is what gateway.lua gave. There is one worker, unless more are wanted.
local chunks = require "chunks"
local cjson = require "cjson"
local expect = require "expect"
local gateway = require "gateway"
local process = require "process"
local safe = require "zenlayer.safe"

local remote, client, under_way = {}, {}, {}
remote.__index, client.__index, under_way.__index = remote, client, under_way

local DIRECTIVES = [[
client_body_buffer_size 4m;
client_max_body_size 4m;
lua_socket_log_errors off;
]]

local FIRST = [[
require("chunks").client("first", require("cjson").decode([==[%s]==]))
]]

-- The box has the endpoint, and the certificates that are trusted (unless ca_file is given: a path,
-- or false for none). A client with `options` is made when a worker starts: front:first().
function remote.start(box, pieces)
    local all, locations = {}, {
        ["= /run"] = 'require("chunks").serve()',
        ["= /timer"] = 'require("chunks").serve_in_timer()',
        ["= /access"] = { access = 'require("chunks").serve()' },
        ["= /rewrite"] = { rewrite = 'require("chunks").serve()' },
    }
    for name, value in pairs(pieces or {}) do
        all[name] = value
    end
    for name, value in pairs(all.locations or {}) do
        locations[name] = value
    end
    all.locations = locations
    if all.ca_file == nil then
        all.ca_file = box.ca_file
    end
    all.ca_file = all.ca_file or nil
    all.http = DIRECTIVES .. (all.http or "")
    all.modules = all.modules or {}
    all.modules.chunks = process.read "spec/support/chunks.lua"
    local self = setmetatable({ box = box, made = 0 }, remote)
    self.options = self:complete(all.options)
    all.init_worker = FIRST:format(cjson.encode(self.options)) .. (all.init_worker or "")
    self.gateway = gateway.start(all)
    return self
end

-- The box's options, but nothing of trust: that is nginx.conf's to say.
function remote:complete(options)
    local complete = self.box:options(options)
    if not (options and options.ca_file) then
        complete.ca_file = nil
    end
    return complete
end

function remote:stop(expected)
    self.gateway:stop(expected)
end

-- Call f(front), and then stop the gateway and the box, also if it raised. `expected` are patterns
-- of errors in the log.
function remote.with(box, pieces, f, expected)
    local ok, front = pcall(remote.start, box, pieces)
    local err = front
    if ok then
        ok, err = pcall(f, front)
        local stopped, complaint = pcall(front.stop, front, expected)
        if ok then
            ok, err = stopped, complaint
        end
    end
    box:stop()
    if not ok then
        error(err, 0)
    end
end

-- The client that each worker made when it started.
function remote:first()
    return setmetatable({ front = self, name = "first", options = self.options }, client)
end

-- Another one. (Each worker makes it when it is first asked.)
function remote:client(options)
    self.made = self.made + 1
    return setmetatable({
        front = self, name = "client " .. self.made, options = self:complete(options),
    }, client)
end

local ERROR = { __tostring = function(err) return err.text end }

local function revive(value)
    if value == cjson.null then
        return nil
    elseif type(value) == "table" then
        for _, item in pairs(value) do
            if type(item) == "table" then
                revive(item)
            end
        end
        if value.is_error then
            setmetatable(value, ERROR)
        end
    end
    return value
end

-- What chunks.lua told: the results; what was raised is raised.
local function results(told)
    told = cjson.decode(told)
    if told.n == nil then
        error(revive(told.raised), 0)
    end
    for i = 1, told.n do
        told.results[i] = revive(told.results[i])
    end
    return table.unpack(told.results, 1, told.n)
end

local function body(self, text, ...)
    local values = table.pack(...)
    for i = 1, values.n do
        values[i] = values[i] == nil and cjson.null or values[i]
    end
    values.n = nil
    return cjson.encode {
        name = self.name, options = self.options, text = text,
        values = #values > 0 and values or cjson.empty_array or {},
    }
end

-- Run the text at this path ("/run"); what it returns.
function client:run_at(path, text, ...)
    local answer = self.front.gateway:post(path, body(self, text, ...))
    assert(answer.status == 200, answer.status .. ": " .. answer.body .. self.front.gateway:log())
    return results(answer.body)
end

function client:run(text, ...)
    return self:run_at("/run", text, ...)
end

-- The same, but without waiting for it.
function client:begin(text, ...)
    return setmetatable({ request = self.front.gateway:begin {
        method = "POST", path = "/run", body = body(self, text, ...),
    } }, under_way)
end

function under_way:result()
    local answer = assert(self.request:wait())
    assert(answer.status == 200, answer.status .. ": " .. answer.body)
    return results(answer.body)
end

function under_way:abort()
    self.request:abort()
end

for _, name in ipairs {
    "call", "stop_instances", "describe_instances_status", "wait_until_stopped",
} do
    client[name] = function(self, ...)
        return self:run(("return client:%s(...)"):format(name), ...)
    end
end

-- Run the text with zenlayer.safe in this process, told in the same way.
function remote.run_here(near, text, ...)
    local values = table.pack(...)
    for i = 1, values.n do
        values[i] = values[i] == nil and cjson.null or values[i]
    end
    values.n = nil
    return results(chunks.run(safe, near, text, values))
end

-- What was told, in a form that is the same for another run with other ids (id-000001, …): ids are
-- numbered as they appear, request ids are but there. Without messages that name what was local.
function remote.normal(...)
    local ids, count = {}, 0
    local function text(word)
        return (word:gsub("T%x+%-%x+%-%x+%-%x+%-%x+", "(request id)"):gsub("id%-%d+", function(id)
            count = ids[id] and count or count + 1
            ids[id] = ids[id] or "id " .. count
            return ids[id]
        end))
    end
    local function normal(value)
        if type(value) == "string" then
            return text(value)
        elseif type(value) ~= "table" then
            return value
        end
        local copy, names = {}, {}
        for name in pairs(value) do
            names[#names + 1] = name
        end
        table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
        local is_local = value.kind == "network" or value.kind == "timeout"
            or value.kind == "protocol"
        for _, name in ipairs(names) do
            local is_text = value.is_error and (name == "text" or name == "message")
            if not (is_text and is_local) then
                copy[type(name) == "string" and text(name) or name] = normal(value[name])
            end
        end
        return copy
    end
    local values = table.pack(...)
    for i = 1, values.n do
        values[i] = normal(values[i])
    end
    return values
end

local function is_told_error(value)
    return type(value) == "table" and value.is_error
end

-- As expect.failure, of an error that was told.
function remote.failure(...)
    -- Not a tail call: the complaint is to name who called this.
    local err = expect.failure_by(is_told_error, ...)
    return err
end

return remote
