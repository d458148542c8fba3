-- What the benches measure: calls of the module over the network, beside those of bench/libcurl.c.
--
--     calls.lua MODE ENDPOINT CA_FILE [name=value...]
--
-- MODE is
--     requests  print the requests that would be sent, for libcurl.c to send
--     one       calls, one after another
--     least     the same by bench/least.c
--     stop      one operation on so many ids that it makes these calls
--     jobs      jobs of one call, so many in flight as `concurrency` says
--     burst     jobs of one call, begun all at once
-- The names: ids in a call (1), calls (1), concurrency (8), warm (calls before the clock, 0),
-- times (all of it so many times, 1), latencies (a file for the seconds of each call). Prints the
-- seconds, the processor's, and the most memory (VmHWM, KiB).
local monotime = require("system").monotime
local zenlayer = require "zenlayer"

local mode, endpoint, ca_file = arg[1], arg[2], arg[3]
local given = {}
for i = 4, #arg do
    local name, value = arg[i]:match "^(%l+)=(.*)$"
    given[name] = value
end

local function number(name, default)
    return math.floor(tonumber(given[name] or default))
end

local calls, warm = number("calls", 1), number("warm", 0)
local concurrency = number("concurrency", 8)
local latencies = given.latencies and assert(io.open(given.latencies, "w"))

local function new_client()
    return zenlayer.new {
        access_key_id = "BENCHKEY",
        access_key_password = "bench-password",
        endpoint = endpoint,
        ca_file = ca_file,
        max_concurrency = concurrency,
    }
end

local function some_ids(count)
    local ids = {}
    for i = 1, count do
        ids[i] = ("instance-%08d"):format(i)
    end
    return ids
end

local function tell(seconds, processor)
    print(("seconds %.9f\nprocessor %.9f"):format(seconds, processor))
    print("hwm_kib " .. io.open("/proc/self/status"):read("*a"):match "VmHWM:%s+(%d+)")
    if latencies then
        latencies:close()
    end
end

local options = { force_shutdown = false }
local modes = {}

function modes.requests()
    local op = new_client():prepare_stop_instances(some_ids(number("ids", 1) * calls), options)
    while true do
        local step, n, request = op:step()
        if step ~= "send" then
            assert(step == "done", step)
            break
        end
        print(request.url)
        for name, value in pairs(request.headers) do
            print(name .. ": " .. value)
        end
        print("\n" .. request.body)
        op:reply(n, 200, {}, '{"requestId":"none","response":{}}')
    end
end

local function one_after_another(client)
    local ids = some_ids(number("ids", 1))
    for _ = 1, warm do
        client:stop_instances(ids, options)
    end
    local began, processor = monotime(), os.clock()
    if latencies then
        for _ = 1, calls do
            local sent = monotime()
            client:stop_instances(ids, options)
            latencies:write(("%.7f\n"):format(monotime() - sent))
        end
    else
        for _ = 1, calls do
            client:stop_instances(ids, options)
        end
    end
    tell(monotime() - began, os.clock() - processor)
end

function modes.one()
    one_after_another(new_client())
end

function modes.least()
    one_after_another(require "bench.least".new(endpoint, ca_file))
end

function modes.stop()
    local per_call = number("ids", 100)
    local ids, warm_ids = some_ids(per_call * calls), some_ids(per_call * warm)
    local began, processor = monotime(), os.clock()
    local client = new_client()
    if warm > 0 then
        client:stop_instances(warm_ids, options)
        began, processor = monotime(), os.clock()
    end
    for _ = 1, number("times", 1) do
        local request_ids = client:stop_instances(ids, options)
        assert(#request_ids == math.ceil(#ids / 100))
    end
    tell(monotime() - began, os.clock() - processor)
end

-- So many jobs, as many in flight as may be.
local function run_jobs(client, ids, count, file)
    local flying, left, in_flight = {}, count, 0
    while left > 0 or in_flight > 0 do
        while left > 0 and in_flight < concurrency do
            left, in_flight = left - 1, in_flight + 1
            flying[in_flight] = { client:submit_stop_instances(ids, options), monotime() }
        end
        if client:poll(1) < in_flight then
            for i = in_flight, 1, -1 do
                local job, sent = flying[i][1], flying[i][2]
                if job:done() then
                    assert(job:result())
                    flying[i], flying[in_flight] = flying[in_flight], nil
                    in_flight = in_flight - 1
                    if file then
                        file:write(("%.7f\n"):format(monotime() - sent))
                    end
                end
            end
        end
    end
end

function modes.jobs()
    local client, ids = new_client(), some_ids(number("ids", 1))
    run_jobs(client, ids, warm)
    local began, processor = monotime(), os.clock()
    run_jobs(client, ids, calls, latencies)
    tell(monotime() - began, os.clock() - processor)
end

function modes.burst()
    local client, ids = new_client(), some_ids(number("ids", 1))
    run_jobs(client, ids, warm)
    local began, processor = monotime(), os.clock()
    for _ = 1, number("times", 1) do
        local jobs = {}
        for i = 1, calls do
            jobs[i] = client:submit_stop_instances(ids, options)
        end
        repeat until client:poll(1) == 0
        for i = 1, calls do
            assert(jobs[i]:result())
        end
    end
    tell(monotime() - began, os.clock() - processor)
end

modes[mode]()
