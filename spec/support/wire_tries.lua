-- Calls over connections that wire.py spoils: a text for wire.lua, which runs it in nginx
-- (chunks.lua) and in a spec's own process, there as a coroutine. It is given
-- { control =, options = (both of new), lane =, tries = { … } }, and tells what came of each try:
-- see wire.lua.
-- luacheck: std ngx_lua, read globals zenlayer
local given = ...
local control = assert(zenlayer.new(given.control))
local now

if ngx then
    function now()
        ngx.update_time()
        return ngx.now()
    end
else
    now = require("process").now
end

-- In a spec's process as jobs, so that many tries are at once.
local function carry(client, method, ...)
    if ngx then
        return client[method](client, ...)
    end
    local job = assert(client["submit_" .. method](client, ...))
    while not job:done() do
        client:poll(0)
        coroutine.yield()
    end
    return job:result()
end

local function tell(try, result, more)
    if result == nil then
        local told = { is_error = zenlayer.is_error(more), message = tostring(more) }
        for _, name in ipairs { "kind", "code", "outcome", "attempts", "request_id" } do
            told[name] = told.is_error and more[name] or nil
        end
        return told
    end
    local batch = try.call == "stop" and more[1]
    return {
        outcome = "accepted", attempts = batch and batch.attempts or 1,
        request_id = batch and batch.request_id or not batch and more or nil,
        confirmed_by = batch and batch.confirmed_by or nil,
    }
end

local function seen()
    return assert(control:call("Seen", { lane = given.lane })).connections
end

local function carry_out(try)
    assert(control:call("Arm", {
        lane = given.lane, way = try.way, at = try.at, how = try.how, mask = try.mask,
        whole = try.whole,
    }))
    local client = assert(zenlayer.new(given.options))
    if try.reused and not carry(client, "call", "Echo", { n = 0 }) then
        client:close()
        return { is_missed = true } -- it was longer than the one that was measured
    end
    local before = not try.how and seen()[1] or nil
    local began = now()
    local told = try.call == "stop"
        and tell(try, carry(client, "stop_instances", { try.id }, try.with))
        or tell(try, carry(client, "call", "Echo", { name = try.id }, try.with))
    told.seconds = now() - began
    told.before, told.behind = before, not try.how and seen()[1] or nil
    -- Whatever it was, it is over with the next call. That one's connection is not kept.
    local response, problem = carry(client, "call", "Echo", { after = try.id },
        { service = "zec" })
    told.after = response and response.params.after == try.id
    told.problem = not response and tostring(problem) or nil
    told.connections = seen()
    client:close()
    return told
end

local all = {}
for i, try in ipairs(given.tries) do
    all[i] = carry_out(try)
end
control:close()
return all
