-- A script that means harm: whatever the module is given is odd or bites, whatever the module calls
-- raises, yields, closes or calls again, and the garbage collector comes at any moment. Run by
-- hostile_spec.lua as a program of its own:
--
--   mischief.lua ENDPOINT SEED ROUNDS
--
-- Each round is random, but the same for a seed, as far as the network is. What may come of a call:
-- results, an error of the module's, what this script raised itself, or one of Lua's own words
-- (LUA_SAYS). Anything else ends the program; and so does a crash. At its end it prints how often
-- each of these came.
local every_lua = require "every_lua"
local process = require "process"
local raising, safe = require "zenlayer", require "zenlayer.safe"
local core = require "zenlayer.core"

local ENDPOINT, SEED, ROUNDS = arg[1], math.tointeger(tonumber(arg[2])), tonumber(arg[3])
local DEPTH_MOST = 3 -- of calls within what a call calls
local MODULES = { raising, safe, core }

--- dice -------------------------------------------------------------------------------------------

-- Park and Miller's generator: the same numbers in every Lua.
local state = (SEED * 7919 + 12345) % 2147483646 + 1

local function number()
    state = state * 16807 % 2147483647
    return state / 2147483647
end

local function whole(low, high)
    return low + math.floor(number() * (high - low + 1))
end

local function chance(p)
    return number() < p
end

local function pick(list)
    return list[whole(1, #list)]
end

for _ = 1, 5 do
    number()
end

--- what came --------------------------------------------------------------------------------------

local told = {}

local function tell(what)
    told[what] = (told[what] or 0) + 1
end

local MINE = setmetatable({}, { __tostring = function() return "mine" end })

-- What Lua says by itself of such scripts.
local LUA_SAYS = {
    "^mine", "attempt to", "yield", "coroutine", "resume", "stack overflow", "too many",
    "not enough memory", "'next'", "__gc", "error in error handling", "invalid option",
    "unable to dump", "protected metatable", "table index is", "must return", "bad argument",
    "cannot close", "interrupted!", "length is not an integer", "expected an error",
    "chain too long", "loop in [gs]ettable",
}

local function check(ok, first, second)
    local err = not ok and first or first == nil and second or nil
    if ok and err == nil then
        return tell "results"
    elseif raising.is_error(err) then
        assert(type(tostring(err)) == "string")
        return tell "errors of the module"
    elseif rawequal(err, MINE) or not ok and type(err) ~= "string" then
        return tell "errors of the script"
    elseif ok then
        return tell "results" -- what an iterator or a script's function gave
    end
    for _, pattern in ipairs(LUA_SAYS) do
        if err:find(pattern) then
            return tell "words of Lua"
        end
    end
    io.stderr:write("unexpected: ", err, "\n")
    os.exit(3, false)
end

--- things -----------------------------------------------------------------------------------------

-- What there is to get at: clients, jobs, operations, iterators, errors, tables that are in use.
local things = { client = {}, job = {}, op = {}, pages = {}, err = {}, table = {}, thread = {} }
local depth = 0
local mischief -- a random deed; defined below

local function keep(kind, thing)
    if thing ~= nil and thing ~= false then
        local list = things[kind]
        list[#list < 12 and #list + 1 or whole(1, 12)] = thing
    end
    return thing
end

local function any(kind)
    return pick(things[kind])
end

-- A function of the script's, that the module calls.
local function trap()
    local returns = pick { "nothing", "number", "text", "table", "more" }
    return function(...)
        tell "traps"
        mischief()
        if returns == "number" then
            return whole(-5, 1000000)
        elseif returns == "text" then
            return ("x"):rep(whole(0, 100))
        elseif returns == "table" then
            return keep("table", {})
        elseif returns == "more" then
            return ...
        end
    end
end

-- What a finalizer raises, 5.2 and 5.3 raise wherever it runs: not outside of the rounds. LuaJIT
-- does so too, and may then crash by itself. Some a round are enough: each may collect, and so run
-- others.
local finalizers_left = 0

local function gently(f)
    return function(...)
        finalizers_left = finalizers_left - 1
        if finalizers_left < 0 then
            return nil
        elseif depth == 0 or every_lua.is_luajit then
            return pcall(f, ...)
        end
        return f(...)
    end
end

local METAMETHODS = { "__index", "__newindex", "__pairs", "__ipairs", "__len", "__tostring",
    "__close", "__eq", "__lt", "__le", "__concat", "__call", "__unm", "__name", "__gc",
    "__metatable" }

local function bite(value)
    local metatable = {}
    for _, name in ipairs(METAMETHODS) do
        if chance(0.4) then
            metatable[name] = name == "__gc" and gently(trap()) or trap()
        end
    end
    if chance(0.3) then
        metatable.__name = pick { 5, ("n"):rep(10000), true, "a\0b" }
    end
    if chance(0.2) and _VERSION ~= "Lua 5.2" then -- its collector may not end then
        metatable.__mode = pick { "k", "v", "kv", 1 }
    end
    if chance(0.2) then
        metatable.__index = value
    end
    return keep("table", setmetatable(value, metatable))
end

local TEXTS = { "", "a", "id-1", "missing-1", "stopped-1", "a\0b", "\255\254", "\r\nX: y", "é",
    ("x"):rep(600), ("y"):rep(70000), "DescribeInstances", "StopInstances", "Echo", "NaN", "0",
    "%s%n%p", "vm", "zec", "bmc" }
local NUMBERS = { 0, 1, -1, 2, 0.5, 1e308, -1e308, 0 / 0, 1 / 0, -1 / 0, 2^31, 2^53, 2^63, 3 }

local function text()
    if chance(0.01) then
        return ("z"):rep(1024 * 1024)
    end
    return pick(TEXTS)
end

-- Any value at all.
local function oddity(level)
    level = level or 0
    local kind = whole(1, level > 3 and 6 or 14)
    if kind == 1 then
        return nil
    elseif kind == 2 then
        return chance(0.5)
    elseif kind == 3 then
        return pick(NUMBERS)
    elseif kind <= 5 then
        return text()
    elseif kind == 6 then
        return trap()
    elseif kind == 7 then
        return coroutine.create(trap())
    elseif kind == 8 then
        return any(pick { "client", "job", "op", "pages", "err", "table" })
    elseif kind == 9 then
        return io.stdout
    elseif kind == 10 then
        return pick { raising.null, raising.empty_array, MINE }
    end
    local made = {}
    for i = 1, whole(0, 4) do
        made[chance(0.5) and i or text()] = oddity(level + 1)
    end
    if chance(0.1) then
        made[#made + 1] = made
    end
    return chance(0.4) and bite(made) or keep("table", made)
end

local function maybe(value)
    if chance(0.12) then
        return oddity()
    end
    return value
end

local function ids()
    local list, r = {}, number()
    local count = r < 0.02 and 2000 or r < 0.05 and 250 or whole(0, 5)
    for i = 1, count do
        list[i] = chance(0.9) and pick { "id-", "stopped-", "missing-" } .. i
            or maybe(chance(0.5) and text() or "id-" .. i)
    end
    return chance(0.3) and bite(list) or keep("table", list)
end

-- Options that are mostly good, so that calls get somewhere.
local OPTIONS = {
    service = { "vm", "zec", "bmc" }, timeout = { 0.05, 1, 5 }, deadline = { 0.01, 0.1, 5 },
    max_attempts = { 1, 2 }, force_shutdown = { true, false }, isolate = { true, false },
    wait = { true, true, false }, grace = { 0.01 }, wait_timeout = { 0.05, 0.2 },
    wait_min_delay = { 0.01 }, wait_max_delay = { 0.02 }, on_error = { "stop", "continue" },
    idempotent = { true, false }, api_version = { "2026-04-01" },
}
local OF_STOP = { "service", "timeout", "deadline", "max_attempts", "force_shutdown", "isolate",
    "wait", "grace", "wait_timeout", "wait_min_delay", "wait_max_delay", "on_error" }
local OF_WAIT = { "timeout", "max_attempts", "wait_timeout", "wait_min_delay", "wait_max_delay" }
local OF_CALL = { "service", "timeout", "deadline", "max_attempts", "idempotent" }

local function options(names)
    local waits = names ~= OF_CALL
    if chance(0.1) then
        local value = oddity()
        if type(value) ~= "table" and (value ~= nil or not waits) then
            return value
        end
    end
    local made = {}
    for _, name in ipairs(names) do
        if chance(0.25) then
            made[name] = maybe(pick(OPTIONS[name]))
        end
    end
    if names == OF_WAIT or waits and (made.wait or made.grace) then
        made.on_progress = chance(0.7) and trap() or nil
        made.wait_timeout = made.wait_timeout or 0.1
    end
    return chance(0.2) and bite(made) or keep("table", made)
end

local function new_client()
    local module = pick(MODULES)
    local made = { endpoint = maybe(ENDPOINT), timeout = 2, deadline = 3 }
    if chance(0.5) then
        made.access_key_id, made.access_key_password = "SANDBOXKEY", "sandbox-password"
    else
        local bad = trap()
        made.credentials = function()
            if chance(0.5) then
                mischief()
            end
            if chance(0.3) then
                return bad()
            end
            local given = { access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
                expires_at = chance(0.5) and os.time() + whole(1, 100) or nil }
            if chance(0.2) then
                given[text()] = oddity()
            end
            return chance(0.3) and bite(given) or keep("table", given)
        end
    end
    made.on_event = chance(0.6) and trap() or nil
    made.max_attempts = chance(0.5) and whole(1, 3) or nil
    made.max_concurrency = chance(0.5) and whole(1, 4) or nil
    local ok, client, err = pcall(module.new, chance(0.2) and bite(made) or made)
    check(ok, client, err)
    return ok and keep("client", client) or nil
end

--- deeds ------------------------------------------------------------------------------------------

local function results(kind, ok, first, second)
    check(ok, first, second)
    if ok and first then
        keep(kind, first)
    end
    keep("err", not ok and type(first) == "table" and first or type(second) == "table" and second)
    return ok and first or nil
end

local function self(kind)
    return chance(0.03) and oddity() or any(kind)
end

-- Call a method of whatever it is, if it has it.
local function call(kind, object, name, ...)
    local methods = debug.getmetatable(any(kind)).__index
    local f = rawget(methods, name)
    if not f then
        return nil
    end
    return results(name:find "^submit" and "job" or name:find "pages" and "pages"
        or name:find "^prepare" and "op" or "table", pcall(f, object, ...))
end

local function params()
    local made = { n = maybe(1), list = maybe { 1, 2, 3 } }
    if chance(0.2) then
        made[text()] = oddity()
    end
    return maybe(chance(0.2) and bite(made) or made)
end

local function action()
    return maybe(pick { "Echo", "DescribeInstances", "StopInstances", "DescribeInstancesStatus" })
end

local function seconds()
    return pick { 0, 0, 0, 0.001, 0.02, nil, -1, 0 / 0, "x", {}, 2^40 }
end

local deeds = {}

function deeds.stop()
    call("client", self "client", pick { "stop_instances", "submit_stop_instances",
        "prepare_stop_instances" }, maybe(ids()), options(OF_STOP))
end

function deeds.wait()
    call("client", self "client", pick { "wait_until_stopped", "submit_wait_until_stopped",
        "prepare_wait_until_stopped" }, maybe(ids()), options(OF_WAIT))
end

function deeds.status()
    call("client", self "client", pick { "describe_instances_status",
        "prepare_describe_instances_status" }, maybe(ids()), options(OF_CALL))
end

function deeds.call()
    call("client", self "client", pick { "call", "submit_call", "prepare" }, action(), params(),
        options(OF_CALL))
end

function deeds.pages()
    call("client", self "client", pick { "pages", "prepare_pages" }, action(),
        maybe { pageSize = maybe(pick { 1, 2, 100 }) }, options(OF_CALL))
end

function deeds.next_page()
    local pages = any "pages"
    if type(pages) == "function" then
        results("table", pcall(pages))
    elseif pages then
        call("pages", pages, pick { "prepare", "take" }, maybe {})
    end
end

function deeds.poll()
    call("client", self "client", "poll", seconds())
end

function deeds.look()
    local client = self "client"
    call("client", client, pick { "sockets", "next_timeout", "connect" })
    check(pcall(tostring, client))
end

function deeds.job()
    call("job", self "job", pick { "done", "result", "cancel" })
    call("job", self "job", "wait", seconds())
end

function deeds.operation()
    local op = self "op"
    local ok, step, n = pcall(rawget(debug.getmetatable(any "op").__index,
        pick { "step", "step_http" }), op)
    check(ok, step, n)
    if ok and step == "send" and chance(0.7) then
        local body = pick { '{"requestId":"T1","response":{}}', "{}", "", '{"code":"X"}',
            '{"requestId":"T1","response":{"dataSet":[{"instanceId":"id-1",'
                .. '"instanceStatus":"STOPPED"}],"totalCount":1}}', text() }
        local headers = maybe { Date = maybe "x", ["Retry-After"] = maybe { "1", 2 } }
        call("op", op, "reply", maybe(n), maybe(pick { 200, 404, 429, 500 }),
            chance(0.3) and type(headers) == "table" and bite(headers) or headers, maybe(body))
    elseif ok and step == "send" then
        call("op", op, "failed", maybe(n), maybe "lost", maybe(chance(0.5)), maybe "TIMEOUT")
    end
    call("op", self "op", pick { "result", "cancel" })
end

function deeds.sign()
    local module = pick(MODULES)
    local made = { access_key_id = maybe "a", access_key_password = maybe "b", host = maybe "h",
        body = maybe(text()), timestamp = maybe(1) }
    results("table", pcall(module.sign, maybe(chance(0.3) and bite(made) or made)))
end

function deeds.close()
    if chance(0.3) then
        local client = self "client"
        call("client", client, "close")
    elseif chance(0.2) then
        local kind = pick { "client", "job", "op" }
        local metatable = debug.getmetatable(any(kind))
        local f = type(metatable) == "table" and rawget(metatable, pick { "__gc", "__close" })
        if f and depth == 1 then -- not what is being used
            check(pcall(f, maybe(any(kind))))
        end
    end
end

function deeds.new()
    new_client()
end

-- What an error has become must not matter to the module.
function deeds.error()
    local err = any "err"
    if type(err) ~= "table" then
        return
    end
    for name in pairs(chance(0.3) and getmetatable(err) == nil and {} or
        { code = 1, message = 1, batches = 1, outcome = 1, hint = 1 }) do
        if chance(0.3) then
            rawset(err, name, oddity())
        end
    end
    check(pcall(tostring, err))
    check(pcall(function() return err .. "x" .. err end))
    check(pcall(raising.is_error, err))
    check(pcall(error, err))
end

function deeds.collect()
    local how = whole(1, 6)
    if how == 1 then
        collectgarbage()
    elseif how == 2 then
        collectgarbage("incremental", whole(60, 200), whole(100, 1000), 13)
    elseif how == 3 then
        collectgarbage("generational", 5, 20)
    else
        collectgarbage "step"
    end
end

-- Change something that may be in use.
function deeds.change()
    local victim = any "table"
    if type(victim) == "table" then
        check(pcall(function()
            for _ = 1, whole(1, 50) do
                rawset(victim, chance(0.5) and whole(1, 5) or ("k" .. whole(1, 1000)), oddity())
            end
            local name = next(victim)
            if name ~= nil and chance(0.5) then
                rawset(victim, name, nil)
            end
        end))
    end
end

function deeds.finalizer()
    every_lua.finalizer(gently(function() mischief() end))
end

-- A coroutine that is left in the middle of something, and collected some time.
function deeds.coroutine()
    local thread = coroutine.create(function()
        mischief()
        coroutine.yield()
        mischief()
    end)
    things.thread[whole(1, 5)] = thread
    check(coroutine.resume(thread))
    local other = any "thread"
    if other and coroutine.status(other) == "suspended" then
        check(coroutine.resume(other))
        if coroutine.close and chance(0.3) and coroutine.status(other) ~= "normal" then
            check(pcall(coroutine.close, other))
        end
    end
end

function deeds.hook()
    local count = whole(1, 40)
    debug.sethook(function()
        count = count - 1
        if count <= 0 or depth == 0 then
            debug.sethook()
            return depth > 0 and mischief()
        end
    end, pick { "c", "r", "l" })
end

-- Values without a metatable of their own get one that bites, for a while.
function deeds.metatables()
    local value = pick { 1, true, print, coroutine.create(print) }
    local before = debug.getmetatable(value)
    debug.setmetatable(value, { __index = trap(), __tostring = trap(), __call = trap(),
        __len = trap(), __concat = trap() })
    check(pcall(mischief))
    debug.setmetatable(value, before)
end

-- For a moment it is none of the module's.
function deeds.stripped()
    local object = any(pick { "client", "job", "op" })
    if type(object) == "userdata" then
        local before = debug.getmetatable(object)
        debug.setmetatable(object, chance(0.5) and { __index = trap(), __gc = gently(trap()) }
            or nil)
        local f = rawget(before.__index, pick { "call", "result", "step", "close", "poll" })
        check(pcall(f or tostring, object))
        debug.setmetatable(object, before)
    end
end

function deeds.dump()
    check(pcall(string.dump, raising.new))
    check(pcall(string.dump, trap()))
end

function deeds.raise()
    if depth > 1 then
        local odd = setmetatable({}, { __tostring = trap() })
        error(pick { MINE, "mine", odd, any "err" or MINE }, 0)
    end
end

function deeds.yield()
    if depth > 1 then
        coroutine.yield(oddity())
    end
end

local NAMES = {}
for name in pairs(deeds) do
    NAMES[#NAMES + 1] = name
end
table.sort(NAMES)

function mischief()
    if depth >= DEPTH_MOST then
        return
    end
    depth = depth + 1
    local ok, err = pcall(deeds[pick(NAMES)])
    depth = depth - 1
    if not ok then
        error(err, 0)
    end
end

--- the rounds -------------------------------------------------------------------------------------

local function fill()
    while #things.client < 2 do
        new_client()
    end
    pcall(function()
        local client = core.new { access_key_id = "a", access_key_password = "b",
            endpoint = ENDPOINT }
        keep("op", client:prepare_stop_instances { "id-1" })
        keep("job", raising.new {
            access_key_id = "a", access_key_password = "b", endpoint = ENDPOINT,
        }:submit_call "Echo")
    end)
end

for round = 1, ROUNDS do
    if round % 25 == 1 then -- not to drag all along
        collectgarbage("incremental", 200, 100, 13)
        for kind in pairs(things) do
            things[kind] = {}
        end
        things.err[1] = select(2, pcall(raising.new, 1))
        things.table[1] = {}
    end
    depth, finalizers_left = 0, 10
    local began = process.now()
    check(pcall(function()
        fill()
        for _ = 1, 3 do
            mischief()
        end
    end))
    debug.sethook()
    if process.now() - began > 30 * process.slowness then
        io.stderr:write("round ", round, " took too long\n")
        os.exit(4, false)
    end
end
depth = DEPTH_MOST -- finalizers do nothing more
for kind in pairs(things) do
    things[kind] = {}
end
pcall(collectgarbage)
for what, times in pairs(told) do
    print(times .. " " .. what)
end
