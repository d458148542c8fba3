-- What bench/soak.py measures: many calls of one client, one after another.
--
--     soak.lua ENDPOINT CA_FILE CALLS
local safe = require "zenlayer.safe"

local endpoint, ca_file, calls = arg[1], arg[2], tonumber(arg[3])
local PARTS = 20 -- of a tenth of the calls
local faults, accepted, retries = 0, 0, 0

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
end

local function median(list)
    table.sort(list)
    return list[math.floor(#list / 2) + 1]
end

-- A tenth of the calls: microseconds of processor time a call.
local function measured()
    local parts, count = {}, math.floor(calls / 10 / PARTS)
    for i = 1, PARTS do
        local began = os.clock()
        run(count)
        parts[i] = (os.clock() - began) / count * 1e6
    end
    return median(parts)
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

run(math.floor(calls / 10))
local fds, kib = descriptors(), resident_kib()
local first = measured()
run(math.floor(calls * 7 / 10))
local last = measured()
local grown = resident_kib() - kib
print(("%d calls, %d accepted, %d retries"):format(calls, accepted, retries))
print("grown_kib " .. grown)
print("fds_more " .. descriptors() - fds)
print(("first_us %.1f"):format(first))
print(("last_us %.1f"):format(last))
print("faults " .. faults)
client:close()
