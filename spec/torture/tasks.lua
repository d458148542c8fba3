-- What torture.c lets memory fail in, and what must be true afterwards. One text for every Lua; it
-- runs in states of the program's own, without spec/support.
--
-- Arguments of a task: the sandbox's endpoint, its CA file or "", its journal, its file of faults.
local cjson = require "cjson"

local jit = rawget(_G, "jit")
if jit then
    jit.off() -- what a trace allocates, and when, differs from run to run
end

local KEY_ID, PASSWORD = "SANDBOXKEY", os.getenv "TORTURE_PASSWORD"
local OUT_OF_MEMORY = "not enough memory"
local RANKS = { accepted = 0, not_sent = 1, rejected = 2, unknown = 3 }

-- Wait through a failed renewal of credentials after one point of so many: each takes a second.
local PATIENT_EACH = 10

-- --- the surroundings of one point -------------------------------------------------------------

local Point = {}
Point.__index = Point

function Point:options(more)
    local options = {
        endpoint = self.endpoint, access_key_id = KEY_ID, access_key_password = PASSWORD,
        max_attempts = 1, timeout = 25, connect_timeout = 25, deadline = 50, -- over a point's time
    }
    if self.ca_file ~= "" then
        options.ca_file, options.proxy = self.ca_file, false
        options.timeout, options.connect_timeout = 2, 2 -- see check_error
    end
    for name, value in pairs(more or {}) do
        options[name] = value or nil
    end
    return options
end

-- The client of this point, which is asked afterwards whether it still works.
function Point:new_client(more)
    self.client = self.zenlayer.new(self:options(more))
    return self.client
end

-- So many ids that no other point has.
function Point:ids(count, prefix)
    local ids = {}
    for i = 1, count do
        ids[i] = ("%sp%d-%d"):format(prefix or "", self.number, i)
    end
    return ids
end

function Point:faults(rules)
    local file = assert(io.open(self.faults_file .. ".new", "w"))
    -- The sandbox tells a new file by its time, size and inode; the size alone is sure to differ.
    file:write(rules, (" "):rep(self.number % 1000))
    file:close()
    assert(os.rename(self.faults_file .. ".new", self.faults_file))
end

-- The requests that the sandbox has got since the point began.
function Point:requests()
    local found = {}
    local file = assert(io.open(self.journal, "rb"))
    file:seek("set", self.from)
    for line in file:read("*a"):gmatch "([^\n]*)\n" do
        local request = cjson.decode(line)
        if request.seq and request.method == "POST" then
            found[#found + 1] = request
        end
    end
    file:close()
    return found
end

-- How often the sandbox has stopped each id, and the numbers of the requests that did.
function Point:acts()
    local acts, request_ids = {}, {}
    for _, request in ipairs(self:requests()) do
        if type(request.acted_ids) == "table" then
            for _, id in ipairs(request.acted_ids) do
                acts[id] = (acts[id] or 0) + 1
                request_ids[request.request_id] = true
            end
        end
    end
    return acts, request_ids
end

-- --- what must be true -------------------------------------------------------------------------

local function fail(...)
    error(("%s"):rep(select("#", ...)):format(...), 0)
end

local function is_memory(err)
    return err == OUT_OF_MEMORY
end

-- One of ours, or Lua's own about memory. Whether it is one of ours.
function Point:check_error(err)
    if is_memory(err) then
        return false
    elseif not self.zenlayer.is_error(err) then
        fail("raised ", tostring(err))
    end
    local line = tostring(err)
    if not (type(err.kind) == "string" and type(err.code) == "string" and #err.code > 0
        and type(err.message) == "string" and RANKS[err.outcome] and RANKS[err.outcome] > 0) then
        fail("an error without all its fields: ", line)
    end
    if line:find(PASSWORD, 1, true) then
        fail("a secret in ", line)
    end
    -- OpenSSL that has no memory may wait for what was there already: over TLS it is the time that
    -- ends that.
    if self.ca_file == "" and (err.code:find "TIMEOUT" and err.code ~= "WAIT_TIMEOUT"
        or err.code == "DEADLINE_EXCEEDED") then
        fail("nothing came: ", line)
    end
    return true
end

-- Each of the ids has this status, or what was raised is one of those.
function Point:check_statuses(ids, status, ok, statuses)
    if not ok then
        self:check_error(statuses)
        return
    end
    for _, id in ipairs(ids) do
        assert(statuses[id] == status, "it is not " .. status)
    end
end

local function check_batch(batch, acts, request_ids)
    local outcome = batch.outcome
    local failed = {}
    for _, id in ipairs(batch.failed_ids or {}) do
        failed[id] = true
    end
    for _, id in ipairs(batch.instance_ids) do
        local acted = acts[id] ~= nil
        if (outcome == "accepted" and not acted and not failed[id])
            or (outcome ~= "accepted" and outcome ~= "unknown" and acted) then
            fail(id, " is ", outcome, ", and was ", acted and "" or "not ", "stopped")
        end
    end
    if outcome == "accepted" and not batch.confirmed_by then
        if not request_ids[batch.request_id] then
            fail("accepted by a request that there was not: ", tostring(batch.request_id))
        elseif type(batch.response) ~= "table"
            or batch.response.requestId ~= batch.request_id then
            fail "accepted, with another answer"
        end
    elseif outcome ~= "accepted" and batch.attempts > 0 and not batch.error then
        fail("no error with a batch that is ", outcome)
    end
end

-- Every id in exactly one batch, with the truth about it.
local function check_batches(ids, batches, acts, request_ids)
    local seen, worst = {}, "accepted"
    for _, batch in ipairs(batches) do
        for _, id in ipairs(batch.instance_ids) do
            seen[id] = (seen[id] or 0) + 1
        end
        check_batch(batch, acts, request_ids)
        worst = RANKS[batch.outcome] > RANKS[worst] and batch.outcome or worst
    end
    for _, id in ipairs(ids) do
        if seen[id] ~= 1 then
            fail(id, " is in ", tostring(seen[id]), " batches")
        end
        seen[id] = nil
    end
    if next(seen) then
        fail("an id that nobody gave: ", next(seen))
    end
    return worst
end

-- What a stop of these ids returned, as pcall does.
function Point:check_stop(ids, ok, result, batches)
    local acts, request_ids = self:acts()
    if ok then
        if check_batches(ids, batches, acts, request_ids) ~= "accepted" then
            fail "it succeeded, but for a batch"
        elseif #result ~= #batches then
            fail "not as many request ids as batches"
        end
    elseif self:check_error(result) then
        if not result.batches then
            local acted = next(acts)
            if acted and result.outcome ~= "unknown" then
                fail("no batches, ", result.outcome, ", and ", acted, " was stopped")
            end
            return
        end
        local worst = check_batches(ids, result.batches, acts, request_ids)
        if RANKS[result.outcome] < RANKS[worst] then
            fail("it is ", result.outcome, ", and a batch ", worst)
        end
    end
end

-- What a call of Echo with { number = } returned.
function Point:check_echo(ok, response, request_id)
    local arrived
    for _, request in ipairs(self:requests()) do
        local params = request.params
        if request.action == "Echo" and type(params) == "table"
            and params.number == self.number then
            arrived = request
        end
    end
    if ok then
        if response.params.number ~= self.number or not arrived
            or request_id ~= arrived.request_id then
            fail "another answer than the sandbox gave"
        end
    elseif self:check_error(response) and arrived and response.outcome == "not_sent" then
        fail("not_sent, but it arrived: ", tostring(response))
    end
end

-- The client of the point works, now that there is memory.
function Point:check_client()
    if self.is_closed then
        return
    end
    local client = self.client or self:new_client()
    for attempt = 1, 3 do
        local ok, response = pcall(client.call, client, "Echo", { after = self.number })
        local code = self.zenlayer.is_error(response) and response.code
        if ok then
            if response.params.after ~= self.number then
                fail "the next call got another's answer"
            end
            return
        elseif code == "CREDENTIALS_UNAVAILABLE" and attempt == 1 then
            if self.number % PATIENT_EACH ~= 0 then
                return
            end
            client:poll(1.1) -- for so long the function is not asked again
        elseif self.ca_file == "" or code ~= "CONNECTION_LOST" and code ~= "TIMEOUT"
            or attempt == 3 then -- over TLS a connection that is there may be of no use
            fail("the next call: ", tostring(response))
        end
    end
end

-- --- the tasks ---------------------------------------------------------------------------------

-- Each is a function of a point that makes everything ready and returns act and check. What the
-- point holds is found by check, whatever act came to.
local tasks, names = {}, {}

local function task(name, begin)
    names[#names + 1] = name
    tasks[name] = begin
end

-- A loaded module half made must not stand in the way of the next attempt.
local function forget_modules()
    for _, name in ipairs { "zenlayer", "zenlayer.safe" } do
        package.loaded[name] = nil
    end
end

task("open", function(p)
    local function act()
        return require "zenlayer", require "zenlayer.safe"
    end
    return act, function(ok, module)
        if not ok then
            if not is_memory(module) and not tostring(module):find(OUT_OF_MEMORY, 1, true) then
                fail("raised ", tostring(module))
            end
            forget_modules()
        end
        p.zenlayer = require "zenlayer"
        local ids = p:ids(1)
        p:check_stop(ids, pcall(p:new_client().stop_instances, p.client, ids))
        local job = p.client:submit_call("Echo", { number = p.number })
        assert(job:wait(9))
        p:check_echo(pcall(job.result, job))
        local client = require "zenlayer.safe".new(p:options())
        local none, err = client:call("NoSuchAction")
        assert(none == nil and p.zenlayer.is_error(err) and tostring(err):find "NoSuchAction")
        client:close()
    end
end)

-- new, with these options.
local function new_task(name, options_of)
    task(name, function(p)
        local options = p:options(options_of(p))
        local new = p.zenlayer.new
        return function()
            return new(options)
        end, function(ok, client)
            if ok then
                p.client = client
            else
                p:check_error(client)
                p.client = new(options)
            end
        end
    end)
end

new_task("new", function()
    return { service = "zec", user_agent = "torture", connect_timeout = 3, max_concurrency = 20 }
end)

new_task("new_profile", function()
    return { access_key_id = false, access_key_password = false, profile = "torture" }
end)

new_task("new_credentials", function()
    return {
        access_key_id = false, access_key_password = false, on_event = function() end,
        credentials = function()
            return { access_key_id = KEY_ID, access_key_password = PASSWORD }
        end,
    }
end)

task("new_refused", function(p)
    local options = p:options { endpiont = "https://127.0.0.1" }
    local new = p.zenlayer.new
    return function()
        return tostring(select(2, pcall(new, options)))
    end, function(ok, line)
        if ok and line ~= OUT_OF_MEMORY and not line:find "nearest is 'endpoint'" then
            fail("new said ", tostring(line))
        elseif not ok then
            p:check_error(line)
        end
    end
end)

task("sign", function(p)
    local input = {
        access_key_id = KEY_ID, access_key_password = PASSWORD, host = "console.zenlayer.com",
        body = "{}", timestamp = 1700000000, action = "Echo", api_version = "2026-04-01",
    }
    local sign = p.zenlayer.sign
    local expected = sign(input).Authorization
    return function()
        return sign(input)
    end, function(ok, headers)
        if not ok then
            p:check_error(headers)
        elseif headers.Authorization ~= expected or not headers["X-ZC-Version"] then
            fail "it signed something else"
        end
        assert(sign(input).Authorization == expected)
    end
end)

-- A stop that blocks, of so many ids, and whatever else `ready` does.
local function stop_task(name, count, options, stop_options, ready)
    task(name, function(p)
        local client = p:new_client(options)
        local ids = p:ids(count)
        if ready then
            ready(p, ids)
        end
        local stop = client.stop_instances
        return function()
            return stop(client, ids, stop_options)
        end, function(...)
            p:check_stop(ids, ...)
            if p.after then
                p:after()
            end
        end
    end)
end

stop_task("stop", 1, nil, { force_shutdown = false })

stop_task("stop_again", 1, nil, nil, function(p) -- on a kept connection
    p.client:call "Echo"
end)

stop_task("stop_anew", 1, nil, nil, function(p) -- on a second connection: TLS resumes its session
    p:faults '[{ "fault": "connection_close", "action": "Echo", "times": 1 }]'
    p.client:call "Echo"
    p:faults "[]"
end)

-- Everything that an event may say, looked at; and how many of each there were.
local function count_events(p)
    p.events = {}
    for _, name in ipairs { "attempt_started", "answered", "failed", "retried", "paused",
        "credentials_renewed", "connection_opened", "batch_settled" } do
        p.events[name] = 0
    end
    return function(event)
        p.events[event.event] = p.events[event.event] + 1
    end
end

task("stop_many", function(p)
    local client = p:new_client { on_event = count_events(p), max_attempts = 2 }
    local ids = p:ids(150)
    return function()
        return client:stop_instances(ids)
    end, function(...)
        p:check_stop(ids, ...)
    end
end)

task("stop_renewed", function(p) -- with a credentials function that is asked while memory fails
    local client = p:new_client {
        access_key_id = false, access_key_password = false, on_event = count_events(p),
        credentials = function()
            return { access_key_id = KEY_ID, access_key_password = PASSWORD,
                expires_at = os.time() + 3600 }
        end,
    }
    local ids = p:ids(1)
    return function()
        return client:stop_instances(ids)
    end, function(...)
        p:check_stop(ids, ...)
    end
end)

stop_task("stop_lost", 2, { max_attempts = 3 }, nil, function(p) -- then confirmed by status
    p:faults '[{ "fault": "reset_after", "action": "StopInstances", "times": 1 }]'
    p.after = function()
        p:faults "[]"
    end
end)

stop_task("stop_limited", 2, { max_attempts = 3 }, nil, function(p)
    p:faults '[{ "fault": "status", "status": 500, "action": "StopInstances", "times": 1 }]'
    p.after = function()
        p:faults "[]"
    end
end)

task("stop_refused", function(p)
    local client = p:new_client()
    local ids = p:ids(2)
    ids[3] = p:ids(1, "missing-")[1]
    return function()
        return client:stop_instances(ids)
    end, function(ok, err, ...)
        if ok then
            fail "a batch with a bad id was accepted"
        end
        p:check_stop(ids, ok, err, ...)
        if p.zenlayer.is_error(err) and err.outcome == "rejected"
            and (err.code ~= "INVALID_INSTANCE_NOT_FOUND" or #err.batches ~= 1
            or err.batches[1].error.code ~= err.code) then
            fail("another error: ", tostring(err))
        end
    end
end)

task("stop_isolated", function(p)
    local client = p:new_client()
    local ids = p:ids(3)
    ids[4] = p:ids(1, "missing-")[1]
    return function()
        return client:stop_instances(ids, { isolate = true })
    end, function(ok, ...)
        if ok then
            fail "a batch with a bad id was accepted"
        end
        p:check_stop(ids, ok, ...)
    end
end)

-- Looks every hundredth of a second. The sandbox's instances need a moment to stop. Where memory
-- fails for good the waiting lasts until its end: looks that fail are no reason to give it up.
local WAIT_S = 0.2
local WAITING = { wait = true, wait_timeout = WAIT_S, wait_min_delay = 0.01, wait_max_delay = 0.02 }
local GRACE = {
    grace = 0.02, wait_timeout = WAIT_S, wait_min_delay = 0.01, wait_max_delay = 0.02,
    on_progress = function() end,
}

stop_task("stop_and_wait", 2, { max_attempts = 2 }, WAITING)
stop_task("stop_with_grace", 2, { max_attempts = 2 }, GRACE)

task("wait", function(p)
    local client = p:new_client()
    local ids = p:ids(3)
    client:stop_instances(ids)
    local told = 0
    local options = {
        wait_timeout = WAIT_S, wait_min_delay = 0.01, wait_max_delay = 0.02,
        on_progress = function(progress)
            told = told + progress.stopped
        end,
    }
    return function()
        return client:wait_until_stopped(ids, options)
    end, function(ok, statuses)
        p:check_statuses(ids, "STOPPED", ok, statuses)
    end
end)

task("statuses", function(p)
    local client = p:new_client()
    local ids = p:ids(110)
    return function()
        return client:describe_instances_status(ids)
    end, function(ok, statuses)
        p:check_statuses(ids, "RUNNING", ok, statuses)
    end
end)

task("call", function(p)
    local client = p:new_client()
    local params = {
        number = p.number, list = { 1, 2.5, "x", { deep = true } }, long = ("x"):rep(3000),
        none = p.zenlayer.empty_array, null = p.zenlayer.null,
    }
    return function()
        return client:call("Echo", params)
    end, function(...)
        p:check_echo(...)
    end
end)

task("connect", function(p)
    local client = p:new_client { on_event = count_events(p) }
    return function()
        return client:connect()
    end, function(ok, result)
        if ok then
            assert(result == true)
        else
            p:check_error(result)
        end
    end
end)

-- Jobs of all kinds, and one that is cancelled. What was submitted stands in the point, in places
-- that are made before.
task("jobs", function(p)
    local client = p:new_client { on_event = count_events(p), max_attempts = 2 }
    local ids, more, wait = p:ids(1, "a"), p:ids(101, "b"), p:ids(1, "stopped-")
    local params, cancelled = { number = p.number }, { cancelled = true }
    local looks = { wait_timeout = WAIT_S, wait_min_delay = 0.01 }
    local jobs = { false, false, false, false }
    return function()
        jobs[1] = client:submit_stop_instances(ids)
        jobs[2] = client:submit_call("Echo", params)
        jobs[3] = client:submit_stop_instances(more)
        jobs[4] = client:submit_wait_until_stopped(wait, looks)
        client:submit_call("Echo", cancelled):cancel()
        while client:poll(0.05) > 0 do
            client:sockets()
            client:next_timeout()
        end
    end, function(ok, err)
        if not ok then
            p:check_error(err)
        end
        for _, job in ipairs(jobs) do
            if job and not job:wait(9) then
                fail "a job that does not end"
            end
        end
        if client:poll() ~= 0 then
            fail "there are jobs that nobody has"
        end
        for i, stopped in pairs { ids, [3] = more } do
            if jobs[i] then
                p:check_stop(stopped, pcall(jobs[i].result, jobs[i]))
            elseif p:acts()[stopped[1] ] then
                fail "submit failed, and yet it was sent"
            end
        end
        if jobs[2] then
            p:check_echo(pcall(jobs[2].result, jobs[2]))
        end
    end
end)

-- Jobs whose submission fails are not sent later; those that are cancelled say so.
task("cancel", function(p)
    local client = p:new_client { on_event = count_events(p) }
    local ids = p:ids(120)
    local job = client:submit_stop_instances(ids)
    client:poll(0)
    client:poll(0)
    return function()
        job:cancel()
        return job:result()
    end, function(ok, ...)
        job:cancel()
        client:poll(0)
        if not job:done() then
            fail "it is not cancelled"
        elseif ok then
            fail "it succeeded, and was cancelled"
        end
        p:check_stop(ids, ok, ...)
        p:check_stop(ids, pcall(job.result, job))
    end
end)

task("close", function(p)
    local client = p:new_client { on_event = count_events(p) }
    local ids = p:ids(120)
    local job = client:submit_stop_instances(ids)
    client:poll(0)
    client:poll(0.01)
    p.is_closed = true
    return function()
        client:close()
        return job:done(), job:result()
    end, function(ok, ...)
        client:close()
        if not job:done() then
            fail "the client was closed, and the job goes on"
        elseif not ok then
            p:check_stop(ids, ok, ...)
        end
        p:check_stop(ids, pcall(job.result, job))
    end
end)

-- An operation whose bytes nobody moves but this: batch 1 is accepted, 2 lost and then refused, 3
-- gets an answer that is none.
local function answer(code, request_id)
    return ('{ "requestId": "%s", %s }'):format(request_id,
        code and '"code": "' .. code .. '", "message": "no"' or '"response": { "requestId": "' ..
        request_id .. '" }')
end

local ANSWERS = {
    accepted = answer(nil, "one"),
    refused = answer("INVALID_INSTANCE_NOT_FOUND", "two"),
}
local HEADERS = {
    ["Content-Type"] = "application/json",
    Date = { "Tue, 01 Jul 2026 00:00:00 GMT" },
}

-- `sent` and `told` say of each call whether it was sent and whether its report came to its end.
local function drive(op, step, sent, told)
    local began = os.clock()
    while os.clock() - began < 2 do
        local what, n = op[step](op)
        if what == "done" then
            return op:result()
        elseif what == "wait" then
            local until_s = os.clock() + n
            while os.clock() < until_s do end
        elseif what == "send" then
            local is_first = not sent[n]
            sent[n] = true
            if n == 1 then
                op:reply(n, 200, HEADERS, ANSWERS.accepted)
            elseif n == 2 and is_first then
                op:failed(n, "gone", true)
            elseif n == 2 then
                op:reply(n, 404, nil, ANSWERS.refused)
            else
                op:reply(n, 302, "content-type: text/html\n", "<html>")
            end
            told[n] = is_first
        end
    end
    error("it does not end", 0)
end

-- What batch n may be.
local function check_prepared(n, outcome, sent, told)
    local expected = { "accepted", "unknown", "rejected" }
    if not sent[n] and outcome ~= "not_sent" or told[n] and outcome ~= expected[n]
        or sent[n] and not told[n] and outcome ~= expected[n] and outcome ~= "unknown" then
        fail("batch ", tostring(n), " is ", outcome, sent[n] and ", sent" or "",
            told[n] and ", told" or "")
    end
end

local function prepared_task(name, step)
    task(name, function(p)
        local client = p:new_client {
            max_attempts = 2, on_event = count_events(p), access_key_id = false,
            access_key_password = false, credentials = function()
                return { token = os.getenv "TORTURE_TOKEN" }
            end,
        }
        local ids = p:ids(250)
        local sent, told = { false, false, false }, { false, false, false }
        return function()
            p.op = client:prepare_stop_instances(ids, { on_error = "continue" })
            return drive(p.op, step, sent, told)
        end, function(ok, err)
            if ok then
                fail "it succeeded"
            end
            if p.op then -- to its end, with memory; what could not be told is told now
                for n = 1, 3 do
                    p.op:failed(n, "not enough memory", true)
                end
                err = select(2, pcall(drive, p.op, step, sent, told))
            end
            if p:check_error(err) and err.batches then
                for n, batch in ipairs(err.batches) do
                    check_prepared(n, batch.outcome, sent, told)
                end
            end
        end
    end)
end

prepared_task("prepared", "step")
prepared_task("prepared_http", "step_http")

task("prepared_pages", function(p)
    local client = p:new_client()
    local page = '{ "requestId": "%d", "response": { "totalCount": 3, "dataSet": [ { "instanceId": '
        .. '"a%d", "instanceStatus": "RUNNING" } ] } }'
    local pages = { page:format(1, 1), page:format(2, 2), page:format(3, 3) }
    local function pages_to_end()
        while true do
            local what, n = p.op:step()
            if what == "done" then
                return p.op:result()
            end
            p.op:reply(n, 200, nil, pages[n])
        end
    end
    return function()
        p.op = client:prepare_describe_instances_status()
        return pages_to_end()
    end, function(ok, statuses)
        if not ok then
            p:check_error(statuses)
        elseif statuses.a1 ~= "RUNNING" or statuses.a3 ~= "RUNNING" then
            fail "not the statuses of all pages"
        end
    end
end)

-- --- what torture.c asks for -------------------------------------------------------------------

-- Lua 5.4's long buffers have a metatable that is left half made if memory runs out just then: it
-- is made here.
local function make_buffer()
    return ("x"):rep(10000)
end

-- Where a file ends, after a whole line: the last one may just be being written.
local function end_of(path)
    local file = assert(io.open(path, "rb"))
    local at, last
    repeat
        at = file:seek "end"
        last = at == 0 or file:seek("set", at - 1) and file:read(1) == "\n"
    until last
    file:close()
    return at
end

local function begin(name, number, endpoint, ca_file, journal, faults_file)
    local p = setmetatable({
        number = number, endpoint = endpoint, ca_file = ca_file, journal = journal,
        faults_file = faults_file,
    }, Point)
    make_buffer()
    if name ~= "open" then
        p.zenlayer = require "zenlayer"
    end
    p.from = end_of(journal)
    local act, check = tasks[name](p)
    return act, function(...)
        collectgarbage()
        check(...)
        p:check_client()
        if not p.is_closed then
            p.client:close()
        end
        collectgarbage()
    end
end

return { names = names, begin = begin }
