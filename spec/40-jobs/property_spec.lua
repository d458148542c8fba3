-- The account of every id against what the sandbox saw: random fleets, options and faults, cut
-- short at random moments. ZENLAYER_TEST_SEED=n runs seed n alone; the dice of a seed are always
-- the same, the network's timing is not.
local every_lua = require "every_lua"
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local zenlayer = require "zenlayer"

local SEEDS = process.slowness > 1 and 8 or process.rounds(50)

local box

lazy_setup(function()
    box = sandbox.start { "--stop-seconds", "0.1", "--graceful-seconds", "0.25" }
end)

lazy_teardown(function()
    box:stop()
end)

local function set(list)
    local found = {}
    for _, item in ipairs(list) do
        found[item] = true
    end
    return found
end

-- Park and Miller's generator: the same numbers in every Lua.
local function dice(seed)
    local state = (seed * 7919 + 12345) % 2147483646 + 1
    local r = {}
    function r.number() -- in (0, 1)
        state = state * 16807 % 2147483647
        return state / 2147483647
    end
    function r.whole(low, high)
        return low + math.floor(r.number() * (high - low + 1))
    end
    function r.chance(p)
        return r.number() < p
    end
    function r.between(low, high)
        return low + r.number() * (high - low)
    end
    function r.pick(list)
        return list[r.whole(1, #list)]
    end
    for _ = 1, 5 do
        r.number()
    end
    return r
end

-- What goes wrong -----------------------------------------------------------------------------

-- Rules that never make a request that was refused look done, or one that was done look refused:
-- of such an answer no client could tell the truth.
local FAULTS = {
    function() return { fault = "rate_limit", times = 1 } end,
    function(r)
        return { fault = "status", status = r.pick { 500, 502, 503 }, act = r.chance(0.5) }
    end,
    function(r)
        return { fault = "status", status = 500, code = "INTERNAL_ERROR", act = r.chance(0.5) }
    end,
    function(r)
        return { fault = "status", status = r.pick { 400, 404, 408 },
            code = "INVALID_PARAMETER_VALUE" }
    end,
    function(r)
        return { fault = "answer", body = r.pick { "nonsense", "{}", '{"code":"ODD"}' },
            act = r.chance(0.5) }
    end,
    function(r) return { fault = "not_json", act = r.chance(0.5) } end,
    function(r) return { fault = "empty", act = r.chance(0.5) } end,
    function() return { fault = "challenge", times = 1 } end,
    function() return { fault = "blocked", times = 1 } end,
    function() return { fault = "redirect", location = "https://localhost/", times = 1 } end,
    function() return { fault = "reset_unread" } end,
    function() return { fault = "reset_before" } end,
    function() return { fault = "reset_after" } end,
    function(r) return { fault = "close_before", notify = r.chance(0.5) } end,
    function(r) return { fault = "close_after", notify = r.chance(0.5) } end,
    function(r) return { fault = "stall", seconds = r.between(0.05, 0.3), act = r.chance(0.5) } end,
    -- Never the whole answer: a connection that ends behind one may lose the next request unseen.
    function(r) return { fault = "truncate", bytes = r.whole(0, 100), act = r.chance(0.5) } end,
    function(r) return { fault = "delay", seconds = r.between(0.01, 0.2) } end,
    function(r) return { fault = "slow", chunk = r.whole(20, 80), pause = 0.005 } end,
    function(r) return { fault = "stray", bytes = "stray", after = r.pick { "same", "later" } } end,
    function() return { fault = "clock", offset = 4000, times = 1 } end,
    function() return { fault = "no_date" } end,
    function() return { fault = "chunked" } end,
    function() return { fault = "connection_close" } end,
    function() return { fault = "huge_header", bytes = 70000 } end,
}

-- Those whose answer is lost, or says nothing that can be relied on.
local SPOILS = set { "answer", "not_json", "empty", "reset_unread", "reset_before", "reset_after",
    "close_before", "close_after", "stall", "truncate", "huge_header" }

local function random_faults(r)
    local rules = {}
    for i = 1, r.pick { 0, 1, 1, 2, 3 } do
        local rule = r.pick(FAULTS)(r)
        local where = r.number()
        if where < 0.75 then
            rule.action = "StopInstances"
        elseif where < 0.9 then
            rule.action = "DescribeInstancesStatus"
        end
        if r.chance(0.5) then
            rule.requests = { r.whole(1, 3), r.whole(2, 8) }
        else
            rule.probability = r.pick { 0.05, 0.2, 0.5, 0.9 }
            rule.seed = r.whole(1, 100000)
        end
        rules[i] = rule
    end
    return rules
end

-- What is asked for ---------------------------------------------------------------------------

local ODD = { "stopped-", "missing-", "recycled-", "stuck-", "vanishing-", "stopping-",
    "create-failed-", "releasing-" }

local function random_ids(r, seed, job, most)
    local ids = {}
    local odds = r.pick { 0, 0, 0, 0.004, 0.02, 0.2, 0.9 }
    local kinds = { r.pick(ODD), r.pick(ODD) }
    for i = 1, r.chance(0.3) and r.whole(1, 3) or r.whole(1, most) do
        ids[i] = ("%sseed-%d-%d-%d"):format(r.chance(odds) and r.pick(kinds) or "", seed, job, i)
    end
    return ids
end

local function random_options(r)
    local options = { service = r.pick { "vm", "vm", "vm", "vm", "vm", "zec", "zec", "bmc" } }
    options.on_error = r.chance(0.5) and r.pick { "stop", "continue" } or nil
    options.isolate = r.chance(0.4) or nil
    options.max_attempts = r.chance(0.5) and r.whole(1, 4) or nil
    options.deadline = r.chance(0.2) and r.between(0.05, 1.5) or nil
    options.timeout = r.chance(0.15) and r.between(0.1, 0.5) or nil
    if options.service == "bmc" then
        return options
    end
    if r.chance(0.5) then
        options.wait = true
        options.wait_timeout = r.between(0.2, 1)
        options.wait_min_delay = r.between(0.01, 0.05)
        options.wait_max_delay = r.between(0.05, 0.1)
    end
    if options.wait and r.chance(0.5) then
        options.grace = r.between(0.02, 0.4)
    elseif r.chance(0.6) then
        options.force_shutdown = r.chance(0.5)
    end
    return options
end

-- Poll the jobs to their end; at a random moment cancel one of them, or close the client.
local function carry(r, client, jobs)
    local cut = r.pick { "none", "none", "none", "cancel", "cancel", "close" }
    local at = r.whole(0, r.pick { 5, 30, 100 })
    local chosen = r.pick(jobs)
    local limit = process.now() + 30 * process.slowness
    local polls = 0
    while true do
        if polls == at and cut == "cancel" then
            chosen.was_cut = chosen.handle:cancel()
        elseif polls == at and cut == "close" then
            for _, job in ipairs(jobs) do
                job.was_cut = not job.handle:done()
            end
            client:close()
            return
        end
        if client:poll(0.02) == 0 then
            return
        end
        assert(process.now() < limit, "the jobs do not end")
        polls = polls + 1
    end
end

local function run(r, seed)
    local client = every_lua.closing(box:client {
        max_concurrency = r.chance(0.5) and r.whole(1, 12) or nil,
    })
    local jobs = {}
    local blocks = r.chance(0.3)
    local count = (blocks or r.chance(0.4)) and 1 or r.whole(2, 4)
    local most = math.floor((r.chance(0.15) and 1000 or 300) / count)
    for i = 1, count do
        local job = { ids = random_ids(r, seed, i, most), options = random_options(r) }
        jobs[i] = job
        if blocks then
            job.result, job.more = client:stop_instances(job.ids, job.options)
        else
            job.handle = assert(client:submit_stop_instances(job.ids, job.options))
        end
    end
    if not blocks then
        carry(r, client, jobs)
        for _, job in ipairs(jobs) do
            assert(job.handle:done(), "a job is not done")
            job.result, job.more = job.handle:result()
        end
    end
    return jobs
end

-- What the sandbox saw ------------------------------------------------------------------------

-- Wait until it is through with every request: what is cancelled may be carried out a little later.
local function await_quiet()
    process.await(function()
        local open = 0
        for _, line in ipairs(box:journal()) do
            open = open + (line.event == "connection_opened" and 1 or 0)
                - (line.event == "connection_closed" and 1 or 0)
        end
        return open <= 0
    end, "the end of every connection", 20)
end

-- The stops in the journal: { plain = { [id] = requests }, forced = the same }, and those of which
-- nobody knows the ids.
local function read_stops(jobs)
    local graceful = {}
    for _, job in ipairs(jobs) do
        for _, id in ipairs(job.options.grace and job.ids or {}) do
            graceful[id] = true
        end
    end
    local stops = { plain = {}, forced = {}, unread = 0, by_request = {} }
    local strayed = {}
    for _, request in ipairs(box:requests()) do
        request.spoiled = SPOILS[request.fault] or request.status and tonumber(request.status) and
            request.status >= 500 or strayed[request.connection]
        strayed[request.connection] = strayed[request.connection] or request.fault == "stray"
        local ids = type(request.params) == "table" and request.params.instanceIds
        if request.action == "StopInstances" and ids then
            request.acted_on = set(type(request.acted_ids) == "table" and request.acted_ids or {})
            stops.by_request[request.request_id or false] = request
            for _, id in ipairs(ids) do
                local forced = graceful[id] and request.params.forceShutdown
                local of = forced and stops.forced or stops.plain
                of[id] = of[id] or {}
                table.insert(of[id], request)
            end
        elseif request.action == "StopInstances" then
            stops.unread = stops.unread + 1
        end
    end
    return stops
end

local function any(requests, what)
    for _, request in ipairs(requests or {}) do
        if what(request) then
            return true
        end
    end
    return false
end

local function acted_on(requests, id)
    return any(requests, function(request)
        return request.acted_on[id]
    end)
end

local function hold(condition, message, ...)
    if not condition then
        error(message:format(...), 0)
    end
end

-- The checks ----------------------------------------------------------------------------------

local function may_be_unknown(job, batch, of, stops, forced)
    local code = batch.error and batch.error.code
    if job.was_cut or stops.unread > 0 or (forced and code == "CANCELLED") then
        return true
    elseif job.options.timeout or job.options.deadline then
        return true
    end
    return any(of[batch.instance_ids[1]], function(request)
        return request.spoiled
    end)
end

local function check_batch(job, batch, stops, forced)
    local of = forced and stops.forced or stops.plain
    local failed = set(batch.failed_ids or {})
    local outcome = batch.outcome
    for _, id in ipairs(batch.instance_ids) do
        local requests = of[id] or {}
        local acted = acted_on(requests, id)
        if outcome == "accepted" then
            local answered = stops.by_request[batch.request_id or 0]
            hold(failed[id] or batch.confirmed_by == "status" or answered and answered.acted_on[id],
                "%s is accepted, but its request did not stop it", id)
            hold(not (failed[id] and acted) or batch.error and batch.error.outcome == "unknown",
                "%s is said to have failed, but was stopped", id)
        elseif outcome == "rejected" or outcome == "not_sent" then
            hold(not acted, "%s is %s, but was stopped", id, outcome)
        end
        hold(outcome ~= "not_sent" or #requests == 0, "%s is not sent, but was named", id)
        -- A batch has what it took in all; the requests of a forced stop are counted below.
        hold(forced or #requests <= batch.attempts, "%s was named %d times, in %d attempts", id,
            #requests, batch.attempts)
    end
    if outcome == "unknown" then
        hold(may_be_unknown(job, batch, of, stops, forced),
            "the batch of %s is unknown for no reason", batch.instance_ids[1])
    end
    -- What was never begun has no error; that some ids need no force any more is none.
    local fine = outcome == "accepted" and (forced or not batch.failed_ids)
    hold(outcome == "not_sent" or fine == (batch.error == nil),
        "the batch of %s is %s, its error: %s", batch.instance_ids[1], outcome,
        tostring(batch.error))
end

local function check_forced(job, batch, stops)
    local attempts, own = {}, set(batch.instance_ids)
    for _, forced in ipairs(batch.forced or {}) do
        check_batch(job, forced, stops, true)
        for _, id in ipairs(forced.instance_ids) do
            hold(own[id], "%s is stopped with force in a batch that is not its own", id)
            attempts[id] = (attempts[id] or 0) + forced.attempts
        end
    end
    for _, id in ipairs(batch.instance_ids) do
        local named = #(stops.forced[id] or {})
        hold(named <= (attempts[id] or 0), "%s was stopped with force %d times, not %d", id, named,
            attempts[id] or 0)
    end
end

local function check_ids(job, batches)
    if not job.options.isolate then
        expect.partition(job.ids, batches)
        return
    end
    local held, count = {}, 0
    for _, batch in ipairs(batches) do
        hold(#batch.instance_ids >= 1 and #batch.instance_ids <= 100, "a batch of a wrong size")
        for _, id in ipairs(batch.instance_ids) do
            hold(not held[id], "%s is in two batches", id)
            held[id] = true
            count = count + 1
        end
    end
    for _, id in ipairs(job.ids) do
        hold(held[id], "%s is in no batch", id)
    end
    hold(count == #job.ids, "the batches hold ids that nobody gave")
end

local KINDS = set { "network", "timeout", "api", "protocol", "blocked", "cancelled", "state" }
local KIND_OF = {
    CANCELLED = "cancelled", DEADLINE_EXCEEDED = "timeout", WAIT_TIMEOUT = "timeout",
    TIMEOUT = "timeout", CONNECT_TIMEOUT = "timeout", UNEXPECTED_STATE = "state",
    CONNECTION_LOST = "network", CONNECT_FAILED = "network", TLS_FAILED = "network",
    BAD_RESPONSE = "protocol", UNEXPECTED_STATUS = "protocol", RESPONSE_TOO_LARGE = "protocol",
    SECURITY_CHALLENGE = "blocked", REQUEST_BLOCKED = "blocked",
}
local RANK = { accepted = 0, not_sent = 1, rejected = 2, unknown = 3 }

local function check_error(job, err)
    hold(zenlayer.is_error(err), "no error of the module: %s", tostring(err))
    hold(KINDS[err.kind] and err.kind == (KIND_OF[err.code] or "api"), "code %s is of kind %s",
        tostring(err.code), tostring(err.kind))
    local worst = 0
    for _, batch in ipairs(err.batches) do
        local rank = RANK[batch.outcome]
        worst = math.max(worst, rank, batch.failed_ids and RANK[batch.error.outcome] or 0)
    end
    local rank = RANK[err.outcome]
    local waited = job.options.wait and rank == RANK.unknown
    hold(rank >= 1 and (rank == worst or waited), "outcome %s, but its batches come to %d: %s",
        tostring(err.outcome), worst, tostring(err))
    hold(err.code ~= "CANCELLED" or job.was_cut, "it was cancelled by nobody")
end

local function check_success(job, request_ids, batches)
    hold(#request_ids == #batches, "%d request ids of %d batches", #request_ids, #batches)
    for i, batch in ipairs(batches) do
        hold(batch.outcome == "accepted" and not batch.failed_ids and not batch.error,
            "a success with a batch that is %s", batch.outcome)
        hold(request_ids[i] == (batch.request_id or false), "request id %d is another", i)
    end
    hold(not job.was_cut, "a job that was cut short went well")
end

-- By a client of its own, and without faults: what was accepted is stopping, or stopped; what was
-- waited for is STOPPED.
local function check_states(jobs)
    box:faults {}
    local client = every_lua.closing(box:client())
    for _, job in ipairs(jobs) do
        local accepted = {}
        for _, batch in ipairs(job.batches) do
            local failed = set(batch.failed_ids or {})
            for _, id in ipairs(batch.outcome == "accepted" and batch.instance_ids or {}) do
                accepted[#accepted + 1] = not failed[id] and id or nil
            end
        end
        local statuses = #accepted > 0 and assert(client:describe_instances_status(accepted)) or {}
        for _, id in ipairs(accepted) do
            local status = statuses[id]
            if job.result and job.options.wait then
                hold(status == "STOPPED", "%s was waited for, but is %s", id, tostring(status))
            end
            hold(status == "STOPPING" or status == "STOPPED" or
                (status == nil and id:find "^vanishing%-"), "%s is accepted, but %s", id,
                tostring(status))
        end
    end
end

local function check(jobs)
    await_quiet()
    local stops = read_stops(jobs)
    for _, job in ipairs(jobs) do
        local err = job.result == nil and job.more
        if err then
            check_error(job, err)
            job.batches = err.batches
        else
            check_success(job, job.result, job.more)
            job.batches = job.more
        end
        check_ids(job, job.batches)
        for _, batch in ipairs(job.batches) do
            check_batch(job, batch, stops)
            check_forced(job, batch, stops)
        end
    end
    check_states(jobs)
end

describe("the account of every id is true", function()
    local only = math.tointeger(tonumber(os.getenv "ZENLAYER_TEST_SEED"))
    for seed = only or 1, only or SEEDS do
        it("with seed " .. seed, function()
            local ok, message = pcall(function()
                local r = dice(seed)
                box:faults(random_faults(r))
                check(every_lua.scope(run, r, seed))
            end)
            assert(ok, ("ZENLAYER_TEST_SEED=%d: %s"):format(seed, tostring(message)))
        end)
    end
end)
