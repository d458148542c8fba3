-- transcript.lua ENDPOINT CA_FILE: says what the module does on the Lua that runs this, so that it
-- can be compared with what it does on another. Every value is printed with its type, numbers as
-- integers or floats. (Where all numbers are doubles, a whole one counts as an integer: where Lua
-- has both it must be one then.)
local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

local endpoint, ca_file = arg[1], arg[2]

local show

local function show_text(text)
    text = text:gsub("0x%x+", "0x"):gsub("127%.0%.0%.1:%d%d+", "127.0.0.1:PORT")
        :gsub("after %d+ ms", "after N ms")
    return '"' .. text:gsub('[%z\1-\31\127-\255"\\]', function(c)
        return ("\\%03d"):format(c:byte())
    end) .. '"'
end

local function show_number(value)
    if value ~= value then
        return "number nan"
    elseif math.type(value) == "integer" then
        return ("integer %d"):format(value)
    end
    return ("float %.17g"):format(value)
end

-- Members in the order of their names.
local function show_members(value, seen)
    local lines = {}
    for key, item in next, value do
        lines[#lines + 1] = "[" .. show(key, seen) .. "]=" .. show(item, seen)
    end
    table.sort(lines)
    return "{" .. table.concat(lines, ",") .. "}"
end

function show(value, seen)
    seen = seen or {}
    local kind = type(value)
    if kind == "string" then
        return show_text(value)
    elseif kind == "number" then
        return show_number(value)
    elseif value == zenlayer.null then
        return "null"
    elseif zenlayer.is_error(value) then
        if seen[value] then
            return "error again"
        end
        seen[value] = true
        return "error " .. show_text(tostring(value)) .. show_members(value, seen)
    elseif kind == "table" then
        if seen[value] then
            return "table again"
        end
        seen[value] = true
        return "table" .. show_members(value, seen)
    elseif kind == "userdata" then
        return "userdata " .. show_text(tostring(value))
    elseif kind == "function" or kind == "thread" then
        return kind
    end
    return kind .. " " .. tostring(value)
end

local function say(what, ...)
    local parts = {}
    for i = 1, select("#", ...) do
        parts[i] = show((select(i, ...)))
    end
    print(what .. ": " .. table.concat(parts, ", "))
end

-- What a call came to: its results, or its error.
local function try(what, f, ...)
    say(what, pcall(f, ...))
end

local function options(more)
    local all = { access_key_id = "KEY", access_key_password = "secret", proxy = false }
    for name, value in pairs(more or {}) do
        all[name] = value
    end
    return all
end

-- Named, because they have no other text that is the same everywhere.
local VALUES = {
    { "nil", nil }, { "true", true }, { "false", false }, { "0", 0 }, { "-1", -1 },
    { "0.25", 0.25 }, { "1", 1 }, { "2^31", 2^31 }, { "2^53", 2^53 }, { "2^70", 2^70 },
    { "-2^63", -2^63 }, { "infinity", math.huge }, { "-infinity", -math.huge }, { "nan", 0 / 0 },
    { "empty text", "" },
    { "text", "x" }, { "digits", "7" }, { "NUL", "a\0b" }, { "line end", "a\r\nb" },
    { "bad UTF-8", "\255" }, { "empty table", {} }, { "list", { "a" } }, { "list of 1", { 1 } },
    { "list of 1.5", { 1.5 } }, { "table", { a = 1 } }, { "hole", { "a", nil, "c" } },
    { "mixed", { "a", b = 1 } }, { "key 1.5", { [1.5] = "a" } }, { "key true", { [true] = 1 } },
    { "function", function() end }, { "thread", coroutine.create(function() end) },
    { "file", io.stdout }, { "null", zenlayer.null }, { "empty_array", zenlayer.empty_array },
}

local CLIENT_OPTIONS = {
    "access_key_id", "access_key_password", "token", "credentials", "profile", "endpoint",
    "connect_to", "service", "api_version", "connect_timeout", "timeout", "deadline",
    "max_attempts", "max_concurrency", "max_response_bytes", "ca_file", "ca_path", "proxy",
    "user_agent", "on_event", "allow_blocking", "nonsense", "max_attempt",
}

local CALL_OPTIONS = {
    "service", "api_version", "timeout", "deadline", "max_attempts", "force_shutdown", "on_error",
    "isolate", "wait", "grace", "wait_timeout", "wait_min_delay", "wait_max_delay", "on_progress",
    "idempotent", "nonsense",
}

local function each_value(f)
    for _, pair in ipairs(VALUES) do
        f(pair[1], pair[2])
    end
end

local function told(what, result, ...)
    local line = { pcall(tostring, result) }
    say(what, line[1], line[2], ...)
end

local function module_arguments()
    for _, name in ipairs { "new", "sign" } do
        try(name .. " of nothing", zenlayer[name])
        each_value(function(text, value)
            try(name .. " of " .. text, zenlayer[name], value)
            try("safe " .. name .. " of " .. text, safe[name], value)
        end)
    end
    for _, name in ipairs(CLIENT_OPTIONS) do
        each_value(function(text, value)
            if value ~= nil then
                try(("new, %s = %s"):format(name, text), function()
                    zenlayer.new(options { [name] = value }):close()
                end)
            end
        end)
    end
    for _, name in ipairs { "access_key_id", "access_key_password", "host", "body", "timestamp",
        "content_type", "action", "api_version" } do
        each_value(function(text, value)
            local given = {
                access_key_id = "KEY", access_key_password = "secret", host = "h", body = "{}",
                timestamp = 1673361177,
            }
            given[name] = value
            try(("sign, %s = %s"):format(name, text), zenlayer.sign, given)
        end)
    end
    each_value(function(text, value)
        try("is_error of " .. text, zenlayer.is_error, value)
    end)
    try("is_error of nothing", zenlayer.is_error)
end

local METHODS = {
    "stop_instances", "describe_instances_status", "wait_until_stopped", "call", "poll", "connect",
    "sockets", "next_timeout", "close", "submit_stop_instances", "submit_wait_until_stopped",
    "submit_call", "prepare", "prepare_stop_instances", "prepare_wait_until_stopped", "pages",
}

-- Waiting outlasts that nobody answers.
local function within(name)
    return name == "wait_until_stopped" and { wait_timeout = 0.01, wait_min_delay = 0.01 } or nil
end

-- How often it looked is a matter of time.
local function waited_for(err)
    if zenlayer.is_error(err) and err.code == "WAIT_TIMEOUT" then
        return "waited"
    end
    return err
end

-- At this address nobody listens; what gets through the arguments fails as not sent.
local function client_arguments()
    local client = safe.new(options { endpoint = "https://127.0.0.1:1", max_attempts = 1 })
    local takes_ids = { call = false, submit_call = false, prepare = false, close = false,
        poll = false, connect = false, sockets = false, next_timeout = false, pages = false }
    for _, name in ipairs(METHODS) do
        try(name .. " without self", client[name])
        each_value(function(text, value)
            try(name .. " of " .. text, client[name], value)
            if name ~= "close" and name ~= "connect" then
                local ok, result, more = pcall(client[name], client, value, within(name))
                if type(result) == "userdata" then
                    told(name .. ": " .. text, result)
                    local _ = result.cancel and result:cancel()
                else
                    say(name .. ": " .. text, ok, result, waited_for(more))
                end
            end
        end)
        for _, option in ipairs(takes_ids[name] == nil and CALL_OPTIONS or {}) do
            each_value(function(text, value)
                if value ~= nil then
                    local given = within(name) or {}
                    given[option] = value
                    local result, err = client[name](client, { "a" }, given)
                    if type(result) == "userdata" then
                        told(("%s, %s = %s"):format(name, option, text), result)
                        local _ = result.cancel and result:cancel()
                    else
                        say(("%s, %s = %s"):format(name, option, text), waited_for(err))
                    end
                end
            end)
        end
    end
    for _, option in ipairs(CALL_OPTIONS) do
        each_value(function(text, value)
            if value ~= nil then
                local op, err = client:prepare("Echo", {}, { [option] = value })
                told(("prepare, %s = %s"):format(option, text), op, err)
            end
        end)
    end
    each_value(function(text, value)
        for _, name in ipairs { "pageNum", "pageSize" } do
            say(("pages, %s = %s"):format(name, text),
                client:pages("DescribeThings", { [name] = value }))
        end
        say("pages, params = " .. text, client:pages("DescribeThings", value))
    end)
    for _, list in ipairs { { "a", 1 }, { "a", "" }, { "a", "a" }, { "a", { 1 } }, { 1.5 },
        { "a", [3] = "c" }, { "a", [1.5] = "c" }, { [2^53] = "a" }, { a = "b" } } do
        say("ids", client:prepare_stop_instances(list) and "taken"
            or select(2, client:prepare_stop_instances(list)))
    end
    client:close()
    for _, name in ipairs(METHODS) do
        try(name .. " when closed", client[name], client, name:find "call" and "Echo" or nil)
    end
    told("closed", client)
end

-- What is written for params: the bytes.
local function encoding(client)
    local function body(params)
        local op, err = client:prepare("Echo", params)
        if not op then
            return err
        end
        local _, _, request = op:step()
        op:reply(1, 200, nil, '{"requestId":"T1"}')
        return request.body
    end
    local zero = 0.0
    for _, number in ipairs { 0, -1, 1, 1.0, 100, 1e2, 0.1, -0.5, 1e15, 1e16, 1e21, 1e22, 1e300,
        5e-324, 2^31, 2^52, 2^53, -2^53, 2^53 + 2, 2^64, 0.1 + 0.2, 1 / 3, math.pi, -zero,
        123456789012345, zero / zero, math.huge } do
        say(("encode %.17g"):format(math.abs(number)), body { x = number })
    end
    each_value(function(text, value)
        say("encode " .. text, body { x = value })
        say("encode in a list " .. text, body { x = { 1, value, 2 } })
        say("params " .. text, body(value))
    end)
    local deep = {}
    deep.down = { down = { deep } }
    say("encode a cycle", body(deep))
    local list = {}
    for _ = 1, 120 do
        list = { list }
    end
    say("encode depth", body { x = list })
    say("encode order", body { b = 1, a = 2, ["10"] = 3, ["9"] = 4, B = 5, [""] = 6 })
    say("encode texts", body { x = '\0\1\127"\\/\n\r\t\b\f' .. "\195\169\240\159\154\128" })
end

local ANSWERS = {
    "0", "-0", "1", "-1", "100", "100.0", "1e2", "1.5", "0.1", "9007199254740991",
    "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "-18446744073709551615",
    "123456789012345678901234567890", "1e300", "1e400", "-1e400", "5e-324", "1e-400", "true",
    "false", "null", '""', '"7"', '"a\\u0000b"',
    '"\\u00e9\\ud83d\\ude80"', "[]", "{}", "[null,1,2.0,null]", '{"a":null,"b":[{"c":null}]}',
    '{"1":1,"2":2}', "[[[[1]]]]", "01", "NaN", "Infinity", "0x10", "1.", "[1,]", "'a'", "nul", "",
    ("["):rep(120) .. ("]"):rep(120),
}

local function decoding(client)
    for _, text in ipairs(ANSWERS) do
        local op = client:prepare "Echo"
        op:step()
        op:reply(1, 200, nil, '{"requestId":"T1","response":{"x":' .. text .. "}}")
        say("decode " .. text:sub(1, 40), op:result())
    end
end

local REPLIES = {
    { 200, nil, '{"requestId":"T1","response":{"requestId":"T1"}}' },
    { 200, nil, '{"requestId":"T1"}' }, { 200, nil, '{"requestId":7}' }, { 200, nil, "[]" },
    { 200, nil, "" }, { 200, nil, "<html>" }, { 200, nil, "\255\0" },
    { 200, nil, '{"requestId":"T1","code":"ODD","message":"odd"}' },
    { 200, nil, '{"requestId":"T1","response":{"requestId":"T1","instanceIds":["i-2"]}}' },
    { 201, nil, "{}" }, { 204 }, { 301, { Location = "https://x" }, "" }, { 400, nil, "no" },
    { 400, nil, '{"requestId":"T2","code":"INVALID_PARAMETER","message":"bad \\u0001"}' },
    { 401, nil, '{"requestId":"T2","code":"AUTHFAILURE_SIGNATURE_FAILURE","message":"no"}' },
    { 403, { ["cf-mitigated"] = "challenge" }, "<html>" }, { 404, {}, '{"code":"X"}' },
    { 408, nil, "" }, { 429, { ["Retry-After"] = 7 }, "slow" }, { 429, nil, '{"code":"L"}' },
    { 429, "HTTP/1.1 429 Slow\r\nRetry-After: 3\r\n\r\n", "" }, { 451, nil, "" },
    { 500, nil, '{"code":"INTERNAL_ERROR","message":"oh","requestId":"T3"}' }, { 503, nil, "busy" },
    { 504, { ["Retry-After"] = { "9" } }, "" }, { 599, {}, "{}" },
}

local function replies()
    for _, service in ipairs { "vm", "zec", "bmc" } do
        for i, reply in ipairs(REPLIES) do
            for _, kind in ipairs { "stop", "call", "safe call" } do
                local client = safe.new(options()) -- a rate limit would hold up the others
                local op
                if kind == "stop" then
                    op = client:prepare_stop_instances({ "i-1", "i-2" }, { service = service,
                        max_attempts = 1, force_shutdown = service ~= "bmc" and false or nil })
                else
                    op = client:prepare("DoIt", { a = 1 },
                        { service = service, max_attempts = 1, idempotent = kind == "safe call" })
                end
                local what, n, request = op:step()
                say("request", what, n, request.url, request.method, request.body,
                    request.headers["X-ZC-Action"], request.headers["X-ZC-Version"],
                    request.headers["Content-Type"], request.headers.Host)
                say(("%s, %s, reply %d"):format(service, kind, i), op:reply(1, reply[1], reply[2],
                    reply[3]))
                say("then", (op:step()), op:result())
                client:close()
            end
        end
    end
    local client = safe.new(options())
    for _, sent in ipairs { true, false } do
        local op = client:prepare_stop_instances({ "i-1" }, { max_attempts = 1 })
        op:step()
        say("failed", op:failed(1, "the line is dead", sent), (op:step()))
        say("then", op:result())
    end
    -- A second attempt, and what the reports take.
    local op = client:prepare_stop_instances({ "i-1" }, { max_attempts = 2 })
    op:step()
    each_value(function(text, value)
        say("n " .. text, pcall(op.reply, op, value, 200))
        say("status " .. text, pcall(op.reply, op, 1, value))
        say("headers " .. text, pcall(op.reply, op, 9, 200, value))
        say("body " .. text, pcall(op.reply, op, 9, 200, nil, value))
        say("failed n " .. text, pcall(op.failed, op, value, "x", true))
        say("failed message " .. text, pcall(op.failed, op, 9, value, true))
        say("failed sent " .. text, pcall(op.failed, op, 9, "x", value))
        say("self " .. text, pcall(op.step, value))
        say("self of result " .. text, pcall(op.result, value))
    end)
    say("again", op:reply(1, 503, nil, "busy"))
    say("not yet", op:result())
    told("operation", op)
    client:close()
end

local function errors(client)
    local _, err = client:call ""
    -- The text of some floats is Lua's own affair: 2147483648.0 or 2147483648; nan or -nan.
    local function each_text(f)
        each_value(function(text, value)
            if type(value) ~= "number" or math.abs(value) < 2^31 then
                f(text, value)
            end
        end)
    end
    say("concat", pcall(function() return "a" .. err .. 1 end))
    each_text(function(text, value)
        say("concat with " .. text, pcall(function() return err .. value end))
        say("concat after " .. text, pcall(function() return value .. err end))
        say("tostring of " .. text, pcall(getmetatable(err).__tostring, value))
        err.message = value
        say("message " .. text, tostring(err))
    end)
    local names = {}
    for name in pairs(getmetatable(err)) do
        names[#names + 1] = name
    end
    table.sort(names)
    say("metatable", names)
end

local function live()
    local client = safe.new {
        access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
        endpoint = endpoint, ca_file = ca_file, proxy = false, max_attempts = 2,
        max_concurrency = 1,
    }
    say("connect", client:connect())
    for response, request_id in client:pages("DescribeInstances", {
        instanceIds = { "a", "b", "stopped-1" }, pageSize = 2.0,
    }) do
        say("page", response, request_id)
    end
    for response, err in client:pages "DescribeNothing" do
        say("page", response, err)
    end
    say("call", client:call("Echo", { list = { 1, 2.5, "x" }, none = zenlayer.empty_array }))
    say("stop", client:stop_instances({ "i-1", "i-2", "i-1" }, { force_shutdown = false }))
    say("missing", client:stop_instances { "i-3", "missing-1" })
    say("isolated", client:stop_instances({ "i-4", "missing-2", "i-5" }, { isolate = true }))
    local many = {}
    for i = 1, 250 do
        many[i] = "many-" .. i
    end
    say("many", client:stop_instances(many, { on_error = "continue" }))
    say("statuses", client:describe_instances_status { "i-1", "i-2", "i-9" })
    local progresses = 0
    say("waited", client:wait_until_stopped({ "i-1", "i-2" }, {
        wait_min_delay = 0.05, wait_max_delay = 0.1,
        on_progress = function(progress)
            local names = {}
            for name, value in pairs(progress) do
                names[#names + 1] = name .. " " .. (math.type(value) or type(value))
            end
            table.sort(names)
            progresses = progresses + 1 -- how many there are is a matter of time
            local _ = progresses == 1 and print("progress: " .. table.concat(names, ", "))
        end,
    }))
    local job = client:submit_call("Echo", { a = 1 })
    say("job", job:done(), job:result())
    told("job under way", job)
    say("waited for", job:wait(30), job:done())
    say("job's result", job:result())
    each_value(function(text, value)
        say("wait " .. text, pcall(job.wait, job, value))
        say("self of job " .. text, pcall(job.done, value))
        if text ~= "infinity" then
            say("poll " .. text, pcall(client.poll, client, value))
        end
    end)
    job = client:submit_call("Echo", { a = 2 })
    say("cancel", job:cancel(), job:cancel(), job:done())
    say("cancelled", job:result())
    say("sockets", #client:sockets(), client:next_timeout())
    client:close()
end

module_arguments()
client_arguments()
local client = safe.new(options())
encoding(client)
decoding(client)
replies()
errors(client)
told("client", client)
told("empty_array", zenlayer.empty_array)
live()
