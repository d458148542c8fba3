-- What bench/soak.py measures: many calls of one client, one after another. Once they are made it
-- makes some more for each number that it reads, and tells how many microseconds of processor time
-- one took; where its input ends, it tells what became of memory and descriptors.
--
--     soak.lua ENDPOINT CA_FILE CALLS WARM_AFTER
local safe = require "zenlayer.safe"

local endpoint, ca_file, calls, warm_after = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
local made, faults, accepted, retries = 0, 0, 0, 0

local client = assert(safe.new {
    access_key_id = "SOAKKEY", access_key_password = "soak-password",
    endpoint = endpoint, ca_file = ca_file,
    on_event = function(event)
        local ends = event.event == "answered" or event.event == "failed"
        retries = retries + (event.event == "retried" and 1 or 0)
        faults = faults + (ends and event.code and 1 or 0)
    end,
})

local KINDS = {
    function() return client:stop_instances({ "a" }, { force_shutdown = false }) end,
    function() return client:call("DescribeInstances", { pageSize = 10, name = "x" }) end,
    function() return client:describe_instances_status { "a" } end,
    function()
        local job = client:submit_stop_instances { "a", "b" }
        while client:poll(1) > 0 do end
        return job:result()
    end,
    function() return nil, select(2, client:stop_instances { "" }) end, -- an argument error
}

local function run(count)
    for i = 1, count do
        local result, err = KINDS[i % #KINDS + 1]()
        assert(result or safe.is_error(err))
        accepted = accepted + (result and 1 or 0)
    end
    made = made + count
end

local function resident_kib()
    collectgarbage()
    collectgarbage()
    for line in io.lines "/proc/self/status" do
        local kib = line:match "^VmRSS:%s*(%d+) kB"
        if kib then
            return tonumber(kib)
        end
    end
end

local function descriptors()
    local pipe = assert(io.popen("ls /proc/$PPID/fd", "r"))
    local count = 0
    for _ in pipe:lines() do
        count = count + 1
    end
    pipe:close()
    return count
end

io.stdout:setvbuf "line"
run(warm_after)
local fds, kib = descriptors(), resident_kib()
run(calls - warm_after)
print "ready"
for line in io.lines() do
    local count, began = tonumber(line), os.clock()
    run(count)
    print((os.clock() - began) / count * 1e6)
end
print("calls " .. made)
print("accepted " .. accepted)
print("retries " .. retries)
print("faults " .. faults)
print("grown_kib " .. resident_kib() - kib)
print("fds_more " .. descriptors() - fds)
client:close()
